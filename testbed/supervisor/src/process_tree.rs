//! Who descends from whom.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// The living descendants of a process, parents before their children, without itself.
///
/// PostgreSQL puts every backend into a session of its own, so a process group does not hold them;
/// descent does.
pub(crate) fn descendants(root: i32) -> io::Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents()? {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        // `remove` also ends a cycle, which a process table read line by line could show.
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            open.push(child);
        }
    }
    Ok(found)
}

fn parents() -> io::Result<Vec<(i32, i32)>> {
    if Path::new("/proc/self/stat").exists() {
        parents_from_proc()
    } else {
        parents_from_ps()
    }
}

fn parents_from_proc() -> io::Result<Vec<(i32, i32)>> {
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile has no descendants any more.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // "pid (name) state parent ...": the name may hold anything, a closing bracket included.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
            pairs.push((pid, parent));
        }
    }
    Ok(pairs)
}

fn parents_from_ps() -> io::Result<Vec<(i32, i32)>> {
    let output = Command::new("ps").args(["-axo", "pid=,ppid="]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<i32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}
