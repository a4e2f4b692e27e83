//! The run of `potstill distill` without arguments: data that the program draws, a teacher that it
//! brings.

use crate::config::RunConfig;
use crate::error::RunError;

/// How the embedded teacher is named in configurations.
pub const TEACHER: &str = "embedded:glyphs-resnet20";

/// The teacher's file. This program has trained it; `model/README.md` has the command.
pub const TEACHER_BYTES: &[u8] = include_bytes!("../../model/glyphs-resnet20.onnx");

/// The configuration, with its reasons in the file.
const CONFIG: &str = include_str!("default_run.toml");

/// The configuration.
///
/// # Errors
/// None with the embedded file; a test reads it.
pub fn config() -> Result<RunConfig, RunError> {
    toml::from_str(CONFIG).map_err(|error| RunError::Toml {
        path: "default_run.toml".into(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use burn::tensor::Device;
    use potstill_teachers::{Classifier, decode};

    use super::*;

    #[test]
    fn the_embedded_configuration_and_teacher_can_be_read() {
        let config = config().unwrap();
        assert_eq!(config.teacher, [PathBuf::from(TEACHER).into()]);
        let graph = decode(TEACHER_BYTES, None).unwrap();
        let teacher = Classifier::new(Path::new(TEACHER), graph, [3, 32, 32], &Device::flex());
        assert_eq!(teacher.unwrap().classes, 20);
    }
}
