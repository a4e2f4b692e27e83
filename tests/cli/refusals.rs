//! Flags, configuration files and output folders that are refused before anything is written.

use std::fs;

use crate::potstill::{fresh, network, refused, trained};

/// Refuses to distil, and leaves no folder.
fn no_run(arguments: &str, pieces: &[&str]) {
    let folder = fresh();
    refused(folder.path(), &format!("distill tiny.toml {arguments}"), pieces);
    assert!(!folder.path().join("run").exists(), "{arguments}");
}

#[test]
fn values_outside_their_range_are_named_with_what_is_expected() {
    no_run("--epochs 0", &["`epochs` is 0", "1 or more"]);
    no_run("--batch-size 0", &["`batch-size` is 0", "1 or more"]);
    no_run("--max-steps 0", &["`max-steps` is 0", "1 or more"]);
    no_run("--learning-rate -1", &["`learning-rate` is -1", "above 0"]);
    no_run("--learning-rate fast", &["--learning-rate", "fast"]);
    no_run("--warmup -2", &["`warmup` is -2", "0 epochs or more"]);
    no_run("--clip-norm 0", &["`clip-norm` is 0", "above 0"]);
    no_run("--threads 0", &["0 threads", "1 or more"]);
    no_run("--limit 0", &["number of images", "at least 1"]);
    no_run("--opset 8", &["operator set 8", "expected 9 to 24"]);
    no_run("--device nonsense", &["`nonsense`", "cpu"]);
    no_run("--seed 18446744073709551615", &["--seed", "18446744073709551615"]);
    no_run(
        "--optimizer sgd:momentun=0.9",
        &["--optimizer", "momentun", "momentum"],
    );
    no_run("--optimizer sdg", &["--optimizer", "sdg", "sgd"]);
    no_run("--schedule cosin", &["--schedule", "cosin", "cosine"]);
    no_run("--schedule constant:rate=1", &["--schedule", "rate"]);
    no_run("--log-format xml", &["--log-format", "xml", "json"]);
}

#[test]
fn unknown_names_come_with_the_nearest() {
    no_run(
        "--student resnet9",
        &["no network `resnet9`", "did you mean `resnet8`"],
    );
    no_run(
        "--student nonsense",
        &["no network `nonsense`", "known: ", "wrn-16-2"],
    );
    no_run(
        "--data cifr100 --data-dir x",
        &["no data set `cifr100`", "did you mean `cifar100`?"],
    );
    no_run(
        "--teacher compiled:nonsense --plugin kd",
        &[
            "no compiled teacher `nonsense`",
            "POTSTILL_TEACHERS=FOLDER cargo build --release --features compiled-teachers",
        ],
    );
    no_run("--no-such-flag", &["--no-such-flag"]);
    let folder = fresh();
    refused(
        folder.path(),
        "distil",
        &["unrecognized subcommand 'distil'", "distill"],
    );
}

#[test]
fn a_method_is_refused_with_its_name_option_and_value() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "teacher.onnx", 20, [3, 32, 32]);
    let no_run = |arguments: &str, pieces: &[&str]| {
        let arguments = format!("distill tiny.toml --teacher teacher.onnx {arguments}");
        refused(folder, &arguments, pieces);
        assert!(!folder.join("run").exists(), "{arguments}");
    };
    no_run("--plugin kdd", &["no plugin `kdd`", "did you mean `kd`"]);
    no_run(
        "--plugin kd:temprature=4",
        &["no option `temprature`", "did you mean `temperature`?"],
    );
    no_run(
        "--plugin kd:temperature=0",
        &["option `temperature` is 0", "above 0"],
    );
    no_run("--plugin kd:temperature=hot", &["`kd`", "hot"]);
    no_run("--plugin kd:alpha=1.5", &["option `alpha` is 1.5", "0 to 1"]);
    no_run(
        "--plugin kd:temperature",
        &["`temperature` is not of the form option=value"],
    );
    no_run("--plugin kd --plugin kd:alpha=0.5", &["`kd` is given twice"]);
    no_run("", &["teacher.onnx", "--plugin kd"]);
}

#[test]
fn a_method_without_its_teacher_says_what_is_missing() {
    no_run("--plugin kd", &["`kd` needs a teacher", "--teacher"]);
}

#[test]
fn a_wrong_line_of_the_configuration_is_shown() {
    let folder = fresh();
    let folder = folder.path();
    let refuse = |text: &str, pieces: &[&str]| {
        fs::write(folder.join("wrong.toml"), text).unwrap();
        refused(folder, "distill wrong.toml --out run", pieces);
        assert!(!folder.join("run").exists(), "{text}");
    };
    refuse(
        "seed = 1\nstudnt = \"resnet8\"\n",
        &["wrong.toml", "line 2", "studnt", "student"],
    );
    refuse(
        "[training]\nepochs = \"two\"\n",
        &["wrong.toml", "line 2", "epochs", "string"],
    );
    refuse(
        "[training]\n\nepoch = 2\n",
        &["wrong.toml", "line 3", "epoch", "epochs"],
    );
    refuse("[training]\nepochs = -2\n", &["wrong.toml", "line 2", "-2"]);
    refuse("student = \n", &["wrong.toml", "line 1"]);
    refuse("[data.glyphs]\ndifficulty = 2.0\n", &["`difficulty`", "0 to 1"]);
    refuse("[data]\ntest = [\"croop:size=3\"]\n", &["croop"]);
    refuse("[data]\nmean = [0.5]\n", &["`mean` has 1 values", "3 channels"]);
    refuse("[[plugin]]\ntemperature = 4\n", &["[[plugin]]", "name = \"kd\""]);
    refused(folder, "distill nothing.toml", &["cannot read nothing.toml"]);
}

#[test]
fn a_folder_with_another_run_is_left_as_it_is() {
    let folder = trained();
    let student = folder.path().join("run/student.onnx");
    let before = fs::read(&student).unwrap();
    refused(
        folder.path(),
        "distill tiny.toml --seed 1",
        &["run holds another run", "--out", "--resume"],
    );
    assert_eq!(fs::read(&student).unwrap(), before);
    refused(
        folder.path(),
        "distill tiny.toml --out tiny.toml",
        &["cannot write tiny.toml"],
    );
    refused(
        folder.path(),
        "export tiny.toml -o again.onnx",
        &["cannot import tiny.toml", "not an ONNX model"],
    );
    refused(
        folder.path(),
        "export . -o again.onnx",
        &["holds no run", "run.toml is missing"],
    );
    refused(
        folder.path(),
        "export run -o again.onnx --opset 99",
        &["operator set 99", "9 to 24"],
    );
    assert!(!folder.path().join("again.onnx").exists());
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_by_term_and_step() {
    let folder = fresh();
    refused(
        folder.path(),
        "distill tiny.toml --learning-rate 1e20",
        &["loss term `ce`", "at step 2", "smaller learning rate"],
    );
    assert!(!folder.path().join("run/student.onnx").exists());
    refused(
        folder.path(),
        "distill tiny.toml --learning-rate 1e30 --max-steps 1 --out short",
        &["loss term `validation`", "at step 1"],
    );
    assert!(!folder.path().join("short/student.onnx").exists());
}
