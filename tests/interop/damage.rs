//! Every recorded model with a few faults in it. What comes out may be an error or numbers, but no
//! panic, however the file is wrong.

use std::sync::LazyLock;

use burn::tensor::{Device, TensorData};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::{GraphProto, Message, ModelProto, type_proto};
use potstill_core::graph::{Dim, Graph, ValueInfo, infer};
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::{Kind, Value};
use potstill_teachers::decode;
use proptest::prelude::*;

use crate::case::{Case, cases};

/// Numbers that sizes, axes and bounds should not be, among some that they may.
const ODD: [i64; 14] = [
    i64::MIN,
    -1 << 40,
    -7,
    -2,
    -1,
    0,
    1,
    2,
    3,
    5,
    17,
    1 << 31,
    1 << 40,
    i64::MAX,
];
/// The same for factors.
const ODD_FLOATS: [f32; 6] = [f32::NAN, f32::INFINITY, -1.0, 0.0, 0.5, 3e38];
/// A graph is run if none of its values has more elements than this.
const LARGEST: usize = 1 << 16;

/// Where and how a model is damaged: each number chooses one thing.
#[derive(Clone, Debug)]
struct Fault {
    kind: usize,
    place: usize,
    within: usize,
    value: usize,
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..11_usize, any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(kind, place, within, value)| Fault {
        kind,
        place: place.into(),
        within: within.into(),
        value: value.into(),
    })
}

fn chosen<T>(items: &mut [T], choice: usize) -> Option<&mut T> {
    let count = items.len();
    items.get_mut(choice.checked_rem(count)?)
}

/// Does one fault to a model; `None` where it has no such place.
fn damage(model: &mut ModelProto, fault: &Fault) -> Option<()> {
    let graph = model.graph.as_mut()?;
    match fault.kind {
        0 => attribute(graph, fault),
        1 => attribute_length(graph, fault),
        2 => no_attribute(graph, fault),
        3 => element(graph, fault),
        4 => extents(graph, fault),
        5 => inputs(graph, fault),
        6 => input_name(graph, fault),
        7 | 8 => declared(graph, fault),
        9 => outputs(graph, fault),
        _ => {
            model.opset_import.first_mut()?.version = 9 + fault.value as i64 % 16;
            Some(())
        }
    }
}

/// An odd number, or another letter, in an attribute.
fn attribute(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let odd = ODD[value % ODD.len()];
    let attribute = chosen(&mut chosen(&mut graph.node, place)?.attribute, within)?;
    match attribute.type_.enum_value() {
        Ok(AttributeType::INT) => attribute.i = odd,
        Ok(AttributeType::INTS) => *chosen(&mut attribute.ints, value / ODD.len())? = odd,
        Ok(AttributeType::FLOAT) => attribute.f = ODD_FLOATS[value % ODD_FLOATS.len()],
        Ok(AttributeType::STRING) => attribute.s.push(b'x'),
        _ => attribute.t.clear(),
    }
    Some(())
}

/// A number more or less in an attribute.
fn attribute_length(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let odd = ODD[value % ODD.len()];
    let ints = &mut chosen(&mut chosen(&mut graph.node, place)?.attribute, within)?.ints;
    if value % 2 == 0 {
        ints.pop();
    } else {
        ints.push(odd);
    }
    Some(())
}

/// An attribute less.
fn no_attribute(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault { place, within, .. } = *fault;
    let node = chosen(&mut graph.node, place)?;
    let index = within.checked_rem(node.attribute.len())?;
    node.attribute.remove(index);
    Some(())
}

/// An odd number in a stored tensor.
fn element(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let odd = ODD[value % ODD.len()];
    let tensor = chosen(&mut graph.initializer, place)?;
    match tensor.data_type {
        7 if !tensor.raw_data.is_empty() => {
            let index = within % (tensor.raw_data.len() / 8).max(1) * 8;
            tensor
                .raw_data
                .get_mut(index..index + 8)?
                .copy_from_slice(&odd.to_le_bytes());
        }
        7 => *chosen(&mut tensor.int64_data, within)? = odd,
        _ => tensor.dims.push(1),
    }
    Some(())
}

/// Other extents of a stored tensor.
fn extents(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault { place, value, .. } = *fault;
    let tensor = chosen(&mut graph.initializer, place)?;
    match value % 4 {
        0 => tensor.dims.reverse(),
        1 => tensor.dims = vec![tensor.dims.iter().product()],
        2 => tensor.dims.insert(0, 1),
        // An empty tensor.
        _ => {
            tensor.dims.push(0);
            tensor.raw_data.clear();
            tensor.float_data.clear();
            tensor.int64_data.clear();
        }
    }
    Some(())
}

