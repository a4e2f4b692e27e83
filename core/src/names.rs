//! Near names for error messages: whoever types `resnet2O` should read `resnet20` in the answer.

use std::fmt::Write;

/// Similarity (Jaro-Winkler, 0 to 1) below which a known name is no help to the reader.
const NEAR: f64 = 0.75;

/// At most `count` of `known` that resemble `name`, the nearest first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(count)
        .map(|(_, candidate)| candidate.to_owned())
        .collect()
}

/// The tail of an error message: "; did you mean `a` or `b`?", or nothing when nothing is near.
pub fn did_you_mean(near: &[String]) -> String {
    let mut text = String::new();
    for (i, name) in near.iter().enumerate() {
        let lead = match i {
            0 => "; did you mean ",
            _ if i + 1 == near.len() => " or ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{lead}`{name}`");
    }
    if !near.is_empty() {
        text.push('?');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        let near = nearest("resnet2O", ["vgg8", "resnet110", "resnet20"], 2);
        assert_eq!(near[0], "resnet20");
    }

    #[test]
    fn nothing_near_says_nothing() {
        assert_eq!(did_you_mean(&nearest("zzz", ["kd"], 3)), "");
    }

    #[test]
    fn several_near_names_read_as_a_sentence() {
        let near = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(did_you_mean(&near), "; did you mean `a`, `b` or `c`?");
    }
}
