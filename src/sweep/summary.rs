//! What came out of a sweep: a row per combination, seeds taken together as repeats of it.

use std::io::Write;

use indexmap::IndexMap;
use serde::Serialize;

use super::grid::{Combination, Setting, plain, short_key};
use super::outcome::{Outcome, Spread};
use crate::error::CliError;
use crate::report::figure::{Axis, Figure, Ink, Line, Range};
use crate::report::page::{Page, Table};
use crate::table::table;
use potstill_run::RunConfig;

/// The key whose values are repeats.
const SEED: &str = "seed";

/// A combination, over its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its values of the swept keys, without the seed where that has several.
    pub values: IndexMap<String, toml::Value>,
    /// The folders of its runs.
    pub runs: Vec<String>,
    /// The best accuracy of each run.
    pub best_top1: Option<Spread>,
    /// The last accuracy of each run.
    pub last_top1: Option<Spread>,
    /// Mean training time.
    pub seconds: Option<f64>,
    /// Why one of its runs did not come to its end.
    pub failure: Option<String>,
    /// The configuration of its first run.
    #[serde(skip)]
    pub config: RunConfig,
}

/// A sweep with its outcomes.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    settings: &'a [Setting],
    combinations: &'a [Combination],
    outcomes: &'a [Outcome],
    /// The rows, the best first.
    pub rows: Vec<Row>,
}

impl<'a> Summary<'a> {
    /// Takes runs that differ in the seed only together, and sorts.
    pub fn new(settings: &'a [Setting], combinations: &'a [Combination], outcomes: &'a [Outcome]) -> Self {
        let mut groups: IndexMap<Vec<usize>, Vec<usize>> = indexmap::IndexMap::new();
        for (index, combination) in combinations.iter().enumerate() {
            let of = rest(settings, combination, None);
            groups.entry(of).or_default().push(index);
        }
        let row = |members: &Vec<usize>| {
            let first = &combinations[members[0]];
            let gather = |number: fn(&Outcome) -> Option<f64>| -> Vec<f64> {
                members
                    .iter()
                    .filter_map(|index| number(&outcomes[*index]))
                    .collect()
            };
            let values = settings.iter().zip(&first.places);
            Row {
                values: values
                    .filter(|(setting, _)| !is_repeated(setting))
                    .map(|(setting, place)| (setting.key.clone(), setting.values[*place].clone()))
                    .collect(),
                runs: members
                    .iter()
                    .map(|index| combinations[*index].name.clone())
                    .collect(),
                best_top1: Spread::of(&gather(|outcome| outcome.best)),
                last_top1: Spread::of(&gather(|outcome| outcome.last)),
                seconds: Spread::of(&gather(|outcome| outcome.seconds)).map(|spread| spread.mean),
                failure: members.iter().find_map(|index| outcomes[*index].failure.clone()),
                config: first.config.clone(),
            }
        };
        let mut rows: Vec<Row> = groups.values().map(row).collect();
        let accuracy = |row: &Row| row.best_top1.map_or(f64::NEG_INFINITY, |spread| spread.mean);
        rows.sort_by(|a, b| {
            let failed = a.failure.is_some().cmp(&b.failure.is_some());
            failed.then_with(|| accuracy(b).total_cmp(&accuracy(a)))
        });
        Self {
            settings,
            combinations,
            outcomes,
            rows,
        }
    }

    /// The best combination, if one has come to its end.
    pub fn best(&self) -> Option<&Row> {
        self.rows
            .first()
            .filter(|row| row.failure.is_none() && row.best_top1.is_some())
    }

    /// How many seeds a row is the mean of.
    fn repeats(&self) -> usize {
        let repeated = self.settings.iter().find(|setting| is_repeated(setting));
        repeated.map_or(1, |setting| setting.values.len())
    }

    fn columns(&self) -> Vec<String> {
        let swept = self.settings.iter().filter(|setting| !is_repeated(setting));
        swept
            .map(|setting| short_key(&setting.key, self.settings).to_owned())
            .chain(["best top-1", "last top-1", "training", ""].map(str::to_owned))
            .collect()
    }

    fn cells(&self, index: usize, row: &Row) -> Vec<String> {
        let remark = match &row.failure {
            Some(failure) => failure.clone(),
            None if index == 0 && self.best().is_some() => "best".to_owned(),
            None => String::new(),
        };
        let accuracy = |spread: Option<Spread>| spread.map(Spread::text).unwrap_or_default();
        let seconds = row.seconds.map(|seconds| format!("{seconds:.0} s"));
        let values = row.values.values().map(plain);
        values
            .chain([
                accuracy(row.best_top1),
                accuracy(row.last_top1),
                seconds.unwrap_or_default(),
                remark,
            ])
            .collect()
    }

