//! The recipes are configurations that the program takes.

use std::fs;
use std::path::Path;

use potstill_core::zoo;
use potstill_exporters::Export;

use crate::potstill::{done, fresh, pictures_of_cifar100};

#[test]
fn every_recipe_is_a_configuration_with_its_command_and_its_published_number() {
    let folder = fresh();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    pictures_of_cifar100(&data);
    let teacher = folder.path().join("runs/teacher-resnet56-cifar100/student.onnx");
    fs::create_dir_all(teacher.parent().unwrap()).unwrap();
    let graph = zoo::build("resnet56", 100, [3, 32, 32], 0).unwrap();
    Export::default().write(&graph, &teacher).unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut methods = Vec::new();
    for entry in fs::read_dir(recipes).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(&format!("# potstill distill recipes/{name}")),
            "{name}"
        );
        assert!(text.contains("# Published: "), "{name}");
        let here = text.replace("download = true", "download = false");
        fs::write(folder.path().join(&name), here).unwrap();
        let answer = done(folder.path(), &format!("distill {name} --dry-run --device cpu"));
        assert!(answer.stdout.contains("# loss term ce"), "{name}: {answer:?}");
        methods.push(name.split('-').next().unwrap().to_owned());
    }
    for method in [
        "kd", "fitnets", "dml", "one", "cl", "okddip", "at", "sp", "vid", "rkd", "pkt", "dkd", "crd", "cc",
        "nst", "fsp", "ft", "ab", "lskd", "dist", "ofd", "reviewkd",
    ] {
        assert!(
            methods.iter().any(|name| name == method),
            "no recipe for {method}"
        );
    }
}
