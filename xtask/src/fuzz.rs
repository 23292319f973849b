//! `cargo xtask fuzz`: each fuzz target by cargo-fuzz for a while, then its corpus made small again.

mod toolchain;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use testbed_supervisor::Output;

use crate::failure::Failure;
use crate::run::{Runner, say, workspace};
use toolchain::Toolchain;

/// How long each target runs unless the caller says so.
const SECONDS: u64 = 600;
/// No input grows beyond it: what parsers do is seen in less, and the tests replay the corpus.
const INPUT_BYTES_MAX: &str = "-max_len=2048";
/// One input takes microseconds; what takes so long hangs.
const INPUT_SECONDS_MAX: &str = "-timeout=20";
/// The targets look at the memory that our own code takes; this is for what they do not see.
const ALLOCATION_MIB_MAX: &str = "-malloc_limit_mb=64";
/// Where the fuzzer says how often it ran the target.
const EXECUTIONS: &str = "stat::number_of_executed_units:";

/// How the run of one target went.
struct Report {
    target: String,
    executions: String,
    seconds: u64,
    /// Inputs that the corpus holds now.
    kept: usize,
    /// What the target could not bear, in files.
    findings: Vec<PathBuf>,
}

/// Runs the targets that are asked for, and fails where one has found something.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let (target, seconds) = asked_for(arguments)?;
    let toolchain = Toolchain::find()?;
    let known = targets()?;
    let chosen = match target {
        None => known,
        Some(target) if known.iter().any(|known| known == target) => vec![target.to_owned()],
        Some(target) => {
            let known = known.join(", ");
            return Err(Failure::usage(format!(
                "no target {target:?}; there are {known}"
            )));
        }
    };
    let runner = Runner::start()?;
    toolchain.check_dependencies(&runner)?;
    let mut reports = Vec::new();
    for target in chosen {
        reports.push(fuzz(&runner, &toolchain, target, seconds)?);
    }
    tell(&reports);
    let findings: usize = reports.iter().map(|report| report.findings.len()).sum();
    match findings {
        0 => Ok(()),
        _ => Err(Failure::new(format!(
            "{findings} findings; to see one again: cargo +nightly fuzz run TARGET FILE"
        ))),
    }
}

fn asked_for<'a>(arguments: &[&'a str]) -> Result<(Option<&'a str>, u64), Failure> {
    let usage = || Failure::usage("usage: cargo xtask fuzz [TARGET] [--seconds N]");
    let (target, rest) = match arguments {
        [target, rest @ ..] if !target.starts_with('-') => (Some(*target), rest),
        rest => (None, rest),
    };
    match rest {
        [] => Ok((target, SECONDS)),
        ["--seconds", seconds] => {
            let seconds = seconds.parse().map_err(|_| usage())?;
            Ok((target, seconds))
        }
        _ => Err(usage()),
    }
}

/// The names of the targets: those of their files.
fn targets() -> Result<Vec<String>, Failure> {
    let names = files(&workspace()?.join("fuzz/fuzz_targets"))?;
    let name = |file: &PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
    Ok(names.iter().filter_map(name).collect())
}

fn fuzz(
    runner: &Runner,
    toolchain: &Toolchain,
    target: String,
    seconds: u64,
) -> Result<Report, Failure> {
    let root = workspace()?.join("fuzz");
    let corpus = root.join("corpus").join(&target);
    let artifacts = root.join("artifacts").join(&target);
    let log = root.join("artifacts").join(format!("{target}.log"));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| cannot_use(folder, &error))?;
    }
    toolchain.build(runner, &target)?;
    let before = files(&artifacts)?;
    fs::write(&log, "").map_err(|error| cannot_use(&log, &error))?;
    say(&format!(
        "{target}: {seconds} seconds, log in {}",
        log.display()
    ));
    let time = format!("-max_total_time={seconds}");
    let limits = [INPUT_BYTES_MAX, INPUT_SECONDS_MAX, ALLOCATION_MIB_MAX];
    let options = [&["--", &time, "-print_final_stats=1"], &limits[..]].concat();
    let started = Instant::now();
    let exit = toolchain.fuzz(
        runner,
        &[&["run", &target], &options[..]].concat(),
        Output::File(log.clone()),
    )?;
    let seconds = started.elapsed().as_secs();
    let findings = files(&artifacts)?
        .difference(&before)
        .cloned()
        .collect::<Vec<_>>();
    if !exit.success() && findings.is_empty() {
        let log = log.display();
        return Err(Failure::new(format!("{target} did not run, see {log}")));
    }
    toolchain.minimise(runner, &target, INPUT_BYTES_MAX)?;
    let text = fs::read_to_string(&log).map_err(|error| cannot_use(&log, &error))?;
    Ok(Report {
        executions: executions(&text).unwrap_or("unknown").to_owned(),
        seconds,
        kept: files(&corpus)?.len(),
        findings,
        target,
    })
}

fn executions(log: &str) -> Option<&str> {
    let line = log
        .lines()
        .rev()
        .find(|line| line.starts_with(EXECUTIONS))?;
    line.strip_prefix(EXECUTIONS).map(str::trim)
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let failed = |error| cannot_use(folder, &error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(failed)
}

fn cannot_use(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

fn tell(reports: &[Report]) {
    let row = |cells: [&str; 5]| {
        let [target, executions, seconds, kept, findings] = cells;
        say(&format!(
            "{target:<26} {executions:>12} {seconds:>8} {kept:>7} {findings:>9}"
        ));
    };
    row(["target", "executions", "seconds", "corpus", "findings"]);
    for report in reports {
        let numbers = [
            report.seconds,
            report.kept as u64,
            report.findings.len() as u64,
        ];
        let [seconds, kept, findings] = numbers.map(|number| number.to_string());
        row([
            &report.target,
            &report.executions,
            &seconds,
            &kept,
            &findings,
        ]);
        for finding in &report.findings {
            say(&format!("  {}", finding.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_its_time_are_asked_for_in_any_combination() {
        assert_eq!(asked_for(&[]).ok(), Some((None, SECONDS)));
        assert_eq!(
            asked_for(&["pgoutput"]).ok(),
            Some((Some("pgoutput"), SECONDS))
        );
        assert_eq!(asked_for(&["--seconds", "5"]).ok(), Some((None, 5)));
        let both = asked_for(&["pgoutput", "--seconds", "5"]);
        assert_eq!(both.ok(), Some((Some("pgoutput"), 5)));
        for wrong in [
            &["--seconds"][..],
            &["--seconds", "x"],
            &["a", "b"],
            &["-x"],
        ] {
            assert!(asked_for(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn executions_are_read_from_the_last_statistics() {
        let log = "#2 INITED\nstat::number_of_executed_units: 7\nstat::new_units_added: 3\n";
        assert_eq!(executions(log), Some("7"));
        assert_eq!(executions("#2 INITED\n"), None);
    }

    #[test]
    fn each_target_is_in_the_manifest_and_has_a_corpus() {
        let root = workspace().unwrap().join("fuzz");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        for target in targets {
            assert!(
                manifest.contains(&format!("name = \"{target}\"\n")),
                "{target}"
            );
            assert!(
                !files(&root.join("corpus").join(&target))
                    .unwrap()
                    .is_empty(),
                "{target}"
            );
        }
    }
}
