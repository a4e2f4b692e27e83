//! Where the tests find the numbers of reference implementations.

use std::path::{Path, PathBuf};

use potstill_core::plugin::{PluginSpec, Recorded, Tolerance, check};

/// A record of `../shared/golden`; none on a machine that does not have them.
pub fn golden(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/golden")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no record {}", path.display());
    None
}

/// Refuses a plugin that does not agree with a record, or a record without the gradient that is named.
pub fn assert_agrees(spec: &str, record: &str, gradient: &str) {
    let Some(path) = golden(record) else { return };
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
    let Some(path) = golden(record) else { return };
    let plugin = spec.parse::<PluginSpec>().unwrap().build().unwrap();
    let report = check(
        plugin.as_ref(),
        &Recorded::open(&path).unwrap(),
        Tolerance::default(),
    )
    .unwrap();
    assert!(!report.agrees(), "{spec} on {record}");
}
