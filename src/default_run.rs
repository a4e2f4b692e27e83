//! The run of `potstill distill` without arguments: data that the program draws, a teacher that it brings.

use std::path::Path;

use burn::tensor::Device;
use potstill_teachers::{Teacher, decode};

use crate::config::RunConfig;
use crate::error::CliError;

/// How the embedded teacher is named in configurations.
pub const TEACHER: &str = "embedded:glyphs-resnet20";

/// The teacher's file. This program has trained it; `model/README.md` has the command.
pub const TEACHER_BYTES: &[u8] = include_bytes!("../model/glyphs-resnet20.onnx");

/// The configuration, with its reasons in the file.
const CONFIG: &str = include_str!("default_run.toml");

/// The configuration.
///
/// # Errors
/// None with the embedded file; a test reads it.
pub fn config() -> Result<RunConfig, CliError> {
    toml::from_str(CONFIG).map_err(|error| CliError::Toml {
        path: "default_run.toml".into(),
        message: error.to_string(),
    })
}

/// The embedded teacher.
///
/// # Errors
/// Pictures that it is not for.
pub fn teacher(picture: [usize; 3], device: &Device) -> Result<Teacher, CliError> {
    let path = Path::new(TEACHER);
    let graph = decode(TEACHER_BYTES, None).map_err(|source| CliError::Import {
        path: path.to_owned(),
        source,
    })?;
    Ok(Teacher::new(path, graph, picture, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_and_teacher_can_be_read() {
        let config = config().unwrap();
        assert_eq!(config.teacher, [Path::new(TEACHER)]);
        assert_eq!(teacher([3, 32, 32], &Device::flex()).unwrap().classes, 20);
    }
}