    /// Prints the table.
    ///
    /// # Errors
    /// Output that cannot be printed.
    pub fn print(&self, out: &mut impl Write) -> Result<(), CliError> {
        let columns = self.columns();
        let mut printed = table(columns.iter().map(String::as_str), 0);
        if let Some(remark) = printed.column_mut(columns.len() - 1) {
            remark.set_cell_alignment(comfy_table::CellAlignment::Left);
        }
        for (index, row) in self.rows.iter().enumerate() {
            printed.add_row(self.cells(index, row));
        }
        writeln!(out, "{printed}")?;
        if self.repeats() > 1 {
            writeln!(out, "{}", self.repetition())?;
        }
        Ok(())
    }

    fn repetition(&self) -> String {
        format!("mean ± standard deviation over {} seeds", self.repeats())
    }

    /// The page with table, plot and best configuration.
    ///
    /// # Errors
    /// A configuration that TOML cannot hold.
    pub fn page(&self, base: &RunConfig, folder: &str) -> Result<Page, CliError> {
        let keys: Vec<&str> = self.settings.iter().map(|setting| setting.key.as_str()).collect();
        let mut introduction = vec![format!("{folder}: {} runs", self.combinations.len())];
        if self.repeats() > 1 {
            introduction.push(self.repetition());
        }
        let best = match self.best() {
            Some(row) => best_configuration(row).to_toml()?,
            None => String::new(),
        };
        Ok(Page {
            title: format!(
                "{} on {}: {} swept",
                base.student_names(),
                base.data.name,
                keys.join(", ")
            ),
            introduction,
            warnings: Vec::new(),
            table: Table {
                columns: self.columns(),
                numbers_from: 0,
                rows: self
                    .rows
                    .iter()
                    .enumerate()
                    .map(|(index, row)| self.cells(index, row))
                    .collect(),
                best: self.best().map(|_| 0),
            },
            figures: vec![self.figure()],
            configuration: ("Best configuration (best.toml)".to_owned(), best),
        })
    }

    /// Accuracy against the first key, a line per combination of the others.
    fn figure(&self) -> Figure {
        let along = self
            .settings
            .iter()
            .position(|setting| !is_repeated(setting))
            .unwrap_or(0);
        let swept = &self.settings[along];
        let mut lines: IndexMap<Vec<usize>, Vec<Vec<f64>>> = indexmap::IndexMap::new();
        let mut names = Vec::new();
        for (combination, outcome) in self.combinations.iter().zip(self.outcomes) {
            let of = rest(self.settings, combination, Some(along));
            let line = lines.entry(of).or_insert_with(|| {
                names.push(self.name(combination, along));
                vec![Vec::new(); swept.values.len()]
            });
            line[combination.places[along]].extend(outcome.best.filter(|_| outcome.failure.is_none()));
        }
        let line = |((index, accuracies), name): ((usize, &Vec<Vec<f64>>), String)| {
            let spreads = accuracies.iter().map(|repeats| Spread::of(repeats));
            let drawn: Vec<(f64, Spread)> = spreads
                .enumerate()
                .filter_map(|(place, spread)| Some((place as f64, spread?)))
                .collect();
            let bar = |(x, spread): &(f64, Spread)| {
                let deviation = spread.deviation?;
                Some((*x, spread.mean - deviation, spread.mean + deviation))
            };
            Line {
                name,
                points: drawn.iter().map(|(x, spread)| (*x, spread.mean)).collect(),
                bars: drawn.iter().filter_map(bar).collect(),
                ink: Ink::Series(index),
                dashed: index >= 8,
            }
        };
        Figure {
            title: format!("Accuracy by {}", swept.key),
            about: "best top-1, percent".to_owned(),
            x: Axis::Values {
                label: swept.key.clone(),
                values: swept.values.iter().map(plain).collect(),
            },
            y: Range::Percent,
            lines: lines.values().enumerate().zip(names).map(line).collect(),
            rules: Vec::new(),
        }
    }

    /// The values of all keys but the one along the axis and the repeated one.
    fn name(&self, combination: &Combination, along: usize) -> String {
        let others = self.settings.iter().zip(&combination.places).enumerate();
        let names: Vec<String> = others
            .filter(|(index, (setting, _))| *index != along && !is_repeated(setting))
            .map(|(_, (setting, place))| {
                let key = short_key(&setting.key, self.settings);
                format!("{key} {}", plain(&setting.values[*place]))
            })
            .collect();
        if names.is_empty() {
            "top-1".to_owned()
        } else {
            names.join(", ")
        }
    }
}

/// The configuration of a row as one to run again: in a folder of its own.
pub fn best_configuration(row: &Row) -> RunConfig {
    RunConfig {
        out: std::path::PathBuf::new(),
        ..row.config.clone()
    }
}

/// Whether the setting's values are repeats of the same.
fn is_repeated(setting: &Setting) -> bool {
    setting.key == SEED && setting.values.len() > 1
}

