//! Which plots the numbers of a run make. Names decide: the last word of a metric's name is its
//! quantity, and each quantity has a plot.

use indexmap::IndexMap;

use super::figure::{Axis, Figure, Ink, Line, Range, smoothed, thinned};
use super::metrics::{Metrics, StepLine};
use super::stages::stages;

/// What the curves of a run are compared with.
#[derive(Clone, Debug, Default)]
pub struct Compared<'a> {
    /// The training without teacher.
    pub alone: Option<&'a Metrics>,
    /// Teachers with their accuracy.
    pub teachers: Vec<(String, f64)>,
}

/// All plots of a run for which it has numbers.
pub fn figures(metrics: &Metrics, compared: &Compared<'_>) -> Vec<Figure> {
    let mut figures = over_epochs(metrics, compared);
    let terms = over_steps(metrics, |step| step.terms.iter());
    figures.extend(
        step_figure(
            "Loss terms, step by step",
            "before weighting, moving mean",
            Range::Fitted,
            terms,
            smoothed,
        )
        .map(Figure::widened),
    );
    figures.extend(gradients(metrics));
    figures.extend(step_figure(
        "Learning rate",
        "",
        Range::FromZero,
        single(metrics, "learning rate", |step| step.learning_rate),
        thinned,
    ));
    figures.extend(step_figure(
        "Pictures per second",
        "moving mean",
        Range::FromZero,
        single(metrics, "pictures/s", |step| step.rate),
        smoothed,
    ));
    let (by_epoch, by_step) = stages(metrics);
    for figure in &mut figures {
        figure.rules = match figure.x {
            Axis::Step => by_step.clone(),
            _ => by_epoch.clone(),
        };
    }
    figures
}

/// One plot per quantity, in a fixed order, the unknown ones last.
fn over_epochs(metrics: &Metrics, compared: &Compared<'_>) -> Vec<Figure> {
    let mut quantities: IndexMap<&str, Figure> = IndexMap::new();
    for known in ["loss", "top1", "terms", "top5", "entropy", "diversity"] {
        quantities.insert(known, titled(known));
    }
    for name in metrics.names() {
        let quantity = quantity(name);
        let figure = quantities.entry(quantity).or_insert_with(|| titled(quantity));
        figure.lines.push(Line {
            name: name.to_owned(),
            points: metrics.over_epochs(name),
            ink: Ink::Series(figure.lines.len()),
            ..Line::default()
        });
    }
    if let Some(alone) = compared.alone {
        for (quantity, name) in [
            ("loss", "train.loss"),
            ("loss", "valid.loss"),
            ("top1", "valid.top1"),
        ] {
            beside(&mut quantities[quantity], alone, name);
        }
    }
    for (name, top1) in &compared.teachers {
        across(&mut quantities["top1"], name, *top1);
    }
    quantities
        .into_iter()
        .filter(|(_, figure)| figure.lines.iter().any(|line| !line.points.is_empty()))
        .map(|(quantity, figure)| match quantity {
            "loss" | "terms" => figure.widened(),
            _ => figure,
        })
        .collect()
}

/// What a metric measures: the last word of its name, but for the terms of the loss, which are
/// called as their methods like.
fn quantity(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known = ["loss", "top1", "top5", "entropy", "diversity"];
    if name.starts_with("train.") && !known.contains(&last) {
        "terms"
    } else {
        last
    }
}

fn titled(quantity: &str) -> Figure {
    let (title, about, y) = match quantity {
        "loss" => ("Loss", "", Range::Fitted),
        "top1" => ("Accuracy", "top-1, percent", Range::Percent),
        "top5" => ("Top-5 accuracy", "percent", Range::Percent),
        "terms" => ("Loss terms", "before weighting, mean of the epoch", Range::Fitted),
        "entropy" => ("Entropy of the members", "", Range::Fitted),
        "diversity" => ("Diversity of the cohort", "", Range::Fitted),
        other => (other, "", Range::Fitted),
    };
    Figure {
        title: title.to_owned(),
        about: about.to_owned(),
        y,
        ..Figure::default()
    }
}

