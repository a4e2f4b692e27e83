//! `docs/reference.md` against the program: every argument, flag and key stands there with its
//! default, and nothing stands there that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::potstill::{Answer, done, potstill};

const PAGE: &str = include_str!("../../docs/reference.md");

/// Groups of flags that several subcommands have: heading and anchor.
const GROUPS: [(&str, &str); 3] = [
    ("Data flags", "(#data-flags)"),
    ("Training flags", "(#training-flags)"),
    ("Device flags", "(#device-flags)"),
];

/// What takes the place of a key that does not exist.
const NO_KEY: &str = "zzz";

/// A heading and what stands below it.
#[derive(Clone, Copy)]
struct Section {
    heading: &'static str,
    text: &'static str,
}

/// A row of a table: the names in its first cell, and the cell under `default`.
struct Row {
    names: Vec<&'static str>,
    default: &'static str,
}

fn sections() -> Vec<Section> {
    PAGE.split("\n#")
        .skip(1)
        .map(|text| {
            let (heading, text) = text.split_once('\n').unwrap_or((text, ""));
            Section {
                heading: heading.trim_start_matches('#').trim(),
                text,
            }
        })
        .collect()
}

fn section(heading: &str) -> Section {
    let found = sections().into_iter().find(|section| section.heading == heading);
    found.unwrap_or_else(|| panic!("docs/reference.md has no section {heading}"))
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

impl Section {
    fn rows(&self) -> Vec<Row> {
        let mut lines = self.text.lines().filter(|line| line.starts_with('|'));
        let cells = |line: &'static str| -> Vec<&str> { line.split('|').map(str::trim).collect() };
        let column = lines
            .next()
            .and_then(|head| cells(head).iter().position(|cell| *cell == "default"));
        lines
            .skip(1)
            .map(|line| {
                let cells = cells(line);
                Row {
                    names: code(cells[1]),
                    default: column.map_or("", |column| cells[column]),
                }
            })
            .collect()
    }

    /// The beginning of a file in which the section's keys may stand, as its heading writes it.
    fn prefix(&self) -> String {
        code(self.heading).join("\n") + "\n"
    }

    /// The section's table, as `training.optimizer`; empty at the top of the file.
    fn path(&self) -> &'static str {
        code(self.heading)
            .first()
            .map_or("", |table| table.trim_matches(['[', ']']))
    }
}

/// An argument or flag without its value: `--lr` of `--lr RATE`, `RUN` of `<RUN|FILE>`.
fn name(written: &str) -> String {
    let word = written.split_whitespace().next().unwrap_or_default();
    if word.starts_with('-') {
        return word.to_owned();
    }
    let word = word.trim_matches(['<', '>', '[', ']', '.']);
    word.split('|').next().unwrap_or_default().to_owned()
}

/// Arguments and flags with their defaults, as `--help` prints them.
fn helped(help: &str) -> BTreeMap<String, String> {
    let mut entries: Vec<(Vec<String>, String)> = Vec::new();
    for line in help.lines() {
        let text = line.trim_start();
        let starts = matches!(line.len() - text.len(), 2 | 6) && text.starts_with(['-', '<', '[']);
        if starts {
            let (names, rest) = text.split_once("  ").unwrap_or((text, ""));
            entries.push((names.split(", ").map(name).collect(), rest.to_owned()));
        } else if let Some((_, rest)) = entries.last_mut() {
            rest.push(' ');
            rest.push_str(text);
        }
    }
    let bracketed = |text: &str, label: &str| -> Option<String> {
        let (_, rest) = text.split_once(label)?;
        Some(rest.split(']').next()?.to_owned())
    };
    let mut found = BTreeMap::new();
    for (mut names, text) in entries {
        let aliases = bracketed(&text, "[alias: ").or_else(|| bracketed(&text, "[aliases: "));
        names.extend(
            aliases
                .iter()
                .flat_map(|list| list.split(", ").map(str::to_owned)),
        );
        let default = bracketed(&text, "[default: ").unwrap_or_default();
        found.extend(names.into_iter().map(|name| (name, default.clone())));
    }
    found
}

/// The same from the page: a subcommand's own table, the groups it links to, and what all have.
fn documented(subcommand: Section) -> BTreeMap<String, String> {
    let groups = GROUPS
        .iter()
        .filter(|(_, anchor)| subcommand.text.contains(anchor));
    let groups = groups.map(|(heading, _)| section(heading));
    let mut found = BTreeMap::new();
    for part in groups.chain([subcommand, section("Every subcommand")]) {
        for row in part.rows() {
            let default = code(row.default).concat();
            found.extend(row.names.iter().map(|written| (name(written), default.clone())));
        }
    }
    found
}

