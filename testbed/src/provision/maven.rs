//! Artifacts from a Maven repository, fetched by Maven itself: it verifies checksums and honours a
//! company's mirrors, proxies and certificate authorities.

use std::path::Path;

use crate::error::Error;
use crate::provision::command;

/// Copies the dependencies that a pom names into `folder`.
pub(super) fn copy_dependencies(
    pom: &str,
    properties: &[(&str, &str)],
    folder: &Path,
) -> Result<(), Error> {
    let maven = command::require("mvn", "maven")?;
    let pom_file = folder.join("pom.xml");
    std::fs::write(&pom_file, pom).map_err(Error::because(format!(
        "{} cannot be written",
        pom_file.display()
    )))?;
    let output = format!("-DoutputDirectory={}", folder.display());
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, value)| format!("-D{name}={value}"))
        .collect();
    let mut arguments = vec![
        "--quiet",
        "--batch-mode",
        "dependency:copy-dependencies",
        &output,
    ];
    arguments.extend(properties.iter().map(String::as_str));
    command::run(&maven, &arguments, folder)
}

/// Whether two poms differ is told by this number, which is part of an entry's name: a changed pom
/// fetches anew.
pub(super) fn pom_hash(pom: &str) -> u32 {
    pom.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