/// The same metric of the training without teacher: dashed, in the same colour.
fn beside(figure: &mut Figure, alone: &Metrics, name: &str) {
    let Some(ours) = figure.lines.iter().position(|line| line.name == name) else {
        return;
    };
    let line = Line {
        name: format!("alone: {name}"),
        points: alone.over_epochs(name),
        ink: figure.lines[ours].ink,
        dashed: true,
        ..Line::default()
    };
    if !line.points.is_empty() {
        figure.lines.push(line);
    }
}

/// A level from the first to the last epoch.
fn across(figure: &mut Figure, name: &str, level: f64) {
    let ends = figure.lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
    let Some((first, last)) = ends.fold(None, |ends: Option<(f64, f64)>, x| match ends {
        None => Some((x, x)),
        Some((first, last)) => Some((first.min(x), last.max(x))),
    }) else {
        return;
    };
    figure.lines.push(Line {
        name: name.to_owned(),
        points: vec![(first, level), (last, level)],
        ink: Ink::Frame,
        ..Line::default()
    });
}

type Curves = IndexMap<String, Vec<(f64, f64)>>;

/// Named numbers of the steps, each as a curve.
fn over_steps<'a, I>(metrics: &'a Metrics, numbers: impl Fn(&'a StepLine) -> I) -> Curves
where
    I: Iterator<Item = (&'a String, &'a Option<f64>)>,
{
    let mut curves = Curves::new();
    for step in &metrics.steps {
        for (name, value) in numbers(step) {
            let curve = curves.entry(name.clone()).or_default();
            curve.extend(value.map(|value| (step.step as f64, value)));
        }
    }
    curves
}

fn single(metrics: &Metrics, name: &str, value: impl Fn(&StepLine) -> Option<f64>) -> Curves {
    let point = |step: &StepLine| Some((step.step as f64, value(step)?));
    Curves::from([(name.to_owned(), metrics.steps.iter().filter_map(point).collect())])
}

fn step_figure(
    title: &str,
    about: &str,
    y: Range,
    curves: Curves,
    reduce: impl Fn(&[(f64, f64)]) -> Vec<(f64, f64)>,
) -> Option<Figure> {
    let lines: Vec<Line> = curves
        .into_iter()
        .filter(|(_, points)| !points.is_empty())
        .enumerate()
        .map(|(index, (name, points))| Line {
            name,
            points: reduce(&points),
            ink: Ink::Series(index),
            ..Line::default()
        })
        .collect();
    (!lines.is_empty()).then(|| Figure {
        title: title.to_owned(),
        about: about.to_owned(),
        x: Axis::Step,
        y,
        lines,
        ..Figure::default()
    })
}

/// Norms and cosines of the terms' gradients: a plot for each, with respect to the logits and to
/// the parameters.
fn gradients(metrics: &Metrics) -> Vec<Figure> {
    let all = over_steps(metrics, |step| step.gradients.iter().flatten());
    let mut groups: IndexMap<(String, String), Curves> = IndexMap::new();
    for (name, points) in all {
        let (rest, kind) = name.rsplit_once('.').unwrap_or(("", &name));
        let (terms, of) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let group = groups.entry((kind.to_owned(), of.to_owned())).or_default();
        group.insert(terms.to_owned(), points);
    }
    // Weights, norms, cosines: the alphabet backwards. Of logits before parameters: the alphabet.
    groups.sort_by(|(kind, of), _, (other_kind, other_of), _| {
        other_kind.cmp(kind).then_with(|| of.cmp(other_of))
    });
    let draw = |((kind, of), curves): ((String, String), Curves)| {
        let (title, about, y) = match kind.as_str() {
            "norm" => ("Gradient norms", "logarithmic, moving mean", Range::Logarithmic),
            "cosine" => (
                "Cosines between gradients",
                "moving mean",
                Range::Fixed(-1.0, 1.0),
            ),
            "weight" => ("Weights of the terms", "", Range::Fitted),
            other => (other, "moving mean", Range::Fitted),
        };
        let title = match of.as_str() {
            "" => title.to_owned(),
            of => format!("{title}: {of}"),
        };
        step_figure(&title, about, y, curves, smoothed)
    };
    groups.into_iter().filter_map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::metrics::{EpochLine, Numbers};

    fn epoch(number: usize, metrics: &[(&str, f64)]) -> EpochLine {
        EpochLine {
            epoch: number,
            step: number * 10,
            metrics: metrics
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some(*value)))
                .collect(),
            stage: None,
        }
    }

    fn names(figure: &Figure) -> Vec<&str> {
        figure.lines.iter().map(|line| line.name.as_str()).collect()
    }

    #[test]
    fn metrics_find_their_plot_by_their_names() {
        let numbers = [
            ("train.loss", 3.0),
            ("train.top1", 5.0),
            ("train.ce", 1.0),
            ("train.kd.soft", 2.0),
            ("valid.loss", 2.5),
            ("valid.top1", 6.0),
            ("valid.branch0.top1", 6.5),
            ("valid.ensemble.top1", 7.0),
            ("valid.branch0.entropy", 0.5),
            ("valid.diversity", 0.1),
            ("valid.calibration", 0.2),
        ];
        let metrics = Metrics {
            epochs: vec![epoch(1, &numbers), epoch(2, &numbers)],
            ..Metrics::default()
        };
        let alone = Metrics {
            epochs: vec![epoch(1, &[("valid.top1", 4.0), ("valid.loss", 2.0)])],
            ..Metrics::default()
        };
        let compared = Compared {
            alone: Some(&alone),
            teachers: vec![("teacher t.onnx".to_owned(), 93.0)],
        };
        let figures = figures(&metrics, &compared);
        let said: Vec<(&str, Vec<&str>)> = figures
            .iter()
            .map(|figure| (figure.title.as_str(), names(figure)))
            .collect();
        assert_eq!(
            said,
            [
                ("Loss", vec!["train.loss", "valid.loss", "alone: valid.loss"]),
                (
                    "Accuracy",
                    vec![
                        "train.top1",
                        "valid.top1",
                        "valid.branch0.top1",
                        "valid.ensemble.top1",
                        "alone: valid.top1",
                        "teacher t.onnx"
                    ]
                ),
                ("Loss terms", vec!["train.ce", "train.kd.soft"]),
                ("Entropy of the members", vec!["valid.branch0.entropy"]),
                ("Diversity of the cohort", vec!["valid.diversity"]),
                ("calibration", vec!["valid.calibration"]),
            ]
        );
        let accuracy = &figures[1];
        assert_eq!(accuracy.lines[4].ink, accuracy.lines[1].ink);
        assert!(accuracy.lines[4].dashed);
        assert_eq!(accuracy.lines[5].points, [(1.0, 93.0), (2.0, 93.0)]);
    }

    #[test]
    fn gradients_are_plotted_by_kind_and_by_what_they_are_of() {
        let numbers: Numbers = [
            ("kd.weight", 2.0),
            ("kd.logits.norm", 0.1),
            ("kd.parameters.norm", 2.0),
            ("ce~kd.logits.cosine", 0.5),
            ("ce~kd.parameters.cosine", -0.5),
        ]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Some(*value)))
        .collect();
        let step = StepLine {
            step: 1,
            terms: Numbers::new(),
            gradients: Some(numbers),
            learning_rate: None,
            rate: None,
        };
        let metrics = Metrics {
            steps: vec![step],
            ..Metrics::default()
        };
        let said: Vec<(String, Range, String)> = figures(&metrics, &Compared::default())
            .into_iter()
            .map(|figure| (figure.title, figure.y, figure.lines[0].name.clone()))
            .collect();
        let cosines = Range::Fixed(-1.0, 1.0);
        assert_eq!(
            said,
            [
                ("Weights of the terms".to_owned(), Range::Fitted, "kd".to_owned()),
                (
                    "Gradient norms: logits".to_owned(),
                    Range::Logarithmic,
                    "kd".to_owned()
                ),
                (
                    "Gradient norms: parameters".to_owned(),
                    Range::Logarithmic,
                    "kd".to_owned()
                ),
                (
                    "Cosines between gradients: logits".to_owned(),
                    cosines,
                    "ce~kd".to_owned()
                ),
                (
                    "Cosines between gradients: parameters".to_owned(),
                    cosines,
                    "ce~kd".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_run_without_numbers_has_no_plots() {
        assert!(figures(&Metrics::default(), &Compared::default()).is_empty());
    }
}