#[test]
fn the_reference_has_every_subcommand_argument_and_flag_with_its_default() {
    let folder = tempfile::tempdir().unwrap();
    let help = done(folder.path(), "help").stdout;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|command| !command.is_empty() && *command != "help")
        .collect();
    let headings: Vec<&str> = sections()
        .iter()
        .filter_map(|section| section.heading.strip_prefix("`potstill ")?.strip_suffix('`'))
        .collect();
    assert_eq!(
        headings, commands,
        "subcommands: left the page, right the program"
    );
    for command in commands {
        let program = helped(&done(folder.path(), &format!("{command} --help")).stdout);
        let page = documented(section(&format!("`potstill {command}`")));
        assert_eq!(
            page, program,
            "potstill {command}: left the page, right the program"
        );
    }
}

/// The configuration file's sections.
fn tables() -> Vec<Section> {
    let is_table = |section: &Section| section.heading.starts_with("`[");
    let mut tables = vec![section("The top of the file")];
    tables.extend(sections().into_iter().filter(is_table));
    tables
}

/// What `potstill distill --dry-run` says to a configuration.
fn answer(folder: &Path, configuration: &str) -> Answer {
    fs::write(folder.join("run.toml"), configuration).unwrap();
    potstill(folder, "distill run.toml --dry-run")
}

/// What serde lists behind `complaint` in its answer.
fn listed(answer: &Answer, complaint: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = answer.stderr.split_once(complaint)?;
    let line = rest.lines().next().unwrap_or_default();
    Some(code(line).into_iter().map(str::to_owned).collect())
}

#[test]
fn the_reference_has_every_key_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = format!("unknown field `{NO_KEY}`,");
    for table in tables() {
        let heading = table.heading;
        let said = answer(folder.path(), &format!("{}{NO_KEY} = 1\n", table.prefix()));
        let program = listed(&said, &unknown).unwrap_or_else(|| panic!("{heading}: {said:?}"));
        let rows = table.rows();
        let page: BTreeSet<String> = rows
            .iter()
            .flat_map(|row| row.names.iter().map(|&key| key.to_owned()))
            .collect();
        assert_eq!(page, program, "{heading}: left the page, right the program");
    }
}

#[test]
fn every_table_of_the_configuration_has_its_section() {
    let folder = tempfile::tempdir().unwrap();
    let headings: Vec<&str> = tables().iter().map(|table| table.heading).collect();
    let wanted = |heading: String| assert!(headings.contains(&heading.as_str()), "no section {heading}");
    for table in tables() {
        for key in table.rows().iter().flat_map(|row| row.names.clone()) {
            let path = match table.path() {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            };
            let inside = |value: &str| answer(folder.path(), &format!("{}{key} = {value}\n", table.prefix()));
            let one = inside(&format!("{{ {NO_KEY} = 1 }}"));
            let several = inside(&format!("[{{ {NO_KEY} = 1 }}]"));
            let unknown = format!("unknown field `{NO_KEY}`");
            if one.stderr.contains("missing field `kind`") {
                let kinds = answer(folder.path(), &format!("[{path}]\nkind = \"{NO_KEY}\"\n"));
                for kind in listed(&kinds, &format!("unknown variant `{NO_KEY}`,")).unwrap() {
                    wanted(format!("`[{path}]` `kind = \"{kind}\"`"));
                }
            } else if one.stderr.contains(&unknown) {
                wanted(format!("`[{path}]`"));
            } else if several.stderr.contains(&unknown) {
                wanted(format!("`[[{path}]]`"));
            }
        }
    }
}

#[test]
fn the_defaults_in_the_reference_are_those_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for table in tables() {
        let (heading, rows) = (table.heading, table.rows());
        if rows.iter().any(|row| row.default == "required") {
            continue;
        }
        let left_out = answer(folder.path(), &table.prefix());
        let mut written = table.prefix();
        for row in &rows {
            if let [default] = code(row.default)[..] {
                written += &format!("{} = {default}\n", row.names[0]);
            }
        }
        let said = answer(folder.path(), &written);
        assert_eq!(
            said.stdout, left_out.stdout,
            "{heading}: {written}{}",
            said.stderr
        );

        let (configuration, _) = left_out.stdout.split_once("\n#\n").unwrap();
        let resolved: Table = toml::from_str(configuration).unwrap();
        let mut inside = Value::Table(resolved);
        for key in table.path().split('.').filter(|key| !key.is_empty()) {
            inside = inside[key].clone();
        }
        for row in rows.iter().filter(|row| row.default == "–") {
            let key = row.names[0];
            assert!(
                inside.get(key).is_none(),
                "{heading}: {key} has a default: {configuration}"
            );
        }
    }
}
