//! Where an optimizer's state lies when a run goes on.
//!
//! Burn restores it on its default device. That is a GPU in every build that has one, and where the
//! machine has no driver for it, the program panics. Here it is restored on the CPU; the next step
//! moves it to where the parameters are, as it moves any state.

use burn::tensor::{Device, Tensor};
use burn_optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};

/// An optimizer whose state is restored on the CPU, and which is the same otherwise.
#[derive(Clone, Debug)]
pub struct RestoredOnCpu<O>(pub O);

impl<O: Optimizer> Optimizer for RestoredOnCpu<O> {
    type State<const D: usize> = Restored<O::State<D>>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (tensor, state) = self.0.step(rate, tensor, gradient, state.map(|state| state.0));
        (tensor, state.map(Restored))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        Restored(O::to_device(state.0, device))
    }
}

/// The state of a [`RestoredOnCpu`].
#[derive(Clone, Debug)]
pub struct Restored<S>(S);

impl<S: RecordState> RecordState for Restored<S> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, _default: &Device) -> Option<Self> {
        S::state_unflatten(prefix, source, &Device::flex()).map(Restored)
    }
}
