//! Several students at once: peers, branches, stages; what is evaluated, exported and resumed.

use std::fs;
use std::path::Path;

use potstill_evidence::record;
use serde_json::Value;

use crate::potstill::{done, fresh, json_lines, network, refused};

/// The metrics of the last epoch.
fn last_metrics(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let epochs = json_lines(&text)
        .into_iter()
        .filter(|event| event["event"] == "epoch");
    epochs.collect::<Vec<_>>().pop().unwrap()["metrics"].clone()
}

fn members(metrics: &Value) -> Vec<&str> {
    let names = metrics.as_object().unwrap().keys();
    names
        .filter_map(|name| name.strip_prefix("valid.")?.strip_suffix(".entropy"))
        .collect()
}

#[test]
fn every_cohort_reports_its_members_their_ensemble_and_their_diversity() {
    for (arguments, expected) in [
        ("--plugin dml", &["peer0", "peer1"][..]),
        (
            "--student resnet8 --student fitnet-1 --plugin dml:update=alternating",
            &["peer0", "peer1"],
        ),
        ("--plugin one", &["branch0", "branch1", "branch2"]),
        (
            "--plugin cl-ilr:forks=[2,2]",
            &["branch0", "branch1", "branch2", "branch3"],
        ),
        ("--plugin okddip", &["branch0", "branch1", "branch2", "leader"]),
        (
            "--plugin okddip:structure=network,members=3",
            &["peer0", "peer1", "leader"],
        ),
    ] {
        let folder = fresh();
        let answer = done(
            folder.path(),
            &format!("distill tiny.toml --max-steps 2 {arguments}"),
        );
        let metrics = last_metrics(folder.path());
        let mut sorted = expected.to_vec();
        sorted.sort_unstable();
        assert_eq!(members(&metrics), sorted, "{arguments}");
        let number = |name: &str| {
            metrics[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{arguments}: no {name} in {metrics}"))
        };
        for member in expected {
            // Between certainty and 20 equal classes.
            let entropy = number(&format!("valid.{member}.entropy"));
            assert!(
                entropy > 0.0 && entropy <= 20.0_f64.ln() + 1e-6,
                "{arguments}: {entropy}"
            );
            assert!(answer.stdout.contains(member), "{arguments}: {answer:?}");
        }
        assert!(number("valid.diversity") > 0.0, "{arguments}");
        assert!((0.0..=100.0).contains(&number("valid.ensemble.top1")));
        assert!(folder.path().join("run/student.onnx").is_file());
    }
}

#[test]
fn what_is_exported_is_a_network_of_the_students_own_size_unless_the_ensemble_is_asked_for() {
    let folder = fresh();
    done(folder.path(), "distill tiny.toml --plugin one");
    done(
        folder.path(),
        "distill tiny.toml --out all --member ensemble --plugin one",
    );
    let parameters = |file: &str| {
        let answer = done(folder.path(), &format!("inspect {file} --format json"));
        answer.json()["parameters"].as_u64().unwrap()
    };
    done(folder.path(), "distill tiny.toml --out alone");
    let alone = parameters("alone/student.onnx");
    assert_eq!(parameters("run/student.onnx"), alone);
    assert!(parameters("all/student.onnx") > 2 * alone);
    let member = |file: &str| {
        let answer = done(folder.path(), &format!("inspect {file} --format json"));
        answer.json()["metadata"]["potstill.member"].clone()
    };
    assert_eq!(member("run/student.onnx"), "branch0");
    assert_eq!(member("all/student.onnx"), "ensemble");
    assert_eq!(member("alone/student.onnx"), Value::Null);
    // The same run's other members, and its ensemble, from the checkpoint.
    for member in ["branch2", "best"] {
        done(
            folder.path(),
            &format!("export run --member {member} -o one.onnx"),
        );
        assert_eq!(parameters("one.onnx"), alone, "{member}");
    }
    done(folder.path(), "export run --member branch2 -o one.onnx");
    assert_eq!(member("one.onnx"), "branch2");
    done(folder.path(), "export run --member ensemble -o whole.onnx");
    assert_eq!(parameters("whole.onnx"), parameters("all/student.onnx"));
}

#[test]
fn an_exported_member_has_the_accuracy_that_the_run_reports() {
    for (method, member) in [
        ("one", "ensemble"),
        ("okddip", "leader"),
        ("dml", "best"),
        ("dml", "ensemble"),
    ] {
        let folder = fresh();
        done(
            folder.path(),
            &format!("distill tiny.toml --epochs 3 --learning-rate 0.02 --plugin {method} --member {member}"),
        );
        let rows: Value =
            serde_json::from_slice(&fs::read(folder.path().join("run/result.json")).unwrap()).unwrap();
        let reported = rows[0]["top1"].as_f64().unwrap();
        let answer = done(
            folder.path(),
            "eval run/student.onnx --limit 40 --device cpu --format json",
        );
        let top1 = answer.json()["top1"].as_f64().unwrap();
        assert!(
            (top1 - reported).abs() < 1e-9,
            "{method} {member}: {top1} is not {reported}"
        );
    }
}

#[test]
fn hints_are_learnt_in_a_stage_of_their_own() {
    let method = "--teacher embedded:glyphs-resnet20 --plugin fitnets:hint=layer2.2.relu2,guided=layer2.0.relu2,hint-epochs=2";
    let straight = fresh();
    done(straight.path(), &format!("distill tiny.toml --epochs 2 {method}"));
    let losses = |folder: &Path| -> Vec<f64> {
        let text = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
        let steps = json_lines(&text)
            .into_iter()
            .filter(|event| event["event"] == "step");
        steps.map(|step| step["loss"].as_f64().unwrap()).collect()
    };
    let whole = losses(straight.path());
    // 64 pictures in batches of 16: two epochs of hints, two of the rest.
    assert_eq!(whole.len(), 16);
    let text = fs::read_to_string(straight.path().join("run/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = json_lines(&text)
        .into_iter()
        .filter(|event| event["event"] == "epoch")
        .collect();
    assert_eq!(epochs[0]["stage"], "hint");
    assert!(epochs[0]["metrics"].get("valid.top1").is_none());
    assert!(epochs[1]["metrics"]["train.hint"].as_f64() < epochs[0]["metrics"]["train.hint"].as_f64());
    assert!(epochs[3].get("stage").is_none() && epochs[3]["metrics"]["valid.top1"].is_number());
}

#[test]
fn a_student_from_a_file_is_branched_where_it_is_told_to() {
    let folder = fresh();
    network(folder.path(), "mine.onnx", 20, [3, 32, 32]);
    refused(
        folder.path(),
        "distill tiny.toml --student mine.onnx --plugin one",
        &["--split", "possible:", "layer2.0.relu2"],
    );
    refused(
        folder.path(),
        "distill tiny.toml --student mine.onnx --plugin one --split layer2.0.conv1",
        &["cannot branch after `layer2.0.conv1`", "possible:"],
    );
    done(
        folder.path(),
        "distill tiny.toml --student mine.onnx --plugin one --split layer2.0.relu2",
    );
    let answer = done(folder.path(), "inspect run/student.onnx --format json");
    assert!(answer.stdout.contains("layer3.0.relu2"), "{answer:?}");
}

#[test]
fn what_makes_no_cohort_is_refused() {
    let folder = fresh();
    for (arguments, pieces) in [
        (
            "--plugin dml:peers=3 --student resnet8 --student resnet14",
            &["2 students", "3 members"][..],
        ),
        ("--plugin dml:peers=1", &["option `peers` is 1"]),
        (
            "--plugin one --student resnet8 --student resnet14",
            &["2 students", "branches"],
        ),
        ("--plugin one --plugin dml", &["different cohorts"]),
        (
            "--plugin one --split layer9",
            &["cannot branch after `layer9`", "possible:"],
        ),
        (
            "--plugin one --split layer1.0.relu2 --split layer2.0.relu2",
            &["2 values to split at, expected 1"],
        ),
        ("--plugin dml --split layer1.0.relu2", &["--split"]),
        ("--plugin one --member branch7", &["--member", "branch2"]),
        ("--plugin okddip:members=2", &["option `members` is 2"]),
        ("--plugin okddip:features=layer9", &["no value `layer9`"]),
        ("--plugin cl-ilr:forks=[1]", &["option `forks`"]),
        ("--plugin cl-ilr:beta=2", &["option `beta`"]),
        (
            "--teacher embedded:glyphs-resnet20 --plugin kd --plugin dot",
            &["`optimizer` is", "plugin `dot`"],
        ),
        ("--plugin dot:delta=0.2", &["option `delta`"]),
        (
            "--teacher embedded:glyphs-resnet20 --plugin fitnets",
            &["option `hint`"],
        ),
        (
            "--teacher embedded:glyphs-resnet20 --plugin fitnets:hint=layer2.2.relu2,guided=layer9",
            &["no value `layer9`"],
        ),
        (
            "--teacher embedded:glyphs-resnet20 --plugin fitnets:hint=layer1.2.relu2,guided=layer3.0.relu2",
            &["option `guided`", "layer3.0.relu2"],
        ),
    ] {
        refused(folder.path(), &format!("distill tiny.toml {arguments}"), pieces);
        assert!(!folder.path().join("run").exists(), "{arguments}");
    }
}

#[test]
fn the_gradient_report_and_the_balance_come_when_they_are_asked_for() {
    let folder = fresh();
    let answer = done(
        folder.path(),
        "distill tiny.toml --teacher embedded:glyphs-resnet20 --plugin kd --gradient-report 2 --balance 1",
    );
    assert!(answer.stdout.contains("weight for the ratio"), "{answer:?}");
    let text = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let reports: Vec<Value> = json_lines(&text)
        .into_iter()
        .filter_map(|event| event.get("gradients").cloned())
        .collect();
    assert_eq!(reports.len(), 2);
    for name in [
        "ce.logits.norm",
        "kd.logits.norm",
        "ce.parameters.norm",
        "kd.parameters.norm",
    ] {
        assert!(reports[0][name].as_f64().unwrap() > 0.0, "{name}");
    }
    let cosine = reports[0]["ce~kd.logits.cosine"].as_f64().unwrap();
    assert!((-1.0..=1.0).contains(&cosine));
}

/// A run must not depend on being looked at.
#[test]
fn a_gradient_report_changes_nothing() {
    let results: Vec<Value> = ["", "--gradient-report 1"]
        .into_iter()
        .map(|report| {
            let folder = fresh();
            done(
                folder.path(),
                &format!("distill tiny.toml --epochs 2 --plugin one {report}"),
            );
            last_metrics(folder.path())
        })
        .collect();
    assert_eq!(results[0], results[1]);
}

#[test]
fn every_golden_record_of_the_six_methods_agrees() {
    for (method, records) in [
        ("dml", &["dml_K2", "dml_K3", "dml_K4"][..]),
        ("dml:temperature=2", &["dml_K3_T2"]),
        ("dml:target=ensemble", &["dml_ensemble_K3"]),
        (
            "one:weight=1,detach-target=true",
            &["one_detached_m3", "one_gatebn_detached_m3"],
        ),
        (
            "one:weight=1,target-eps=1e-7",
            &["one_flow_m3", "one_gatebn_flow_m3"],
        ),
        (
            "cl-ilr",
            &["cl_ilr_H3_b0p5_T2", "cl_ilr_H4_b0p5_T2", "cl_ilr_rescale_H3"],
        ),
        (
            "cl-ilr:form=okddip,weight=1,temperature=3,detach-target=false,target-eps=1e-7",
            &["cl_ilr_okddip_flow_H3_T3"],
        ),
        (
            "okddip:target-eps=1e-7",
            &["okddip_flow_p3_e0", "okddip_flow_p3_e40", "okddip_flow_p3_e80"],
        ),
        ("okddip", &["okddip_flow_noeps_p3_e40"]),
        ("okddip:detach-target=true", &["okddip_detached_p3_e40"]),
        (
            "fitnets",
            &[
                "fitnets_equal_half",
                "fitnets_stride2_half",
                "fitnets_valid_half",
                "fitnets_valid_half_rect",
            ],
        ),
        (
            "fitnets:reduction=mean",
            &[
                "fitnets_equal_mean",
                "fitnets_stride2_mean",
                "fitnets_valid_mean",
                "fitnets_valid_mean_rect",
            ],
        ),
    ] {
        for name in records {
            let file = record(&format!("golden/{name}.safetensors"));
            done(
                file.parent().unwrap(),
                &format!("check {method} {name}.safetensors"),
            );
        }
    }
}
