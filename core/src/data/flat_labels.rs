//! The classes of pictures that lie in one folder, by file name: the lines of `val_labels.txt`.
//!
//! A line is a file, with or without its ending, and its class, between them a comma, a tab or a
//! space, whichever stands there first in this order. Names with spaces are read where a comma or a
//! tab parts them. What follows the class behind a space does not count, so that Kaggle's
//! `LOC_val_solution.csv` is such a list.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::DataError;
use super::picture::{is_picture, last_name};
use crate::names::{did_you_mean, nearest};

/// A list that was read.
pub(super) struct FlatLabels {
    path: PathBuf,
    /// By file name without ending: the number of the line, and what follows the file there.
    lines: HashMap<String, (usize, String)>,
}

impl FlatLabels {
    /// # Errors
    /// [`DataError::Io`].
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let text = std::fs::read_to_string(path).map_err(|source| DataError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let mut lines = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let parted = [',', '\t', ' '].iter().find_map(|mark| line.split_once(*mark));
            if let Some((file, class)) = parted {
                let class = class.split([',', '\t']).next().unwrap_or_default();
                let [file, class] = [file, class].map(|part| part.trim().trim_matches('"'));
                lines.insert(stem(Path::new(file)), (index + 1, class.to_owned()));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            lines,
        })
    }

    /// The class of a picture, as its place in `classes`.
    ///
    /// # Errors
    /// [`DataError::FlatLabel`] for a picture that is not listed, or has a class that is none.
    pub(super) fn of(&self, picture: &str, classes: &[String]) -> Result<usize, DataError> {
        let refuse = |problem: String| DataError::FlatLabel {
            path: self.path.clone(),
            problem,
        };
        let Some((line, class)) = self.lines.get(&stem(Path::new(picture))) else {
            return Err(refuse(format!("has no line for `{picture}`")));
        };
        let known = |name: &str| classes.iter().position(|class| class == name);
        let first = || known(class.split(' ').next().unwrap_or_default());
        known(class).or_else(first).ok_or_else(|| {
            let near = did_you_mean(&nearest(class, classes.iter().map(String::as_str), 2));
            refuse(format!("line {line}: `{class}` is no folder of `train`{near}"))
        })
    }
}

/// A picture's name without its ending; other dots belong to the name.
fn stem(path: &Path) -> String {
    match is_picture(path) {
        true => last_name(&path.with_extension("")),
        false => last_name(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_parts_names_that_hold_spaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("val_labels.txt");
        let text = "my dog.png,golden retriever\nb.png cat 1 2 3\nc.png\tgolden retriever\nd,cat 85 1,n\n";
        std::fs::write(&path, text).unwrap();
        let labels = FlatLabels::read(&path).unwrap();
        let classes = ["cat", "golden retriever"].map(str::to_owned);
        let of = |picture| labels.of(picture, &classes).unwrap();
        assert_eq!(["my dog.png", "b.png", "c.png", "d.jpg"].map(of), [1, 0, 1, 0]);
    }
}
