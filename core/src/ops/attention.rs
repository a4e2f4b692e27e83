//! `Attention`: softmax(scale · Q Kᵀ + mask) V, for several heads; Vaswani et al. 2017 (arXiv
//! 1706.03762). <https://onnx.ai/onnx/operators/onnx__Attention.html>
//!
//! Q, K, V are `[batch, heads, length, width]`, or `[batch, length, heads · width]` with the
//! numbers of heads as attributes; K and V may have fewer heads, each of which serves as many of
//! Q's. A mask of booleans says where to look, one of floats is added. Opset 23 introduced it. Keys
//! and values of the past, `softcap`, the optional outputs, and 24's `nonpad_kv_seqlen` are
//! refused.

use burn::backend::Dispatch;
use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::tensor::{Device, TensorData};

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast, work};
use crate::value::{Kind, Value};

/// Scaled dot product attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Factor of the products; 1/√width where absent.
    pub scale: Option<f32>,
    /// Whether a query sees the keys up to its own position alone.
    pub causal: bool,
    /// Heads of queries, and of keys and values, for inputs of 3 axes.
    pub heads: [Option<usize>; 2],
}

/// Extents of `[batch, heads, length, width]` for Q, K, V.
#[derive(Clone, Copy, Debug)]
struct Extents {
    q: [usize; 4],
    k: [usize; 4],
    v: [usize; 4],
    /// Whether the inputs have 3 axes.
    joined: bool,
}

impl Attention {
    fn extents<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Extents, OpError> {
        let names = ["Q", "K", "V"];
        let mut all = [[0; 4]; 3];
        let mut joined = false;
        for (index, name) in names.into_iter().enumerate() {
            let dims = inputs.required(index, name)?.extents();
            let refuse = |expected: &str| OpError::Shape {
                name,
                got: dims.clone(),
                expected: expected.to_owned(),
            };
            all[index] = match dims[..] {
                [batch, heads, length, width] => [batch, heads, length, width],
                [batch, length, width] => {
                    joined = true;
                    let heads = self.heads[index.min(1)].filter(|heads| *heads > 0 && width % heads == 0);
                    let heads = heads.ok_or_else(|| {
                        refuse("`q_num_heads` or `kv_num_heads` that divides the last axis")
                    })?;
                    [batch, heads, length, width / heads]
                }
                _ => return Err(refuse("3 or 4 axes")),
            };
        }
        let [q, k, v] = all;
        let fits = q[0] == k[0]
            && k[0] == v[0]
            && k[1] == v[1]
            && k[2] == v[2]
            && q[3] == k[3]
            && q[1] % k[1].max(1) == 0;
        if !fits || all.iter().flatten().any(|extent| *extent == 0) {
            return Err(OpError::Shape {
                name: "K",
                got: k.to_vec(),
                expected: format!("batch, heads, length and width that suit Q {q:?} and V {v:?}"),
            });
        }
        Ok(Extents { q, k, v, joined })
    }
}

/// `[batch, heads, length, width]` from an input of 3 or 4 axes.
fn by_head(value: &Value, [batch, heads, length, width]: [usize; 4]) -> Value {
    if value.rank() == 4 {
        return value.clone();
    }
    let split = value.clone().reshape(&[batch, length, heads, width]);
    split.permute(&[0, 2, 1, 3])
}

