//! The cargo features of the workspace's packages, by tier.

use std::path::Path;

use crate::failure::Failure;
use crate::run::workspace;

/// The feature that turns a package's long tests on: a test target `long` with
/// `required-features = ["long"]`.
const LONG: &str = "long";

/// The value for `--features`: every feature of every package, the long tests only if asked for.
pub(crate) fn all(long: bool) -> Result<String, Failure> {
    let root = workspace()?;
    let mut features = Vec::new();
    for member in members(&read(&root.join("Cargo.toml"))?) {
        let manifest = read(&root.join(&member).join("Cargo.toml"))?;
        let package = package_name(&manifest).unwrap_or(member);
        let wanted = names(&manifest)
            .into_iter()
            .filter(|name| long || name != LONG);
        features.extend(wanted.map(|name| format!("{package}/{name}")));
    }
    Ok(features.join(","))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))
}

/// The workspace's members; our manifests need no more of TOML than this reads.
fn members(manifest: &str) -> Vec<String> {
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let list = list.map_or("", |(list, _)| list);
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn package_name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.starts_with("name = "))?;
    Some(
        line.trim_start_matches("name = ")
            .trim_matches('"')
            .to_owned(),
    )
}

/// The names in the table of features, without `default`.
fn names(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| {
            line.split_once(" = [")
                .map(|(name, _)| name.trim().to_owned())
        })
        .filter(|name| name != "default" && !name.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_a_manifest() {
        let manifest = "[package]\nname = \"a\"\n\n[features]\ndefault = []\n# why\nlong = []\n\
                        sqlx = [\"dep:sqlx\"]\n\n[dependencies]\nb = [\"no\"]\n";
        assert_eq!(names(manifest), ["long", "sqlx"]);
        assert_eq!(package_name(manifest).as_deref(), Some("a"));
        assert_eq!(members("members = [\"a\",\n \"b/c\",\n]"), ["a", "b/c"]);
    }

    #[test]
    fn the_workspace_has_the_clients_of_the_core_and_long_only_when_asked() {
        let ordinary = all(false).unwrap();
        assert!(ordinary.contains("outbox-core/sqlx"), "{ordinary}");
        assert!(
            !ordinary
                .split(',')
                .any(|feature| feature.ends_with("/long")),
            "{ordinary}"
        );
        assert!(all(true).unwrap().len() >= ordinary.len());
    }
}
