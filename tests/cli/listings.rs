//! What the program says about itself, and `check`.

use crate::potstill::{done, potstill, shared};

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
fn devices_always_have_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    assert!(done(folder.path(), "devices").stdout.contains("cpu"));
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
    let Some(record) = shared("golden/kd_T2_a0p9.safetensors") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let record = record.display();
    let answer = done(
        folder.path(),
        &format!("check kd:temperature=2,alpha=0.9 {record}"),
    );
    assert!(answer.stdout.contains("agrees"), "{answer:?}");
    let arguments = format!("check kd:temperature=3,alpha=0.9 {record} --format json");
    let answer = potstill(folder.path(), &arguments);
    assert_eq!(answer.code, 1, "{answer:?}");
    let loss = &answer.json()["comparisons"][0];
    assert_eq!((&loss["name"], &loss["agrees"]), (&"loss".into(), &false.into()));
}
