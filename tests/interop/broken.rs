//! Files that are no network: refused with an error that names what is wrong, without a panic and
//! without asking for absurd amounts of memory.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{Message, ModelProto, StringStringEntryProto, TensorProto};
use potstill_core::graph::GraphError;
use potstill_core::network::Network;
use potstill_teachers::{DecodeError, decode, decode_file};
use proptest::prelude::*;

use crate::case::reason;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/operators")
}

/// The bytes of a small model: a convolution with weights, about half a kilobyte.
fn small() -> Vec<u8> {
    std::fs::read(folder().join("conv_2d_bias.onnx")).unwrap()
}

/// The small model after a change.
fn changed(change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut model = ModelProto::parse_from_bytes(&small()).unwrap();
    change(&mut model);
    model.write_to_bytes().unwrap()
}

fn first_tensor(model: &mut ModelProto) -> &mut TensorProto {
    &mut model.graph.as_mut().unwrap().initializer[0]
}

/// Why bytes are refused.
fn refusal(bytes: &[u8]) -> String {
    match decode(bytes, Some(&folder())) {
        Ok(_) => panic!("the file is not refused"),
        Err(error) => reason(&error),
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = decode_file(Path::new("nowhere.onnx")).unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error:?}");
    assert!(reason(&error).contains("nowhere.onnx"));
}

#[test]
fn a_truncated_file_is_refused_wherever_it_was_cut() {
    assert!(decode_file(&folder().join("truncated.onnx")).is_err());
    let whole = small();
    for length in 0..whole.len() {
        assert!(
            decode(&whole[..length], None).is_err(),
            "the first {length} bytes of {} are read",
            whole.len()
        );
    }
}

#[test]
fn a_file_of_another_kind_is_no_onnx_model() {
    for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"hello", b"", &[0xff; 64], &[0; 64]] {
        let error = decode(bytes, None).unwrap_err();
        assert!(matches!(error, DecodeError::NotOnnx { .. }), "{error:?}");
    }
}

#[test]
fn unsupported_operators_are_listed_all_with_their_counts() {
    let error = decode_file(&folder().join("unsupported_two_kinds.onnx")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("example.vision::NonMaxSuppressionLite (2×)"),
        "{text}"
    );
    assert!(text.contains("example.vision::GridWarp (1×)"), "{text}");
}

#[test]
fn operator_sets_outside_the_range_are_refused() {
    for opset in [0, 5, 29, i64::MAX] {
        let bytes = changed(|model| model.opset_import[0].version = opset);
        let error = decode(&bytes, None).unwrap_err();
        assert!(
            matches!(error, DecodeError::Opset { got, oldest: 6, newest: 28 } if got == opset),
            "{error:?}"
        );
    }
    let without = refusal(&changed(|model| model.opset_import.clear()));
    assert!(without.contains("operator set"), "{without}");
}

#[test]
fn a_weight_whose_size_contradicts_its_shape_is_refused() {
    for dims in [
        vec![1],
        vec![1 << 40],
        vec![1 << 62, 1 << 62],
        vec![-1, 3],
        vec![i64::MAX; 3],
    ] {
        let text = refusal(&changed(|model| first_tensor(model).dims = dims.clone()));
        assert!(text.contains("shape"), "{dims:?}: {text}");
    }
    let text = refusal(&changed(|model| first_tensor(model).data_type = 8));
    assert!(text.contains("element type 8"), "{text}");
}

/// The small model with its first tensor in a file beside it.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    changed(|model| {
        let tensor = first_tensor(model);
        tensor.data_location = DataLocation::EXTERNAL.into();
        tensor.raw_data.clear();
        tensor.float_data.clear();
        tensor.external_data = entries
            .iter()
            .map(|(key, value)| {
                let mut entry = StringStringEntryProto::new();
                entry.key = (*key).to_owned();
                entry.value = (*value).to_owned();
                entry
            })
            .collect();
    })
}

#[test]
fn missing_external_data_is_named() {
    let error = decode_file(&folder().join("external_missing.onnx")).unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error:?}");
    assert!(reason(&error).contains("nowhere.bin"));
}

#[test]
fn external_data_outside_the_folder_is_refused() {
    for location in ["../operators.py", "/etc/hostname", "a/../../fixture.py", ""] {
        let text = refusal(&external(&[("location", location)]));
        assert!(
            text.contains("external data") || text.contains("cannot read"),
            "{location}: {text}"
        );
    }
    assert!(refusal(&external(&[])).contains("location"));
}

#[test]
fn external_data_that_ends_early_or_is_misplaced_is_refused() {
    let file = "weights_external.bin";
    for (key, value) in [
        ("offset", "18446744073709551615"),
        ("offset", "1000000"),
        ("offset", "-1"),
        ("length", "3"),
        ("length", "much"),
    ] {
        let text = refusal(&external(&[("location", file), (key, value)]));
        assert!(
            text.contains("external") || text.contains("holds"),
            "{key}={value}: {text}"
        );
    }
}

#[test]
fn a_cycle_and_a_value_that_nobody_makes_are_refused() {
    let cycle = changed(|model| {
        let node = &mut model.graph.as_mut().unwrap().node[0];
        node.input[0] = node.output[0].clone();
    });
    let unmade = changed(|model| model.graph.as_mut().unwrap().node[0].input[0] = "nobody".to_owned());
    let error = decode(&cycle, None).unwrap_err();
    assert!(matches!(error, DecodeError::Cycle { .. }), "{error:?}");
    let error = decode(&unmade, None).unwrap_err();
    assert!(
        matches!(error, DecodeError::Graph(GraphError::Unmade { .. })),
        "{error:?}"
    );
    let output = changed(|model| model.graph.as_mut().unwrap().output[0].name = "nobody".to_owned());
    let error = decode(&output, None).unwrap_err();
    assert!(
        matches!(error, DecodeError::Graph(GraphError::UnknownOutput { .. })),
        "{error:?}"
    );
    let twice = changed(|model| {
        let node = model.graph.node[0].clone();
        model.graph.as_mut().unwrap().node.push(node);
    });
    let error = decode(&twice, None).unwrap_err();
    assert!(
        matches!(error, DecodeError::Graph(GraphError::Duplicate { .. })),
        "{error:?}"
    );
}

/// Models of every family, to be damaged.
const VICTIMS: [&str; 8] = [
    "conv_2d_bias",
    "chain_size_arithmetic",
    "resize_linear_opset13",
    "conv_transpose_2d_output_shape",
    "max_pool_2d_ceil_pads",
    "slice_negative_step",
    "constant_value_scalar",
    "split_num_outputs_uneven",
];

/// Decodes and infers; any answer will do but a panic.
fn open(bytes: &[u8]) {
    if let Ok(graph) = decode(bytes, Some(&folder())) {
        let _ = Network::new(graph, &Device::flex());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        victim in 0..VICTIMS.len(),
        cut in 0.5..1.5_f64,
        flips in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 0..6),
    ) {
        let mut bytes = std::fs::read(folder().join(format!("{}.onnx", VICTIMS[victim]))).unwrap();
        let length = bytes.len();
        bytes.truncate((length as f64 * cut) as usize);
        let length = bytes.len();
        for (place, byte) in flips {
            bytes[(length as f64 * place) as usize] = byte;
        }
        open(&bytes);
    }
}