/// Every head as often as queries share it.
fn shared(value: Value, [batch, heads, length, width]: [usize; 4], times: usize) -> Value {
    if times == 1 {
        return value;
    }
    let repeated = value
        .reshape(&[batch, heads, 1, length, width])
        .expand(&[batch, heads, times, length, width]);
    repeated.reshape(&[batch, heads * times, length, width])
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "Attention"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        for (index, name) in ["Q", "K", "V"].into_iter().enumerate() {
            inputs.of_kind(index, name, Kind::Float)?;
        }
        let Extents { q, k, v, joined } = self.extents(inputs)?;
        if let Some(mask) = inputs.optional(3) {
            let weights = [q[0], q[1], q[2], k[2]];
            if mask.kind == Kind::Int || broadcast(&mask.dims, &weights).ok().as_deref() != Some(&weights[..])
            {
                return Err(OpError::Shape {
                    name: "attn_mask",
                    got: mask.dims.clone(),
                    expected: format!("floats or booleans that broadcast to {weights:?}"),
                });
            }
        }
        for (index, name) in [(4, "past_key"), (5, "past_value"), (6, "nonpad_kv_seqlen")] {
            if inputs.optional(index).is_some() {
                return Err(OpError::Unsupported {
                    what: format!("the input `{name}`"),
                });
            }
        }
        Ok(vec![Fact::float(if joined {
            vec![q[0], q[2], q[1] * v[3]]
        } else {
            vec![q[0], q[1], q[2], v[3]]
        })])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let Extents { q, k, v, joined } = self.extents(inputs)?;
        let times = q[1] / k[1];
        let query = by_head(inputs.required(0, "Q")?, q);
        let key = shared(by_head(inputs.required(1, "K")?, k), k, times);
        let value = shared(by_head(inputs.required(2, "V")?, v), v, times);
        let device = query.device();
        let scale = self.scale.unwrap_or(1.0 / (q[3] as f32).sqrt());
        let query = query.elementwise(|x| x * scale);
        let products =
            Dispatch::float_matmul(query.into_dispatch(), key.permute(&[0, 1, 3, 2]).into_dispatch());
        let mut products = Value::new(products);
        let all = products.dims();
        let hidden = |products: Value, hidden: Value| {
            let nowhere = Value::from_data(TensorData::new(vec![f32::NEG_INFINITY], [1]), &device);
            products.mask_where(hidden.expand(&all), nowhere.expand(&all))
        };
        if let Some(mask) = inputs.optional(3) {
            products = if mask.kind() == Kind::Bool {
                let unseen = Value::from(mask.clone().bool::<1>().bool_not());
                hidden(products, unseen)
            } else {
                let mask = mask.clone().to_device(&device).expand(&all).into_dispatch();
                Value::new(Dispatch::float_add(products.into_dispatch(), mask))
            };
        }
        if self.causal {
            let later: Vec<bool> = (0..q[2] * k[2]).map(|i| i % k[2] > i / k[2]).collect();
            let later = Value::from_data(TensorData::new(later, [q[2], k[2]]), &Device::flex());
            products = hidden(products, later);
        }
        // A query that no key is shown to gives 0, where softmax has 0 / 0.
        let blind = inputs.optional(3).map(|_| {
            let largest = products.clone().float::<4>().detach().max_dim(3);
            largest
                .equal_elem(f32::NEG_INFINITY)
                .expand([all[0], all[1], all[2], all[3]])
        });
        if let Some(blind) = &blind {
            products = products.float::<4>().mask_fill(blind.clone(), 0.0).into();
        }
        let mut weights = Value::new(Dispatch::softmax(products.into_dispatch(), 3));
        if let Some(blind) = blind {
            weights = weights.float::<4>().mask_fill(blind, 0.0).into();
        }
        let weights = weights.into_dispatch();
        let y = Value::new(Dispatch::float_matmul(weights, value.into_dispatch()));
        Ok(vec![if joined {
            y.permute(&[0, 2, 1, 3]).reshape(&[q[0], q[2], q[1] * v[3]])
        } else {
            y
        }])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, _outputs: &[Fact]) -> u64 {
        self.extents(inputs).map_or(0, |of| {
            work([of.q[0], of.q[1], of.q[2], of.k[2], of.q[3] + of.v[3]])
        })
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let refuse = |what: String| OpError::Unsupported { what };
    if node.outputs > 1 {
        return Err(refuse("an output beside `Y`".to_owned()));
    }
    if let Some(cap) = node.number("softcap")?.filter(|cap| *cap != 0.0) {
        return Err(refuse(format!("`softcap = {cap}`")));
    }
    // Opset 25; -1 is no window.
    for window in ["left_window_size", "right_window_size"] {
        if let Some(size) = node.int(window)?.filter(|size| *size != -1) {
            return Err(refuse(format!("`{window} = {size}`")));
        }
    }
    // What they choose is an output that is refused, and the precision of the softmax, which is 32
    // bits.
    node.int("qk_matmul_output_mode")?;
    node.int("softmax_precision")?;
    let heads = |name: &'static str| -> Result<Option<usize>, OpError> {
        Ok(node.int(name)?.and_then(|heads| usize::try_from(heads).ok()))
    };
    Ok(Box::new(Attention {
        scale: node.number("scale")?,
        causal: node.flag("is_causal", false)?,
        heads: [heads("q_num_heads")?, heads("kv_num_heads")?],
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Attention",
    forms: &[23],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, bools, infer_op, run_op, waves};
    use super::*;

    fn inputs(heads: [usize; 2]) -> Vec<Option<Value>> {
        let [of_queries, of_keys] = heads;
        vec![
            Some(waves(&[1, of_queries, 2, 2], 0.0, 0.7)),
            Some(waves(&[1, of_keys, 3, 2], 0.3, 0.9)),
            Some(waves(&[1, of_keys, 3, 2], 0.6, 0.8)),
        ]
    }

    #[test]
    fn every_form_has_gradients() {
        for heads in [[2, 2], [2, 1]] {
            let mut given = inputs(heads);
            assert_gradients("Attention", 23, &[], &given, &[0, 1, 2]);
            assert_gradients("Attention", 23, &[("is_causal", 1.into())], &given, &[0, 1, 2]);
            given.push(Some(waves(&[2, 3], 0.2, 0.5)));
            assert_gradients("Attention", 23, &[("scale", 0.5.into())], &given, &[0, 1, 2, 3]);
            given[3] = Some(bools(&[2, 3], &[true, false, true, false, true, true]));
            assert_gradients("Attention", 23, &[], &given, &[0, 1, 2]);
        }
    }

    #[test]
    fn heads_may_be_joined_in_the_last_axis() {
        let given = inputs([2, 2]);
        let plain = run_op("Attention", 23, &[], &given).unwrap().remove(0);
        let join = |value: &Option<Value>| {
            let value = value.clone()?;
            let length = value.dims()[2];
            Some(value.permute(&[0, 2, 1, 3]).reshape(&[1, length, 4]))
        };
        let joined: Vec<_> = given.iter().map(join).collect();
        let heads: &[_] = &[("q_num_heads", 2.into()), ("kv_num_heads", 2.into())];
        let made = run_op("Attention", 23, heads, &joined).unwrap();
        let expected = plain.permute(&[0, 2, 1, 3]).to_floats().unwrap();
        assert_floats(&made[0], &[1, 2, 4], &expected);
    }

    #[test]
    fn a_mask_of_booleans_says_where_to_look() {
        // With one key in sight, its value is the result.
        let mut given = inputs([1, 1]);
        given.push(Some(bools(&[1, 3], &[false, true, false])));
        let made = run_op("Attention", 23, &[], &given).unwrap();
        let seen = given[2].as_ref().and_then(Value::to_floats).unwrap();
        assert_floats(&made[0], &[1, 1, 2, 2], &[seen[2], seen[3], seen[2], seen[3]]);
    }

    #[test]
    fn a_query_that_sees_no_key_gives_zeros() {
        // onnx.reference.ReferenceEvaluator and ONNX Runtime 1.32 give 0 for such a row.
        let mut given = inputs([1, 1]);
        given.push(Some(bools(&[2, 3], &[false, false, false, false, true, false])));
        let made = run_op("Attention", 23, &[], &given).unwrap();
        let seen = given[2].as_ref().and_then(Value::to_floats).unwrap();
        assert_floats(&made[0], &[1, 1, 2, 2], &[0.0, 0.0, seen[2], seen[3]]);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let capped = run_op("Attention", 23, &[("softcap", 1.0.into())], &[]);
        assert!(matches!(capped, Err(OpError::Unsupported { .. })));
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let headless = infer_op(
            "Attention",
            23,
            &[],
            &[fact(&[1, 2, 4]), fact(&[1, 2, 4]), fact(&[1, 2, 4])],
        );
        assert!(matches!(headless, Err(OpError::Shape { name: "Q", .. })));
        let long = infer_op(
            "Attention",
            23,
            &[],
            &[fact(&[1, 1, 2, 4]), fact(&[1, 1, 2, 4]), fact(&[1, 1, 3, 4])],
        );
        assert!(matches!(long, Err(OpError::Shape { .. })));
    }
}
