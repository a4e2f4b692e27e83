//! The files of a run's teachers: where they are, whether the disk can hold them, and their
//! opening.

use std::path::{Path, PathBuf};

use super::key::{CacheKey, Pictures};
use super::store::TeacherCache;
use crate::files::free_space;
use crate::graph::Graph;
use crate::plugin::{Architecture, Objective};
use crate::precision::Precision;
use crate::train::TrainError;

/// Where the outputs of a run's teachers are kept, and what they are shown.
#[derive(Clone, Debug)]
pub struct CacheSetup {
    /// The folder of the files; it need not exist.
    pub folder: PathBuf,
    /// What the teachers compute in.
    pub precision: Precision,
    /// What the teachers are shown.
    pub pictures: Pictures,
}

impl CacheSetup {
    /// The key of each teacher of a run.
    ///
    /// # Errors
    /// [`TrainError::CacheValue`] for a tapped value that has not one row of floats for each
    /// picture, [`TrainError::Setting`] for views without number.
    pub fn keys<'a>(
        &self,
        objective: &Objective,
        teachers: impl IntoIterator<Item = &'a Graph>,
    ) -> Result<Vec<CacheKey>, TrainError> {
        let key = |(index, graph)| {
            let teacher = Architecture::new(&format!("teacher{index}"), graph)?;
            let key = CacheKey::new(objective, &teacher, self.precision, self.pictures.clone())?;
            key.file_bytes()?;
            Ok(key)
        };
        teachers.into_iter().enumerate().map(key).collect()
    }

    /// Refuses a folder that is none, and to make files that the disk cannot hold once they are
    /// full; those that are there already count as held.
    ///
    /// # Errors
    /// [`TrainError::CacheSpace`], [`TrainError::Write`]; [`TrainError::Setting`] for views without
    /// number.
    pub fn check(&self, keys: &[CacheKey]) -> Result<(), TrainError> {
        if self.folder.exists() && !self.folder.is_dir() {
            return Err(TrainError::Write {
                path: self.folder.clone(),
                source: std::io::ErrorKind::NotADirectory.into(),
            });
        }
        let mut needed = 0_u64;
        for key in keys {
            let bytes = key.file_bytes()?;
            if !self.folder.join(key.file_name()).exists() {
                needed = needed.saturating_add(bytes);
            }
        }
        let there = |folder: &&Path| folder.is_dir();
        let existing = self.folder.ancestors().find(there).unwrap_or(Path::new("."));
        match free_space(existing) {
            Some(free) if needed > free => Err(TrainError::CacheSpace {
                folder: self.folder.clone(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Opens the file of each key, or makes it.
    ///
    /// # Errors
    /// As [`check`](Self::check); a disk that refuses.
    pub fn open(&self, keys: Vec<CacheKey>) -> Result<Vec<TeacherCache>, TrainError> {
        self.check(&keys)?;
        keys.into_iter()
            .map(|key| TeacherCache::open(&self.folder, key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::key;
    use super::*;
    use crate::plugin::{Plan, Students};
    use crate::zoo;

    #[test]
    fn the_key_of_a_plan_has_the_logits_and_every_tapped_value() {
        let network = |seed| zoo::build("resnet8", 10, [3, 32, 32], seed).unwrap();
        let (students, teacher) = (Students::single(network(1)), network(2));
        let setup = CacheSetup {
            folder: "cache".into(),
            precision: Precision::Fp32,
            pictures: key().pictures,
        };
        let mut plan = Plan::new(&students, [&teacher], 10, 1).unwrap();
        let (logits, feature) = {
            let seen = &plan.teachers[0];
            (seen.logits.clone(), seen.features().unwrap())
        };
        let plain = setup.keys(plan.objective(), [&teacher]).unwrap().remove(0);
        assert_eq!(plain.values[0].name, logits);
        assert_eq!(plain.values[0].shape, [10]);
        assert_eq!(plain.teacher, teacher.fingerprint());
        plan.tap_teachers(&feature).unwrap();
        plan.tap_teachers(&logits).unwrap();
        let tapped = setup.keys(plan.objective(), [&teacher]).unwrap().remove(0);
        assert_eq!(tapped.values.len(), 2);
        assert_eq!((&tapped.values[1].name, tapped.values[1].len()), (&feature, 64));
        assert_ne!(plain.file_name(), tapped.file_name());
    }

    #[test]
    fn files_that_no_disk_holds_are_refused_before_they_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let setup = CacheSetup {
            folder: folder.path().join("not/yet"),
            precision: Precision::Fp32,
            pictures: key().pictures,
        };
        setup.check(&[key()]).unwrap();
        let mut huge = key();
        huge.pictures.views = usize::MAX;
        let error = setup.check(&[huge.clone()]).unwrap_err().to_string();
        assert!(error.contains("`teacher-cache` is"), "{error}");
        if cfg!(unix) {
            huge.pictures.views = 1 << 55;
            let error = setup.check(&[huge]).unwrap_err().to_string();
            assert!(error.contains("not/yet") && error.contains("free"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