/// A node with other inputs.
fn inputs(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let inputs = &mut chosen(&mut graph.node, place)?.input;
    match value % 3 {
        0 => drop(inputs.pop()),
        1 => chosen(inputs, within)?.clear(),
        _ => inputs.reverse(),
    }
    Some(())
}

/// A node that reads another value.
fn input_name(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let names: Vec<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .chain(graph.input.iter().map(|input| input.name.clone()))
        .collect();
    let name = names.get(value.checked_rem(names.len())?)?.clone();
    *chosen(&mut chosen(&mut graph.node, place)?.input, within)? = name;
    Some(())
}

/// Another type or shape of an input of the model.
fn declared(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        kind,
        place,
        within,
        value,
        ..
    } = *fault;
    let info = chosen(&mut graph.input, place)?;
    let Some(type_proto::Value::TensorType(tensor)) = info.type_.as_mut()?.value.as_mut() else {
        return None;
    };
    if kind == 8 {
        tensor.elem_type = [1, 7, 9, 11][value % 4];
        return Some(());
    }
    let dims = &mut tensor.shape.as_mut()?.dim;
    match value % 3 {
        0 => drop(dims.pop()),
        1 => dims.push(dims.last()?.clone()),
        _ => {
            let extent = [0, 1, 2, 3, 7][value / 3 % 5];
            chosen(dims, within)?.value = Some(dimension::Value::DimValue(extent));
        }
    }
    Some(())
}

/// A node with other outputs.
fn outputs(graph: &mut GraphProto, fault: &Fault) -> Option<()> {
    let Fault {
        place, within, value, ..
    } = *fault;
    let outputs = &mut chosen(&mut graph.node, place)?.output;
    if value % 2 == 0 {
        outputs.push("another".to_owned());
    } else {
        chosen(outputs, within)?.clear();
    }
    Some(())
}

/// Something to feed: small numbers of the declared kind, in the declared shape with open axes as
/// given.
fn fed(input: &ValueInfo, batch: usize, open: usize, device: &Device) -> Option<(String, Value)> {
    let dims: Vec<usize> = input
        .dims
        .as_ref()?
        .iter()
        .enumerate()
        .map(|(axis, dim)| match dim {
            Dim::Known(extent) => *extent,
            _ if axis == 0 => batch,
            _ => open,
        })
        .collect();
    let count = dims
        .iter()
        .try_fold(1_usize, |count, extent| count.checked_mul(*extent))?;
    if count > LARGEST {
        return None;
    }
    let data = match input.element.map_or(Kind::Float, |element| element.kind()) {
        Kind::Float => TensorData::new((0..count).map(|i| (i as f32).sin()).collect::<Vec<f32>>(), dims),
        Kind::Int => TensorData::new((0..count).map(|i| i as i64 % 3 - 1).collect::<Vec<i64>>(), dims),
        Kind::Bool => TensorData::new((0..count).map(|i| i % 2 == 0).collect::<Vec<bool>>(), dims),
    };
    Some((input.name.clone(), Value::from_data(data, device)))
}

/// Decodes, infers, and runs what is not too large, at several batch sizes.
fn try_out(bytes: &[u8]) -> Option<()> {
    let graph: Graph = decode(bytes, None).ok()?;
    let device = Device::flex();
    let network = Network::new(graph.clone(), &device).ok()?;
    for (batch, open) in [(1, 1), (2, 5), (3, 4)] {
        let mut sized = graph.clone();
        let mut inputs = Vec::new();
        for input in &mut sized.inputs {
            let (name, value) = fed(input, batch, open, &device)?;
            input.dims = Some(value.dims().into_iter().map(Dim::Known).collect());
            inputs.push((name, value));
        }
        let small = |graph: &Graph| {
            infer(graph, 1).map_or(true, |facts| facts.values().all(|fact| fact.len() <= LARGEST))
        };
        if small(&sized) {
            for mode in [Mode::Inference, Mode::Training] {
                let _ = network.run(inputs.clone(), &[], mode);
            }
        }
    }
    Some(())
}

/// The recorded models that can be read at all.
static MODELS: LazyLock<Vec<ModelProto>> = LazyLock::new(|| {
    let read = |case: &Case| ModelProto::parse_from_bytes(&std::fs::read(case.path()).ok()?).ok();
    cases("operators").iter().filter_map(read).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_models_never_panic(victim in any::<u16>(), faults in proptest::collection::vec(fault(), 1..4)) {
        let mut model = MODELS[usize::from(victim) % MODELS.len()].clone();
        for fault in &faults {
            damage(&mut model, fault);
        }
        let bytes = model.write_to_bytes().unwrap();
        let _ = try_out(&bytes);
    }
}
