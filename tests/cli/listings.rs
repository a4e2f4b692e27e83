//! What the program says about itself, and `check`.

use crate::potstill::{done, potstill, refused};

#[test]
fn plugins_and_models_are_tables_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = done(folder.path(), "plugins --format json").json();
    let kd = plugins
        .as_array()
        .unwrap()
        .iter()
        .find(|plugin| plugin["name"] == "kd")
        .unwrap();
    assert_eq!(kd["paper"]["arxiv"], "1503.02531");
    assert!(kd["options"].to_string().contains("temperature"), "{kd}");
    assert!(done(folder.path(), "plugins").stdout.contains("temperature"));
    let asked = done(folder.path(), "plugins dml --format json").json();
    assert_eq!(asked.as_array().map(Vec::len), Some(1));
    assert_eq!(asked[0]["name"], "dml");
    refused(folder.path(), "plugins okdip", &["okdip", "okddip"]);

    let models = done(folder.path(), "models --format json").json();
    let resnet20 = models
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["name"] == "resnet20")
        .unwrap();
    // The published figure.
    assert_eq!(resnet20["parameters"], 278_324);
    assert!(done(folder.path(), "models").stdout.contains("278,324"));
}

#[test]
fn the_teachers_of_the_program_can_be_named_where_files_can() {
    let folder = tempfile::tempdir().unwrap();
    let teachers = done(folder.path(), "teachers --format json").json();
    assert_eq!(teachers[0]["name"], "embedded:glyphs-resnet20");
    assert_eq!(teachers[0]["logits"], "[batch, 20]");
    assert!(
        done(folder.path(), "teachers")
            .stdout
            .contains("[batch, 3, 32, 32]")
    );
    let measured = done(
        folder.path(),
        "eval embedded:glyphs-resnet20 --limit 100 --device cpu --format json",
    );
    assert!(measured.json()["top1"].as_f64() > Some(80.0), "{measured:?}");
}

#[test]
fn an_architecture_is_inspected_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let report = done(folder.path(), "inspect resnet20 --format json").json();
    assert_eq!(report["parameters"], 278_324);
    let table = done(folder.path(), "inspect resnet20").stdout;
    assert!(table.contains("layer2.0.relu2"), "{table}");
    refused(folder.path(), "inspect resnet21", &["resnet21", "resnet20"]);
}

#[test]
fn devices_always_have_the_cpu_and_are_tested_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let listed = done(folder.path(), "devices").stdout;
    assert!(listed.contains("cpu") && listed.contains("--test"), "{listed}");
    assert_eq!(
        listed.contains("--features wgpu"),
        cfg!(not(any(feature = "wgpu", feature = "cuda"))),
        "{listed}"
    );
    let rows = done(folder.path(), "devices --format json").json();
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["self_test"].is_null())
    );
    if cfg!(not(any(feature = "wgpu", feature = "cuda"))) {
        // A software GPU would take minutes; `core/tests/wgpu.rs` tests one.
        let tested = done(folder.path(), "devices --test").stdout;
        assert!(tested.contains("passed: outputs to 0e0"), "{tested}");
    }
}

#[test]
fn completions_the_manual_and_help_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in ["completions bash", "completions zsh", "man", "--help"] {
        let text = done(folder.path(), arguments).stdout;
        for command in ["distill", "eval", "inspect"] {
            assert!(text.contains(command), "no {command} in `potstill {arguments}`");
        }
    }
    let help = done(folder.path(), "distill --help").stdout;
    for flag in ["--teacher", "--plugin", "--resume", "--dry-run", "--max-steps"] {
        assert!(help.contains(flag), "no {flag} in {help}");
    }
}

#[test]
fn a_method_agrees_with_its_record_and_not_at_another_temperature() {
    let file = potstill_evidence::record("golden/kd_T2_a0p9.safetensors");
    let folder = file.parent().unwrap();
    let answer = done(folder, "check kd:temperature=2,alpha=0.9 kd_T2_a0p9.safetensors");
    assert!(answer.stdout.contains("agrees"), "{answer:?}");
    let answer = potstill(
        folder,
        "check kd:temperature=3,alpha=0.9 kd_T2_a0p9.safetensors --format json",
    );
    assert_eq!(answer.code, 1, "{answer:?}");
    let loss = &answer.json()["comparisons"][0];
    assert_eq!((&loss["name"], &loss["agrees"]), (&"loss".into(), &false.into()));
}

/// A safetensors file of tensors that are all 0, integers where the name is `labels` and else
/// floats: the header's length as 64 bits, the header, the elements.
fn record(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let (kind, size) = if *name == "labels" { ("I64", 8) } else { ("F32", 4) };
        let start = end;
        end += size * shape.iter().product::<usize>();
        let entry = serde_json::json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.resize(bytes.len() + end, 0);
    bytes
}

#[test]
fn records_that_are_broken_or_do_not_fit_the_method_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let check = |bytes: &[u8], pieces: &[&str]| {
        std::fs::write(folder.join("record.safetensors"), bytes).unwrap();
        refused(folder, "check kd record.safetensors", pieces);
        refused(folder, "check kd record.safetensors", &["record.safetensors"]);
    };
    let logits = |student: &'static [usize], teacher: &'static [usize], labels: &'static [usize]| {
        record(&[
            ("student_logits", student),
            ("teacher_logits", teacher),
            ("labels", labels),
            ("loss", &[]),
        ])
    };
    let lacking = record(&[
        ("student_logits", &[2, 5]),
        ("teacher_logit", &[2, 5]),
        ("loss", &[]),
    ]);
    check(
        &lacking,
        &["no tensor `teacher_logits`", "did you mean `teacher_logit`?"],
    );
    check(&lacking[..lacking.len() - 8], &["cannot read the record"]);
    check(b"no record", &["cannot read the record"]);
    check(
        &logits(&[10], &[10], &[2]),
        &["`student_logits` is float [10]", "rank 2"],
    );
    check(
        &logits(&[2, 5], &[2, 7], &[2]),
        &["`teacher_logits` is [2, 7], expected [2, 5]"],
    );
    check(
        &logits(&[2, 5], &[2, 5], &[3]),
        &["`labels` is [3], expected [2]"],
    );
    check(
        &logits(&[0, 5], &[0, 5], &[0]),
        &["`labels` is [0], expected [1]"],
    );
    // A classifier without classes has no label 0.
    check(&logits(&[2, 0], &[2, 0], &[2]), &["`labels` is 0", "below 0"]);
    refused(
        folder,
        "check kd nothing.safetensors",
        &["nothing.safetensors", "No such file"],
    );
}
