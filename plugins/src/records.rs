//! Comparing methods with the numbers of reference implementations.

use std::path::PathBuf;

use potstill_core::plugin::{PluginSpec, Recorded, Term, Tolerance, check};

/// A record of `tests/records/golden`; a test whose record is missing fails.
#[track_caller]
pub fn golden(name: &str) -> PathBuf {
    potstill_evidence::record(&format!("golden/{name}"))
}

/// Refuses a plugin that does not agree with a record, or a record without the gradient that is
/// named.
pub fn assert_agrees(spec: &str, record: &str, gradient: &str) {
    let path = golden(record);
    let plugin = spec.parse::<PluginSpec>().unwrap().build().unwrap();
    let report = check(
        plugin.as_ref(),
        &Recorded::open(&path).unwrap(),
        Tolerance::default(),
    )
    .unwrap();
    assert!(report.agrees(), "{spec} on {record}: {report:#?}");
    let gradient = format!("grad.{gradient}");
    assert!(
        report
            .comparisons
            .iter()
            .any(|c| c.name == gradient && c.recorded.is_some())
    );
}

/// Refuses a plugin that agrees with a record although its options are others.
pub fn assert_differs(spec: &str, record: &str) {
    let path = golden(record);
    let plugin = spec.parse::<PluginSpec>().unwrap().build().unwrap();
    let report = check(
        plugin.as_ref(),
        &Recorded::open(&path).unwrap(),
        Tolerance::default(),
    )
    .unwrap();
    assert!(!report.agrees(), "{spec} on {record}");
}

/// Refuses a plugin whose gradient with respect to a recorded input is not the slope of its loss:
/// for forms that no record has numbers of.
pub fn assert_slopes<const D: usize>(spec: &str, record: &str, input: &str) {
    let path = golden(record);
    let plugin = spec.parse::<PluginSpec>().unwrap().build().unwrap();
    let loss = |record: &Recorded| Term::total(&plugin.recorded(record).unwrap()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let recorded = Recorded::open(&path).unwrap();
    let gradients = loss(&recorded).backward();
    let leaf = recorded.float::<D>(input).unwrap();
    let gradient: Vec<f32> = leaf.grad(&gradients).unwrap().into_data().iter().collect();
    let scale = gradient
        .iter()
        .fold(1e-9_f32, |scale, slope| scale.max(slope.abs()));
    let start = offset(&bytes, input);
    let file = tempfile::NamedTempFile::new().unwrap();
    let step = 2e-3_f32;
    for place in (0..gradient.len()).step_by((gradient.len() / 29).max(1)) {
        let at = |shift: f32| {
            let mut moved = bytes.clone();
            let element = &mut moved[start + 4 * place..][..4];
            let value = f32::from_le_bytes([element[0], element[1], element[2], element[3]]);
            element.copy_from_slice(&(value + shift).to_le_bytes());
            std::fs::write(file.path(), moved).unwrap();
            loss(&Recorded::open(file.path()).unwrap()).into_scalar::<f32>()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let error = (slope - gradient[place]).abs() / scale;
        assert!(
            error < 2e-2,
            "{spec}, {input}[{place}]: {slope} by differences, {} by the backward pass, the largest {scale}",
            gradient[place]
        );
    }
}

/// Where a tensor's elements begin in a safetensors file: a length of 8 bytes, a header in JSON,
/// the elements.
fn offset(bytes: &[u8], tensor: &str) -> usize {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
    let entry = text.find(&format!("\"{tensor}\":{{")).unwrap();
    let offsets = "\"data_offsets\":[";
    let begin = entry + text[entry..].find(offsets).unwrap() + offsets.len();
    let digits: String = text[begin..].chars().take_while(char::is_ascii_digit).collect();
    8 + header + digits.parse::<usize>().unwrap()
}
