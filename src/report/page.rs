//! A page of HTML that needs nothing but itself: words, a table, plots, a configuration.

use super::chart::{self, dark_rules, number};
use super::escape::escape;
use super::figure::{Axis, Figure, Line};
use crate::error::CliError;

/// The page with `{{names}}` where something is to be filled in.
const TEMPLATE: &str = include_str!("page.html");

/// What a page says. All texts are plain; the page escapes them.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// What follows the heading, a paragraph each.
    pub introduction: Vec<String>,
    /// What the reader must know before the numbers.
    pub warnings: Vec<String>,
    /// The numbers.
    pub table: Table,
    /// The plots.
    pub figures: Vec<Figure>,
    /// A title, and a text as it stands in a file.
    pub configuration: (String, String),
}

/// A table of texts.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// The column from which on there are numbers, aligned to the right.
    pub numbers_from: usize,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// The row that stands out.
    pub best: Option<usize>,
}

impl Page {
    /// The page as HTML.
    ///
    /// # Errors
    /// A plot that cannot be drawn.
    pub fn html(&self) -> Result<String, CliError> {
        let paragraphs = |texts: &[String], class: &str| -> String {
            let paragraph = |text: &String| format!("<p class=\"{class}\">{}</p>\n", escape(text));
            texts.iter().map(paragraph).collect()
        };
        let mut figures = String::new();
        for drawn in &self.figures {
            figures += &figure(drawn)?;
        }
        if !figures.is_empty() {
            figures = format!("<h2>Curves</h2>\n<div class=\"figures\">\n{figures}</div>\n");
        }
        let (title, text) = &self.configuration;
        let configuration = format!(
            "<details>\n<summary>{}</summary>\n<pre>{}</pre>\n</details>\n",
            escape(title),
            escape(text)
        );
        Ok(fill(
            TEMPLATE,
            &[
                ("title", &escape(&self.title)),
                ("dark", &dark_rules()),
                ("introduction", &paragraphs(&self.introduction, "quiet")),
                ("warnings", &paragraphs(&self.warnings, "warning")),
                ("table", &self.table.html()),
                ("figures", &figures),
                ("configuration", &configuration),
                ("version", env!("CARGO_PKG_VERSION")),
            ],
        ))
    }
}

impl Table {
    fn html(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let cells = |texts: &[String], tag: &str| -> String {
            let cell = |(index, text): (usize, &String)| {
                let class = if index < self.numbers_from {
                    ""
                } else {
                    " class=\"number\""
                };
                format!("<{tag}{class}>{}</{tag}>", escape(text))
            };
            texts.iter().enumerate().map(cell).collect()
        };
        let row = |(index, texts): (usize, &Vec<String>)| {
            let class = if self.best == Some(index) {
                " class=\"best\""
            } else {
                ""
            };
            format!("<tr{class}>{}</tr>\n", cells(texts, "td"))
        };
        let rows: String = self.rows.iter().enumerate().map(row).collect();
        format!(
            "<h2>Result</h2>\n<div class=\"table\">\n<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n",
            cells(&self.columns, "th")
        )
    }
}

fn figure(figure: &Figure) -> Result<String, CliError> {
    let entry = |line: &Line| {
        // The last value of an epoch is a number of the file; elsewhere it may be a mean.
        let last = match (&figure.x, line.points.last()) {
            (Axis::Epoch, Some((_, y))) => format!(" <output>{}</output>", escape(&number(*y))),
            _ => String::new(),
        };
        format!("<li>{}{last}</li>\n", chart::legend(line))
    };
    let legend: String = figure.lines.iter().map(entry).collect();
    Ok(format!(
        "<figure>\n<figcaption>{} <span>{}</span></figcaption>\n{}<ul class=\"legend\">\n{legend}</ul>\n</figure>\n",
        escape(&figure.title),
        escape(&figure.about),
        chart::svg(figure)?,
    ))
}

/// Puts values for `{{names}}` in one pass, so that a value may hold braces of its own.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text += before;
        rest = after;
        if let Some((name, after)) = after.split_once("}}") {
            let value = values.iter().find(|(known, _)| *known == name);
            text += value.map_or("", |(_, value)| value);
            rest = after;
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_it_is_given_and_nothing_to_fill_in() {
        let page = Page {
            title: "a <b> & {{c}}".to_owned(),
            warnings: vec!["stopped".to_owned()],
            configuration: ("run.toml".to_owned(), "seed = 1\n".to_owned()),
            ..Page::default()
        };
        let html = page.html().unwrap();
        assert!(html.contains("<h1>a &lt;b&gt; &amp; {{c}}</h1>"), "{html}");
        assert!(html.contains("<p class=\"warning\">stopped</p>"), "{html}");
        assert!(html.contains("<pre>seed = 1\n</pre>"), "{html}");
        // In <title> and <h1>, and nowhere else.
        assert_eq!(html.matches("{{").count(), 2, "{html}");
        // Nothing comes from anywhere else.
        for outside in ["src=", "href=", "url(", "@import", "<script"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_best_row_stands_out() {
        let table = Table {
            columns: vec!["network".to_owned(), "top-1".to_owned()],
            numbers_from: 1,
            rows: vec![
                vec!["a".to_owned(), "1".to_owned()],
                vec!["b".to_owned(), "2".to_owned()],
            ],
            best: Some(1),
        };
        assert!(
            table
                .html()
                .contains("<tr class=\"best\"><td>b</td><td class=\"number\">2</td></tr>")
        );
    }
}
