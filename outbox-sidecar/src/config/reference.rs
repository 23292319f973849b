//! The table of keys in docs/configuration.md, and the keys that the documentation names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::key::{Allowed, Key, size};
use super::{environment, file, keys};

/// Set, the test writes the table into the file.
const VARIABLE: &str = "OUTBOX_WRITE_CONFIGURATION";

const BEGIN: &str = "<!-- keys -->\n";
const END: &str = "\n<!-- end of keys -->";

/// Names that look like a key's and are librdkafka's.
const PROPERTIES: [&str; 4] = [
    "batch.size",
    "log.connection.close",
    "log.queue",
    "retry.backoff.ms",
];

/// Names that end so are files'.
const FILES: [&str; 4] = ["key", "md", "pem", "rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn variable(key: &Key) -> String {
    format!("OUTBOX_{}", key.name.replacen('.', "__", 1).to_uppercase())
}

fn default(key: &Key) -> String {
    match (key.default, key.kind) {
        (None, _) if key.name == "relay.name" => "required".to_owned(),
        (None, _) => String::new(),
        (Some(default), kind) => format!("`{}`", kind.read(default.to_owned())),
    }
}

fn allowed(key: &Key) -> String {
    match key.allowed {
        Allowed::Numbers { min, max } => format!("{min} to {}", grouped(max)),
        Allowed::Bytes { min, max } => format!("{} to {}", size(min), size(max)),
        Allowed::OneOf(values) => values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Allowed::Truth => "`true`, `false`".to_owned(),
        Allowed::Said(words) => words.to_owned(),
        Allowed::OnlyDefault { .. } => "the default alone in this release".to_owned(),
    }
}

/// With a comma for each thousand.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(parts.join(&b',')).unwrap()
}

fn table() -> String {
    let mut lines = vec![
        "| key | default | allowed | what | environment |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(keys::all().map(|key| {
        let cells = [
            format!("`{}`", key.name),
            default(key),
            allowed(key),
            key.meaning.to_owned(),
            format!("`{}`", variable(key)),
        ];
        format!(
            "| {} |",
            cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
        )
    }));
    lines.join("\n")
}

#[test]
fn the_table_in_the_documentation_is_that_of_the_code() {
    let path = root().join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("a mark before the table");
    let (written, after) = rest.split_once(END).expect("a mark behind the table");
    let found = table();
    if found == written {
        return;
    }
    if std::env::var_os(VARIABLE).is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).unwrap();
        return;
    }
    panic!(
        "docs/configuration.md differs from the keys in outbox-sidecar/src/config/keys/ (run this test \
         with {VARIABLE}=1 to write it):\n{found}\nIt says:\n{written}"
    );
}

#[test]
fn the_environment_knows_each_key_by_the_name_in_the_table() {
    for key in keys::all() {
        let read = environment::read([(variable(key), String::new())]);
        assert_eq!(read.into_keys().collect::<Vec<_>>(), [key.name]);
    }
}

#[test]
fn the_documentation_names_no_key_that_does_not_exist() {
    let sections: BTreeSet<_> = keys::all()
        .filter_map(|key| Some(key.name.split_once('.')?.0))
        .collect();
    let mut unknown = Vec::new();
    let mut named = 0;
    for (path, text) in pages() {
        let names = spans(&text)
            .flat_map(|span| names_in(span, &sections))
            .chain(keys_of_blocks(&text, &sections));
        for name in names {
            named += 1;
            let is_known = keys::find(&name).is_some()
                || name == "kafka.properties"
                || name.starts_with(keys::PROPERTIES)
                || name.starts_with(keys::ROUTES)
                || name == keys::ROUTES.trim_end_matches('.')
                || PROPERTIES.contains(&name.as_str());
            if !is_known {
                unknown.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert_eq!(unknown, [""; 0]);
    assert!(named > 100, "only {named} names of keys were found");
}

/// README and every page below `docs`.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("docs")];
    let mut files = vec![root().join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    files.into_iter().map(read).collect()
}

/// What stands between backticks in a line of prose.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The names of keys in a span: words such as `batch.bytes_max`, and variables.
fn names_in(span: &str, sections: &BTreeSet<&str>) -> Vec<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || ['_', '.'].contains(&c);
    let words = span.split(|c| !is_of_name(c) && c != '/' && c != '-');
    words
        .map(|word| word.trim_matches('.'))
        .filter_map(|word| {
            if let Some(variable) = word.strip_prefix("OUTBOX_") {
                let key = format!("OUTBOX_{variable}");
                return environment::read([(key, String::new())]).into_keys().next();
            }
            let (section, name) = word.split_once('.')?;
            let is_key = sections.contains(section)
                && !name.is_empty()
                && !FILES.contains(&name)
                && name.chars().all(is_of_name);
            is_key.then(|| word.to_owned())
        })
        .collect()
}

/// The keys that blocks of TOML set, where they are a configuration of ours.
fn keys_of_blocks(text: &str, sections: &BTreeSet<&str>) -> Vec<String> {
    let blocks = text.split("```toml").skip(1);
    let bodies = blocks.filter_map(|rest| Some(rest.split_once('\n')?.1.split_once("```")?.0));
    bodies
        .filter(|body| !body.contains("[dependencies]"))
        .flat_map(|body| {
            let entries = file::parse(body, Path::new("a block")).unwrap();
            let is_section = |key: &String| sections.contains(key.as_str()) || key == "stdout";
            let keys = entries.into_keys().filter(|key| !is_section(key));
            keys.collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn names_are_found_wherever_they_stand() {
    let sections = BTreeSet::from(["batch", "relay"]);
    for (span, expected) in [
        ("batch.bytes_max = \"1MiB\"", &["batch.bytes_max"][..]),
        ("relay/machine.rs", &[]),
        ("relay.rs", &[]),
        ("--set batch.messages_max=1", &["batch.messages_max"]),
        ("OUTBOX_BATCH__BYTES_MAX=1", &["batch.bytes_max"]),
        ("OUTBOX_TEST_SEED", &[]),
        ("other.name", &[]),
    ] {
        assert_eq!(names_in(span, &sections), expected, "{span}");
    }
    let text = "```toml\n[batch]\nbytes_max = 1\n[nonsense]\na = 1\n```";
    assert_eq!(
        keys_of_blocks(text, &sections),
        ["batch.bytes_max", "nonsense.a"]
    );
}
