//! A teacher as it is written: its file, or a table that also says how its pictures and classes
//! differ from the data's.

use std::path::PathBuf;

use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A teacher.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeacherConfig {
    /// The ONNX file.
    pub file: PathBuf,
    /// How it differs.
    pub own: Own,
}

/// How a teacher's pictures and classes differ from the data's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Own {
    /// Height and width that it takes.
    pub size: Option<[usize; 2]>,
    /// Mean of each channel that it was trained with.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel.
    pub std: Option<Vec<f32>>,
    /// A file with the names of its classes in its order, one a line.
    pub classes: Option<PathBuf>,
    /// The value that holds its logits; its first output where not given.
    pub output: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    file: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<[usize; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    std: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl From<PathBuf> for TeacherConfig {
    fn from(file: PathBuf) -> Self {
        Self {
            file,
            own: Own::default(),
        }
    }
}

impl From<&str> for TeacherConfig {
    fn from(file: &str) -> Self {
        PathBuf::from(file).into()
    }
}

impl Serialize for TeacherConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.own == Own::default() {
            return self.file.serialize(serializer);
        }
        let Own {
            size,
            mean,
            std,
            classes,
            output,
        } = self.own.clone();
        let file = self.file.clone();
        Written {
            file,
            size,
            mean,
            std,
            classes,
            output,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TeacherConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FileOrTable;

        impl<'de> Visitor<'de> for FileOrTable {
            type Value = TeacherConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a teacher's ONNX file, or a table with `file`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TeacherConfig, E> {
                Ok(PathBuf::from(text).into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TeacherConfig, A::Error> {
                let Written {
                    file,
                    size,
                    mean,
                    std,
                    classes,
                    output,
                } = Written::deserialize(MapAccessDeserializer::new(map))?;
                let own = Own {
                    size,
                    mean,
                    std,
                    classes,
                    output,
                };
                Ok(TeacherConfig { file, own })
            }
        }

        deserializer.deserialize_any(FileOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Run {
        teacher: Vec<TeacherConfig>,
    }

    #[test]
    fn a_teacher_is_a_file_or_a_table_and_is_written_as_it_was() {
        let text = "teacher = [\"a.onnx\"]\n";
        let run: Run = toml::from_str(text).unwrap();
        assert_eq!(run.teacher, [PathBuf::from("a.onnx").into()]);
        assert_eq!(toml::to_string(&run).unwrap(), text);
        let text = "[[teacher]]\nfile = \"b.onnx\"\nsize = [224, 224]\nmean = [0.5]\nstd = [0.25]\n";
        let run: Run = toml::from_str(text).unwrap();
        assert_eq!(run.teacher[0].own.size, Some([224, 224]));
        assert_eq!(toml::to_string(&run).unwrap(), text);
        let mixed: Run =
            toml::from_str("teacher = [\"a.onnx\", { file = \"b.onnx\", size = [8, 8] }]").unwrap();
        assert_eq!(
            toml::from_str::<Run>(&toml::to_string(&mixed).unwrap()).unwrap(),
            mixed
        );
    }

    #[test]
    fn a_wrong_key_is_named() {
        let refused = toml::from_str::<Run>("[[teacher]]\nfile = \"b.onnx\"\nsiez = [8, 8]\n").unwrap_err();
        assert!(refused.message().contains("siez"), "{refused}");
        let refused = toml::from_str::<Run>("teacher = [3]").unwrap_err();
        assert!(refused.message().contains("a teacher's ONNX file"), "{refused}");
    }
}
