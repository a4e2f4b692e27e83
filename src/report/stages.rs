//! Where a run passes from one stage of training to another.

use super::metrics::{EpochLine, Metrics};

/// A place on an axis and what to say there.
pub type Rules = Vec<(f64, String)>;

/// Where the stage changes, on the axis of epochs and on that of steps. A point stands for the
/// epoch that ends there, so that the next stage begins at it; one that follows a stage and has no
/// name of its own is told by that stage's end.
pub fn stages(metrics: &Metrics) -> (Rules, Rules) {
    let (mut by_epoch, mut by_step) = (Vec::new(), Vec::new());
    let mut before: Option<&EpochLine> = None;
    for epoch in &metrics.epochs {
        let stage = before.and_then(|before| before.stage.as_deref());
        if epoch.stage.as_deref() != stage {
            let name = match (&epoch.stage, stage) {
                (Some(name), _) => name.clone(),
                (None, stage) => format!("end of {}", stage.unwrap_or_default()),
            };
            let first_step = metrics.steps.first().map_or(0, |step| step.step);
            let at = before.unwrap_or(epoch).epoch as f64;
            // The first point of the epochs is the end of the first one, where a second stage may
            // begin: one label has room there.
            by_epoch.retain(|(taken, _)| *taken != at);
            by_epoch.push((at, name.clone()));
            by_step.push((before.map_or(first_step, |before| before.step) as f64, name));
        }
        before = Some(epoch);
    }
    (by_epoch, by_step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(names: &[Option<&str>]) -> Metrics {
        let epoch = |(index, name): (usize, &Option<&str>)| EpochLine {
            epoch: index + 1,
            step: (index + 1) * 10,
            metrics: Default::default(),
            stage: name.map(str::to_owned),
        };
        Metrics {
            epochs: names.iter().enumerate().map(epoch).collect(),
            ..Metrics::default()
        }
    }

    fn rules(rules: &[(f64, &str)]) -> Rules {
        rules.iter().map(|(at, name)| (*at, (*name).to_owned())).collect()
    }

    #[test]
    fn a_rule_stands_where_a_stage_begins() {
        let (by_epoch, by_step) = stages(&run(&[Some("hint"), Some("hint"), Some("distil")]));
        assert_eq!(by_epoch, rules(&[(1.0, "hint"), (2.0, "distil")]));
        assert_eq!(by_step, rules(&[(0.0, "hint"), (20.0, "distil")]));
    }

    #[test]
    fn a_stage_ends_where_one_without_a_name_follows() {
        let (by_epoch, by_step) = stages(&run(&[Some("hint"), None, None]));
        assert_eq!(by_epoch, rules(&[(1.0, "end of hint")]));
        assert_eq!(by_step, rules(&[(0.0, "hint"), (10.0, "end of hint")]));
    }

    #[test]
    fn a_run_without_stages_has_no_rules() {
        assert_eq!(stages(&run(&[None, None])), (Rules::new(), Rules::new()));
    }
}
