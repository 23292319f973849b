//! A page of the documentation as it is written: its blocks of commands, and whether what was printed is
//! what stands there.

use std::collections::{BTreeMap, HashMap};

/// What a placeholder stands for, by its name.
pub(crate) type Values = HashMap<&'static str, String>;

/// Placeholders for what nobody can know beforehand.
const NUMBERS: [&str; 3] = ["BYTES", "COUNT", "NUMBER"];
/// The same, of any text.
const TEXTS: [&str; 14] = [
    "AGE",
    "COUNTS",
    "ERROR",
    "LISTEN",
    "MESSAGE_ID",
    "PHASE",
    "POSITION",
    "REQUEST",
    "REQUESTS",
    "ROLLED_BACK_ID",
    "SECONDS",
    "TIME",
    "TYPE",
    "WHO",
];

/// One command, and what stands below it.
#[derive(Debug)]
pub(crate) struct Command {
    line: String,
    printed: Vec<String>,
    pub(crate) code: i32,
}

/// What stands between fences, in the order of the page.
pub(crate) struct Block<'a> {
    pub(crate) language: &'a str,
    pub(crate) name: &'a str,
    body: Vec<&'a str>,
}

impl Block<'_> {
    /// As a file has it.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<_> = self.body.iter().map(|line| format!("{line}\n")).collect();
        lines.concat()
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        commands(&self.body)
    }
}

/// Every block of a page; each must have a name behind its language.
pub(crate) fn named_blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(opening) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let named = opening.split_once(' ');
        let (language, name) = named.unwrap_or_else(|| panic!("a block that no test runs: {line}"));
        let body = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block {
            language,
            name,
            body,
        });
    }
    blocks
}

/// The blocks of a page that has none but commands, by their names.
pub(crate) fn blocks(page: &str) -> BTreeMap<&str, Vec<Command>> {
    let mut blocks = BTreeMap::new();
    for block in named_blocks(page) {
        let name = block.name;
        assert_eq!(
            block.language, "console",
            "a block that no test runs: {name}"
        );
        let replaced = blocks.insert(name, block.commands());
        assert!(replaced.is_none(), "two blocks are named {name}");
    }
    blocks
}

fn commands(body: &[&str]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut body = body.iter();
    while let Some(line) = body.next() {
        match line.strip_prefix("$ ") {
            Some("echo $?") => {
                let last = commands.last_mut().expect("a command before its exit code");
                last.code = body.next().expect("an exit code").parse().unwrap();
            }
            Some(command) => commands.push(Command {
                line: command.to_owned(),
                printed: Vec::new(),
                code: 0,
            }),
            None => {
                let last = commands.last_mut().expect("a command before its output");
                last.printed.push((*line).to_owned());
            }
        }
    }
    commands
}

/// The commands that stand within the text, outside of blocks.
pub(crate) fn commands_in_prose(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.filter(|span| {
                ["outbox-sidecar ", "kafka-topics.sh ", "psql "]
                    .iter()
                    .any(|program| span.starts_with(program))
            }));
        }
    }
    found
}

impl Command {
    /// What is to be typed.
    pub(crate) fn text(&self, values: &Values) -> String {
        let mut text = self.line.clone();
        for (name, value) in values {
            text = text.replace(&format!("<{name}>"), value);
        }
        assert!(!text.contains('<'), "what is meant in: {text}");
        text
    }

    /// Whether this was printed: line by line, spaces aside. `...` stands for any lines.
    pub(crate) fn matches(&self, printed: &str, values: &Values) -> bool {
        let expected: Vec<_> = self.printed.iter().map(|line| plain(line)).collect();
        let printed: Vec<_> = printed.lines().map(plain).collect();
        let is_full = |line: &&String| !line.is_empty();
        let expected: Vec<_> = expected.iter().filter(is_full).collect();
        let printed: Vec<_> = printed.iter().filter(is_full).collect();
        lines_match(&expected, &printed, values)
    }
}

/// Without the spaces and dashes that a table has for its look.
fn plain(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut plain = words.join(" ");
    while plain.contains("---") {
        plain = plain.replace("---", "--");
    }
    plain
}

fn lines_match(expected: &[&String], printed: &[&String], values: &Values) -> bool {
    match (expected, printed) {
        ([], printed) => printed.is_empty(),
        ([line, rest @ ..], printed) if *line == "..." => {
            (0..=printed.len()).any(|left_out| lines_match(rest, &printed[left_out..], values))
        }
        ([line, rest @ ..], [text, others @ ..]) => {
            line_matches(line, text, values) && lines_match(rest, others, values)
        }
        (_, []) => false,
    }
}

fn line_matches(expected: &str, text: &str, values: &Values) -> bool {
    let placeholder = expected.split_once('<').and_then(|(before, rest)| {
        let (name, after) = rest.split_once('>')?;
        Some((before, name, after))
    });
    let Some((before, name, after)) = placeholder else {
        return expected == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    if let Some(value) = values.get(name) {
        return text
            .strip_prefix(value.as_str())
            .is_some_and(|text| line_matches(after, text, values));
    }
    let is_number = NUMBERS.contains(&name);
    assert!(is_number || TEXTS.contains(&name), "<{name}> is not known");
    let ends = text.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
    ends.take_while(|(_, c)| !is_number || c.is_ascii_digit())
        .any(|(end, _)| line_matches(after, &text[end..], values))
}

#[test]
fn what_is_printed_is_compared_line_by_line() {
    let values = Values::from([("ID", "7".to_owned())]);
    let command = |printed: &[&str]| Command {
        line: String::new(),
        printed: printed.iter().map(|line| (*line).to_owned()).collect(),
        code: 0,
    };
    for (expected, printed, is_same) in [
        (&["a  b", "c"][..], "a b\n\n c\n", true),
        (&["a"], "a\nb", false),
        (&["a", "b"], "a", false),
        (&["a", "..."], "a", true),
        (&["...", "b", "..."], "a\nb\nc\nd", true),
        (&["...", "e"], "a\nb", false),
        (&["id <ID> of <COUNT> rows"], "id 7 of 12 rows", true),
        (&["id <ID>"], "id 8", false),
        (&["<COUNT> rows"], "no rows", false),
        (&["at <TIME> by"], "at ten past two by", true),
        (&["error <ERROR>"], "error", false),
        (&["---+----"], "------------+-", false),
        (&["---+---"], "------------+----", true),
    ] {
        let expected = command(expected);
        assert_eq!(
            expected.matches(printed, &values),
            is_same,
            "{expected:?} and {printed:?}"
        );
    }
}
