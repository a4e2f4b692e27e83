//! A method that is a loss on pairs of values: everything but the loss and the declaration is here.

use std::fmt::Debug;

use burn::tensor::Tensor;
use potstill_core::plugin::{
    Given, Options, Plan, Plugin, PluginError, PluginOption, Prepared, Recorded, Step, Term,
};

use super::{OnPairs, PairOptions, Pairs, recorded};

/// A method that is a loss on pairs of values of rank `D`, 4 for maps and 2 for vectors, and needs
/// nothing else.
pub trait PairLoss<const D: usize>: PairOptions + Clone + Debug + Send + Sync + 'static {
    /// The formula of its term.
    const FORMULA: &'static str;

    /// Which values it compares, and how they are brought to one another.
    fn pairs(&self) -> Pairs;

    /// The loss, `[1]`, before weighting; of each pair the student's value comes first.
    fn loss(&self, pairs: &[(Tensor<D>, Tensor<D>)]) -> Tensor<1>;
}

/// Such a method as it is configured.
#[derive(Clone, Debug)]
pub struct Comparing<M, const D: usize>(M);

impl<M: Options, const D: usize> Options for Comparing<M, D> {
    const PLUGIN: &'static str = M::PLUGIN;

    fn declared() -> Vec<PluginOption> {
        M::declared()
    }

    fn given(given: &Given) -> Result<Self, PluginError> {
        M::given(given).map(Self)
    }
}

impl<M: PairLoss<D>, const D: usize> Plugin for Comparing<M, D> {
    fn name(&self) -> &'static str {
        M::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.0.pairs().prepare::<D>(plan)?;
        plan.declare_term(M::PLUGIN, M::FORMULA);
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let loss = self.0.loss(&recorded(record)?);
        Ok(vec![self.0.recorded_term(loss, record)])
    }
}

impl<M: PairLoss<D>, const D: usize> Prepared for OnPairs<Comparing<M, D>> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let method = &self.method.0;
        self.pairs
            .terms(step, method.weight(), |_, pairs| Ok(method.loss(pairs)))
    }
}
