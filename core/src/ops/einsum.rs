//! `Einsum`: sums of products, written with a letter for each axis.
//! <https://onnx.ai/onnx/operators/onnx__Einsum.html>
//!
//! `"bij,bjk->bik"` multiplies stacks of matrices. A letter that the result lacks is summed over; a
//! letter twice in one operand takes the diagonal; `...` stands for the axes that broadcast.
//! Without `->` the result has the letters that occur once, in the order of the alphabet. Opset 12
//! introduced it; the form never changed. Integers are refused.
//!
//! Operands are contracted from the left, two at a time: what both have and the result needs is a
//! stack, what both have and nobody needs later is the inner axis of a matrix product.

use std::collections::BTreeMap;

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, work};
use crate::value::Value;

/// An axis of a term as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Letter(char),
    /// `...`
    Ellipsis,
}

/// An axis of an operand: a letter, or the n-th axis from the end of those that `...` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Broadcast(std::cmp::Reverse<usize>),
    Letter(char),
}

/// Sums of products of tensors.
#[derive(Clone, Debug)]
pub struct Einsum {
    operands: Vec<Vec<Symbol>>,
    result: Option<Vec<Symbol>>,
}

/// The labels of all axes, and their extents.
struct Plan {
    operands: Vec<Vec<Label>>,
    result: Vec<Label>,
    extents: BTreeMap<Label, usize>,
}

impl Plan {
    fn dims(&self, labels: &[Label]) -> Vec<usize> {
        labels.iter().map(|label| self.extents[label]).collect()
    }
}

/// The labels of a term whose `...` stands for `broadcast` axes.
fn labels(term: &[Symbol], broadcast: usize) -> Vec<Label> {
    let label = |symbol: &Symbol| match symbol {
        Symbol::Letter(letter) => vec![Label::Letter(*letter)],
        Symbol::Ellipsis => (0..broadcast)
            .rev()
            .map(|from_end| Label::Broadcast(std::cmp::Reverse(from_end)))
            .collect(),
    };
    term.iter().flat_map(label).collect()
}

impl Einsum {
    fn plan(&self, shapes: &[Vec<usize>]) -> Result<Plan, OpError> {
        if shapes.len() != self.operands.len() {
            return Err(OpError::Unsupported {
                what: format!(
                    "an equation of {} terms for {} inputs",
                    self.operands.len(),
                    shapes.len()
                ),
            });
        }
        let mut operands = Vec::with_capacity(shapes.len());
        let mut extents: BTreeMap<Label, usize> = BTreeMap::new();
        let mut widest = 0;
        for (term, dims) in self.operands.iter().zip(shapes) {
            let letters = term.iter().filter(|symbol| **symbol != Symbol::Ellipsis).count();
            let open = letters < term.len();
            let Some(broadcast) = dims.len().checked_sub(letters).filter(|rest| open || *rest == 0) else {
                return Err(OpError::Shape {
                    name: "Inputs",
                    got: dims.clone(),
                    expected: format!("{letters} axes{}", if open { " or more" } else { "" }),
                });
            };
            widest = widest.max(broadcast);
            let labels = labels(term, broadcast);
            if let Some((first, second)) = uneven(&labels, dims) {
                return Err(OpError::Shape {
                    name: "Inputs",
                    got: dims.clone(),
                    expected: format!(
                        "the same extent along axes {first} and {second}, which have one letter"
                    ),
                });
            }
            for (label, extent) in labels.iter().zip(dims) {
                let known = extents.entry(*label).or_insert(*extent);
                if *known == 1 {
                    *known = *extent;
                } else if *known != *extent && *extent != 1 {
                    return Err(OpError::Shape {
                        name: "Inputs",
                        got: dims.clone(),
                        expected: format!(
                            "the extent {known} where another input has it under the same letter"
                        ),
                    });
                }
            }
            operands.push(labels);
        }
        let result = match &self.result {
            Some(term) => labels(term, widest),
            None => {
                let count = |label: &Label| operands.iter().flatten().filter(|other| *other == label).count();
                // The labels' own order: `...` first, then the alphabet.
                extents
                    .keys()
                    .filter(|label| matches!(label, Label::Broadcast(_)) || count(label) == 1)
                    .copied()
                    .collect()
            }
        };
        Ok(Plan {
            operands,
            result,
            extents,
        })
    }
}

