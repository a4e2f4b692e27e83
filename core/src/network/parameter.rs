//! A trainable tensor of any rank, as Burn's optimizers want it: with the rank in its type.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use burn_optim::GradientsParams;

use crate::graph::GraphError;
use crate::op::OpError;
use crate::value::Value;

/// A float tensor of rank 1 to 6 that optimizers and records see as a Burn parameter. Scalars are
/// stored as `[1]`.
#[derive(Module, Debug)]
pub enum Parameter {
    /// `[n]`, and scalars.
    Rank1(Param<Tensor<1>>),
    /// `[out, in]`.
    Rank2(Param<Tensor<2>>),
    /// `[out, in, kernel]`.
    Rank3(Param<Tensor<3>>),
    /// `[out, in, height, width]`.
    Rank4(Param<Tensor<4>>),
    /// Five axes.
    Rank5(Param<Tensor<5>>),
    /// Six axes.
    Rank6(Param<Tensor<6>>),
}

/// Evaluates one expression with the parameter of whatever rank.
macro_rules! each_rank {
    ($parameter:expr, |$param:ident| $body:expr) => {
        match $parameter {
            Parameter::Rank1($param) => $body,
            Parameter::Rank2($param) => $body,
            Parameter::Rank3($param) => $body,
            Parameter::Rank4($param) => $body,
            Parameter::Rank5($param) => $body,
            Parameter::Rank6($param) => $body,
        }
    };
}

impl Parameter {
    /// A parameter from host data.
    ///
    /// # Errors
    /// More than six axes.
    pub fn new(data: TensorData, device: &Device, trained: bool) -> Result<Self, GraphError> {
        let value = Value::from_data(data, device);
        fn param<const D: usize>(value: Value, trained: bool) -> Param<Tensor<D>> {
            Param::initialized(ParamId::new(), value.float::<D>()).set_require_grad(trained)
        }
        Ok(match value.rank() {
            0 | 1 => Parameter::Rank1(param(value, trained)),
            2 => Parameter::Rank2(param(value, trained)),
            3 => Parameter::Rank3(param(value, trained)),
            4 => Parameter::Rank4(param(value, trained)),
            5 => Parameter::Rank5(param(value, trained)),
            6 => Parameter::Rank6(param(value, trained)),
            rank => {
                let source = OpError::Unsupported {
                    what: format!("a tensor of rank {rank}"),
                };
                return Err(GraphError::Node {
                    node: String::new(),
                    op: "initializer".to_owned(),
                    source,
                });
            }
        })
    }

    /// The tensor; `scalar` restores rank 0.
    pub fn value(&self, scalar: bool) -> Value {
        let value: Value = each_rank!(self, |param| param.val().into());
        if scalar { value.into_scalar() } else { value }
    }

    /// Its gradient, flattened.
    pub fn gradient(&self, gradients: &GradientsParams) -> Option<Tensor<1>> {
        fn flat<const D: usize>(param: &Param<Tensor<D>>, gradients: &GradientsParams) -> Option<Tensor<1>> {
            Some(gradients.get::<D>(param.id)?.flatten(0, D - 1))
        }
        each_rank!(self, |param| flat(param, gradients))
    }

    /// Replaces its gradient by what `change` makes of gradient and value, both flattened.
    pub(crate) fn change_gradient(
        &self,
        gradients: &mut GradientsParams,
        change: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) {
        fn changed<const D: usize>(
            param: &Param<Tensor<D>>,
            gradients: &mut GradientsParams,
            change: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
        ) {
            let Some(gradient) = gradients.remove::<D>(param.id) else {
                return;
            };
            let (dims, value) = (gradient.dims(), param.val().inner().flatten(0, D - 1));
            let new = change(gradient.flatten(0, D - 1), value).reshape(dims);
            gradients.register(param.id, new);
        }
        each_rank!(self, |param| changed(param, gradients, change));
    }

    /// Burn's identifier, under which gradients and optimizer state are kept.
    pub fn id(&self) -> ParamId {
        each_rank!(self, |param| param.id)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        each_rank!(self, |param| param.lazy_shape().num_elements())
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