/// The places of a combination that tell it from others, without repeats and without the key along
/// an axis.
fn rest(settings: &[Setting], combination: &Combination, along: Option<usize>) -> Vec<usize> {
    let places = settings.iter().zip(&combination.places).enumerate();
    places
        .filter(|(index, (setting, _))| Some(*index) != along && !is_repeated(setting))
        .map(|(_, (_, place))| *place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::grid::combinations;
    use std::path::Path;

    fn outcome(best: f64) -> Outcome {
        Outcome {
            best: Some(best),
            last: Some(best - 1.0),
            seconds: Some(2.0),
            failure: None,
        }
    }

    fn settings(texts: &[&str]) -> Vec<Setting> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn grid(settings: &[Setting]) -> Vec<Combination> {
        let base: RunConfig = toml::from_str("[[plugin]]\nname = \"kd\"\n").unwrap();
        combinations(&base, settings, Path::new("sweep")).unwrap()
    }

    #[test]
    fn seeds_are_repeats_and_the_best_is_by_their_mean() {
        let settings = settings(&["kd.temperature=1,4", "seed=0,1,2"]);
        let grid = grid(&settings);
        let outcomes: Vec<Outcome> = [70.0, 10.0, 10.0, 40.0, 42.0, 47.0].map(outcome).to_vec();
        let summary = Summary::new(&settings, &grid, &outcomes);
        assert_eq!(summary.rows.len(), 2);
        let best = summary.best().unwrap();
        assert_eq!(best.values["kd.temperature"], toml::Value::Integer(4));
        assert_eq!(best.values.len(), 1);
        // statistics.mean and statistics.stdev of Python on [40, 42, 47].
        let spread = best.best_top1.unwrap();
        assert!((spread.mean - 43.0).abs() < 1e-12, "{spread:?}");
        assert!(
            (spread.deviation.unwrap() - 3.605_551_275_463_989).abs() < 1e-12,
            "{spread:?}"
        );
        assert_eq!(
            summary.cells(0, best),
            ["4", "43.00 ± 3.61 %", "42.00 ± 3.61 %", "2 s", "best"]
        );
        assert_eq!(best_configuration(best).seed, 0);
        let figure = summary.figure();
        assert_eq!(figure.lines.len(), 1);
        assert_eq!(figure.lines[0].points, [(0.0, 30.0), (1.0, 43.0)]);
        assert_eq!(figure.lines[0].bars.len(), 2);
    }

    #[test]
    fn rows_are_sorted_and_the_plot_has_a_line_for_each_of_the_other_keys() {
        let settings = settings(&["kd.temperature=1,4", "kd.alpha=0.5,0.9"]);
        let grid = grid(&settings);
        let outcomes: Vec<Outcome> = [10.0, 40.0, 30.0, 20.0].map(outcome).to_vec();
        let summary = Summary::new(&settings, &grid, &outcomes);
        let means: Vec<f64> = summary
            .rows
            .iter()
            .map(|row| row.best_top1.unwrap().mean)
            .collect();
        assert_eq!(means, [40.0, 30.0, 20.0, 10.0]);
        let figure = summary.figure();
        let lines: Vec<(&str, &[(f64, f64)])> = figure
            .lines
            .iter()
            .map(|line| (line.name.as_str(), &line.points[..]))
            .collect();
        assert_eq!(
            lines,
            [
                ("alpha 0.5", &[(0.0, 10.0), (1.0, 30.0)][..]),
                ("alpha 0.9", &[(0.0, 40.0), (1.0, 20.0)][..])
            ]
        );
    }

    #[test]
    fn a_run_that_failed_is_never_the_best() {
        let settings = settings(&["training.learning-rate=0.1,100.0"]);
        let grid = grid(&settings);
        let failed = Outcome {
            failure: Some("loss is NaN".to_owned()),
            ..outcome(90.0)
        };
        let outcomes = [outcome(10.0), failed];
        let summary = Summary::new(&settings, &grid, &outcomes);
        assert_eq!(summary.best().unwrap().runs, ["learning-rate=0.1"]);
        assert_eq!(summary.cells(1, &summary.rows[1])[4], "loss is NaN");
        assert_eq!(summary.figure().lines[0].points, [(0.0, 10.0)]);
        let outcomes = [outcomes[1].clone(), outcomes[1].clone()];
        assert!(Summary::new(&settings, &grid, &outcomes).best().is_none());
    }

    #[test]
    fn seeds_alone_are_one_row_and_are_plotted_side_by_side() {
        let settings = settings(&["seed=3,5"]);
        let grid = grid(&settings);
        let outcomes = [outcome(10.0), outcome(20.0)];
        let summary = Summary::new(&settings, &grid, &outcomes);
        assert_eq!(summary.rows.len(), 1);
        assert_eq!(summary.best().unwrap().best_top1.unwrap().mean, 15.0);
        assert_eq!(summary.figure().lines[0].points, [(0.0, 10.0), (1.0, 20.0)]);
    }
}