impl Op for Einsum {
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        for index in 0..inputs.len() {
            inputs.filled(index, "Inputs")?;
        }
        let shapes: Vec<_> = inputs.present().map(|fact| fact.dims.clone()).collect();
        let plan = self.plan(&shapes)?;
        Ok(vec![Fact::float(plan.dims(&plan.result))])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let shapes: Vec<_> = inputs.present().map(Value::dims).collect();
        let plan = self.plan(&shapes)?;
        let terms = inputs.present().cloned().zip(plan.operands.iter().cloned());
        let mut terms = terms.map(|(value, labels)| Term { value, labels }.diagonal());
        let Some(mut product) = terms.next() else {
            return Err(OpError::MissingInput {
                index: 0,
                name: "Inputs",
            });
        };
        for (index, term) in terms.enumerate() {
            let later = &plan.operands[index + 2..];
            let needed = |label: &Label| {
                plan.result.contains(label) || later.iter().any(|labels| labels.contains(label))
            };
            product = product.contract(term, &plan, needed);
        }
        let kept = |label: &Label| plan.result.contains(label);
        let result = product.summed(kept).ordered(&plan.result);
        Ok(vec![result.value])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, _outputs: &[Fact]) -> u64 {
        let shapes: Vec<_> = inputs.present().map(|fact| fact.dims.clone()).collect();
        let products = shapes.len().saturating_sub(1);
        self.plan(&shapes)
            .map_or(0, |plan| work(plan.extents.values().copied().chain([products])))
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

/// A tensor with a label for each axis.
struct Term {
    value: Value,
    labels: Vec<Label>,
}

impl Term {
    /// Keeps the diagonal of axes of the same label.
    fn diagonal(mut self) -> Self {
        while let Some((first, second)) = twice(&self.labels) {
            let mut order: Vec<usize> = (0..self.labels.len())
                .filter(|axis| *axis != first && *axis != second)
                .collect();
            order.extend([first, second]);
            let value = self.value.permute(&order);
            let mut dims = value.dims();
            let extent = dims.pop().unwrap_or(1);
            let rest = dims.len() - 1;
            let rows = std::mem::replace(&mut dims[rest], extent);
            let mut flat = dims[..rest].to_vec();
            flat.push(rows * extent);
            let places = (0..extent as i64).map(|i| i * extent as i64 + i).collect();
            self.value = value.reshape(&flat).select(rest, Value::ints(places, &[extent]));
            let label = self.labels[first];
            self.labels = order[..rest].iter().map(|axis| self.labels[*axis]).collect();
            self.labels.push(label);
        }
        self
    }

    /// Sums over the axes that nobody needs.
    fn summed(self, needed: impl Fn(&Label) -> bool) -> Self {
        let (kept, dropped): (Vec<usize>, Vec<usize>) =
            (0..self.labels.len()).partition(|axis| needed(&self.labels[*axis]));
        if dropped.is_empty() {
            return self;
        }
        let dims = self.value.dims();
        let order: Vec<usize> = kept.iter().chain(&dropped).copied().collect();
        let extents: Vec<usize> = kept.iter().map(|axis| dims[*axis]).collect();
        let matrix = [
            extents.iter().product(),
            dropped.iter().map(|axis| dims[*axis]).product(),
        ];
        let sums = self
            .value
            .permute(&order)
            .reshape(&matrix)
            .float::<2>()
            .sum_dim(1);
        Self {
            value: Value::from(sums).reshape(&extents),
            labels: kept.iter().map(|axis| self.labels[*axis]).collect(),
        }
    }

    /// The axes in the order of `labels`, which names each of them.
    fn ordered(self, labels: &[Label]) -> Self {
        let place = |label: &Label| self.labels.iter().position(|own| own == label).unwrap_or(0);
        let order: Vec<usize> = labels.iter().map(place).collect();
        let value = if order.is_sorted() {
            self.value
        } else {
            self.value.permute(&order)
        };
        Self {
            value,
            labels: labels.to_vec(),
        }
    }

    /// The product of two terms, summed over what nobody needs afterwards.
    fn contract(self, other: Self, plan: &Plan, needed: impl Fn(&Label) -> bool) -> Self {
        let a = self.stretched(plan);
        let b = other.stretched(plan);
        let a = {
            let theirs = b.labels.clone();
            a.summed(|label| needed(label) || theirs.contains(label))
        };
        let b = {
            let theirs = a.labels.clone();
            b.summed(|label| needed(label) || theirs.contains(label))
        };
        let both = |label: &&Label| b.labels.contains(*label);
        let (stack, inner): (Vec<Label>, Vec<Label>) = a
            .labels
            .iter()
            .filter(both)
            .copied()
            .partition(|label| needed(label));
        let only = |own: &[Label], other: &[Label]| -> Vec<Label> {
            own.iter()
                .filter(|label| !other.contains(label))
                .copied()
                .collect()
        };
        let (rows, columns) = (only(&a.labels, &b.labels), only(&b.labels, &a.labels));
        let size = |labels: &[Label]| plan.dims(labels).iter().product::<usize>();
        let [batch, m, k, n] = [&stack, &rows, &inner, &columns].map(|labels| size(labels));
        let joined = |parts: [&[Label]; 3]| parts.concat();
        let a = a
            .ordered(&joined([&stack, &rows, &inner]))
            .value
            .reshape(&[batch, m, k]);
        let b = b
            .ordered(&joined([&stack, &inner, &columns]))
            .value
            .reshape(&[batch, k, n]);
        let (a, b) = (a.into_dispatch(), b.into_dispatch());
        let product = if inner.is_empty() {
            Dispatch::float_mul(a, b)
        } else {
            Dispatch::float_matmul(a, b)
        };
        let labels = joined([&stack, &rows, &columns]);
        Self {
            value: Value::new(product).reshape(&plan.dims(&labels)),
            labels,
        }
    }

    /// Axes of extent 1 at the extent that their label has elsewhere.
    fn stretched(self, plan: &Plan) -> Self {
        let dims = plan.dims(&self.labels);
        Self {
            value: self.value.expand(&dims),
            labels: self.labels,
        }
    }
}

/// Two axes of one label.
fn twice(labels: &[Label]) -> Option<(usize, usize)> {
    labels.iter().enumerate().find_map(|(first, label)| {
        let second = labels[first + 1..].iter().position(|other| other == label)?;
        Some((first, first + 1 + second))
    })
}

/// Two axes of one label that differ in extent: a diagonal needs both alike.
fn uneven(labels: &[Label], dims: &[usize]) -> Option<(usize, usize)> {
    let mut pairs =
        (0..labels.len()).flat_map(|first| (first + 1..labels.len()).map(move |second| (first, second)));
    pairs.find(|(first, second)| labels[*first] == labels[*second] && dims[*first] != dims[*second])
}

/// The symbols of one term.
fn term(text: &str) -> Option<Vec<Symbol>> {
    let (before, after) = match text.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    let letters = |text: &str| -> Option<Vec<Symbol>> {
        let one = |letter: char| letter.is_ascii_alphabetic().then_some(Symbol::Letter(letter));
        text.chars().map(one).collect()
    };
    let mut symbols = letters(before)?;
    if let Some(after) = after {
        symbols.push(Symbol::Ellipsis);
        symbols.extend(letters(after)?);
    }
    Some(symbols)
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let written = node.text("equation")?.ok_or_else(|| OpError::MissingAttribute {
        attribute: "equation".to_owned(),
    })?;
    let text: String = written.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let refuse = |expected: &str| node.bad("equation", written, expected);
    let operands: Option<Vec<_>> = left.split(',').map(term).collect();
    let operands = operands.ok_or_else(|| refuse("letters, one for each axis, and `...`"))?;
    let result = match right {
        None => None,
        Some(right) => {
            let result = term(right).ok_or_else(|| refuse("letters, one for each axis, and `...`"))?;
            let known = |symbol: &Symbol| operands.iter().flatten().any(|other| other == symbol);
            let once = |symbol: &Symbol| result.iter().filter(|other| *other == symbol).count() == 1;
            if !result.iter().all(|symbol| known(symbol) && once(symbol)) {
                return Err(refuse("a result of axes that a term has, each once"));
            }
            Some(result)
        }
    };
    Ok(Box::new(Einsum { operands, result }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Einsum",
    forms: &[12],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, ramp, run_op, waves};
    use super::*;

    fn einsum(equation: &str, inputs: &[Option<Value>]) -> Result<Value, OpError> {
        run_op("Einsum", 12, &[("equation", equation.into())], inputs).map(|mut made| made.remove(0))
    }

    #[test]
    fn products_agree_with_numpy() {
        // a = np.arange(6.).reshape(2, 3), b = np.arange(6.).reshape(3, 2); np.einsum(equation, a,
        // b)
        let inputs = [Some(ramp(&[2, 3], 0.0, 1.0)), Some(ramp(&[3, 2], 0.0, 1.0))];
        for (equation, dims, expected) in [
            ("ij,jk->ik", &[2, 2][..], &[10.0, 13.0, 28.0, 40.0][..]),
            ("ij,jk->ki", &[2, 2], &[10.0, 28.0, 13.0, 40.0]),
            ("ij,jk->j", &[3], &[3.0, 25.0, 63.0]),
            ("ij,ji", &[], &[50.0]),
            (" i j , j k -> i ", &[2], &[23.0, 68.0]),
        ] {
            assert_floats(&einsum(equation, &inputs).unwrap(), dims, expected);
            let written: &[_] = &[("equation", equation.into())];
            assert_gradients("Einsum", 12, written, &inputs, &[0, 1]);
        }
    }

    #[test]
    fn one_operand_is_transposed_summed_or_cut_to_its_diagonal() {
        // x = np.arange(4.).reshape(2, 2); np.einsum(equation, x)
        let x = [Some(ramp(&[2, 2], 0.0, 1.0))];
        for (equation, dims, expected) in [
            ("ij->ji", &[2, 2][..], &[0.0, 2.0, 1.0, 3.0][..]),
            ("ji", &[2, 2], &[0.0, 2.0, 1.0, 3.0]),
            ("ij->", &[], &[6.0]),
            ("ii->i", &[2], &[0.0, 3.0]),
            ("ii", &[], &[3.0]),
        ] {
            assert_floats(&einsum(equation, &x).unwrap(), dims, expected);
            assert_gradients("Einsum", 12, &[("equation", equation.into())], &x, &[0]);
        }
    }

    #[test]
    fn an_ellipsis_broadcasts() {
        // np.einsum("...ij,...jk->...ik", a, b) of shapes (2, 1, 2) and (1, 3, 2, 1): as np.matmul
        let inputs = [
            Some(waves(&[2, 1, 2], 0.0, 0.7)),
            Some(waves(&[3, 1, 2, 1], 0.3, 0.9)),
        ];
        let made = einsum("...ij,...jk->...ik", &inputs).unwrap();
        let product = run_op("MatMul", 13, &[], &inputs).unwrap().remove(0);
        assert_eq!(made.dims(), [3, 2, 1, 1]);
        assert_floats(&made, &[3, 2, 1, 1], &product.to_floats().unwrap());
        let equation: &[_] = &[("equation", "...ij,...jk->...ik".into())];
        assert_gradients("Einsum", 12, equation, &inputs, &[0, 1]);
    }

    #[test]
    fn three_operands_are_contracted_in_turn() {
        // np.einsum("i,ij,j->", [1, 2], [[1, 2], [3, 4]], [1, -1]) = 1·(1−2) + 2·(3−4)
        let inputs = [
            Some(floats(&[2], &[1.0, 2.0])),
            Some(floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
            Some(floats(&[2], &[1.0, -1.0])),
        ];
        assert_floats(&einsum("i,ij,j->", &inputs).unwrap(), &[], &[-3.0]);
        assert_gradients(
            "Einsum",
            12,
            &[("equation", "i,ij,j->".into())],
            &inputs,
            &[0, 1, 2],
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for dims in [[2, 3], [1, 3], [3, 1]] {
            let x = [Some(ramp(&dims, 0.0, 1.0))];
            for equation in ["i->i", "ij,jk->ik", "ii->i"] {
                assert!(einsum(equation, &x).is_err(), "{equation}");
            }
        }
        let x = [Some(ramp(&[2, 3], 0.0, 1.0))];
        for equation in ["i1->i", "ij->k", "ij->ii", "....->i"] {
            let refused = einsum(equation, &x);
            assert!(
                matches!(refused, Err(OpError::BadAttribute { .. })),
                "{equation}: {refused:?}"
            );
        }
    }
}
