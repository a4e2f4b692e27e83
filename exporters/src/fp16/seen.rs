//! What a network in half precision makes of pictures, compared with what it made before.

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use potstill_core::graph::{Graph, Node};
use potstill_core::network::{Network, Outputs};
use potstill_core::op::Mode;
use potstill_core::value::{Kind, Value};

use super::number::STANDS_FOR_INFINITY;
use crate::ExportError;
use crate::runtime;
use crate::verify::relative_difference;

/// Largest difference over largest value between a network and the same with its numbers rounded
/// to `float16`: their roundoff of 2⁻¹¹, added up by hundreds of layers.
const TOLERANCE: f64 = 5e-2;

/// Refuses a network in which a number grows beyond `float16` on pictures `[batch, channels,
/// height, width]`. Without pictures nothing is looked at.
///
/// # Errors
/// [`ExportError::Overflow`] with the first node that makes such a number; a network that does not
/// run.
pub fn refuse_overflow(graph: &Graph, pictures: &[Tensor<4>]) -> Result<(), ExportError> {
    let Some(pictures) = pictures.first() else {
        return Ok(());
    };
    let network = Network::new(graph.clone(), &Device::flex())?;
    let taps: Vec<&str> = graph.value_names().collect();
    let outputs = network.forward(Value::from(pictures.clone()), &taps, Mode::Inference)?;
    let most = f16::MAX.to_f32();
    for node in &graph.nodes {
        for value in node.outputs.iter().filter(|value| !value.is_empty()) {
            let numbers = match outputs.get(value) {
                Ok(made) if made.kind() == Kind::Float => made.to_floats().unwrap_or_default(),
                _ => continue,
            };
            // What masks add stays infinite.
            let counts = |x: &f32| x.is_finite() && *x < STANDS_FOR_INFINITY;
            let magnitudes = numbers.iter().map(|x| x.abs()).filter(counts);
            let largest = magnitudes.fold(0.0, f32::max);
            if largest > most {
                return Err(ExportError::Overflow {
                    node: node.label().to_owned(),
                    op: node.op.name().to_owned(),
                    value: value.clone(),
                    largest,
                });
            }
        }
    }
    Ok(())
}

/// Refuses a graph in half precision whose outputs are not those of the one that it was made of:
/// what its constants became has moved them. Looks at the first of the pictures, or else at drawn
/// ones.
///
/// # Errors
/// [`ExportError::Changed`] with the first node that makes other numbers; a network that does not
/// run.
pub fn refuse_change(single: &Graph, half: &Graph, pictures: &[Tensor<4>]) -> Result<(), ExportError> {
    let [before, after] = [run(single, pictures, &[])?, run(half, pictures, &[])?];
    let outputs: Vec<&str> = single.outputs.iter().map(|output| output.name.as_str()).collect();
    let Some((output, difference)) = outputs
        .iter()
        .find_map(|name| Some((*name, change(&before, &after, name)?)))
    else {
        return Ok(());
    };
    // Those in between only now: they take room.
    let made = |node: &'_ Node| node.outputs.first().cloned().unwrap_or_default();
    let known: Vec<&str> = half.value_names().collect();
    let taps: Vec<String> = single.nodes.iter().map(made).collect();
    let taps: Vec<&str> = taps
        .iter()
        .map(String::as_str)
        .filter(|name| known.contains(name))
        .collect();
    let [before, after] = [run(single, pictures, &taps)?, run(half, pictures, &taps)?];
    let first = single.nodes.iter().find_map(|node| {
        let value = node.outputs.first()?;
        Some((node, change(&before, &after, value)?))
    });
    let last = single.producer(output).map(|at| &single.nodes[at]);
    let (node, difference) = match (first, last) {
        (Some((node, difference)), _) => (Some(node), difference),
        (None, last) => (last, difference),
    };
    Err(ExportError::Changed {
        node: node.map_or("", Node::label).to_owned(),
        op: node.map_or("", |node| node.op.name()).to_owned(),
        difference,
        tolerance: TOLERANCE,
    })
}

fn run(graph: &Graph, pictures: &[Tensor<4>], taps: &[&str]) -> Result<Outputs, ExportError> {
    let device = Device::flex();
    let network = Network::new(graph.clone(), &device)?;
    if let Some(pictures) = pictures.first() {
        return Ok(network.forward(Value::from(pictures.clone()), taps, Mode::Inference)?);
    }
    let drawn = |input: &potstill_core::op::ValueInfo| {
        let dims = input.dims_at(1).unwrap_or_default();
        let values = runtime::pictures(dims.iter().product());
        let data = TensorData::new(values, dims);
        (input.name.clone(), Value::from_data(data, &device))
    };
    let inputs: Vec<(String, Value)> = graph.inputs.iter().map(drawn).collect();
    Ok(network.run(inputs, taps, Mode::Inference)?)
}

/// The difference between a value of two runs, where it is beyond [`TOLERANCE`]. One that was no
/// number before tells nothing.
fn change(before: &Outputs, after: &Outputs, name: &str) -> Option<f64> {
    let [before, after] = [before, after].map(|outputs| outputs.get(name).ok()?.to_floats());
    let (before, after) = (before?, after?);
    if !before.iter().all(|x| x.is_finite()) {
        return None;
    }
    let difference = relative_difference(&before, &after);
    (difference.is_nan() || difference > TOLERANCE).then_some(difference)
}
