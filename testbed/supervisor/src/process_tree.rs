//! Who descends from whom.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// What the operating system calls a supervisor; Linux keeps 15 characters.
const SUPERVISOR: &str = "testbed-supervi";

struct Entry {
    pid: i32,
    parent: i32,
    name: String,
}

/// The living descendants of a process, parents before their children, without itself.
///
/// PostgreSQL puts every backend into a session of its own, so a process group does not hold them;
/// descent does.
pub(crate) fn descendants(root: i32) -> io::Result<Vec<i32>> {
    descend(root, |_| false)
}

/// As [`descendants`], but without other supervisors and what they own.
pub(crate) fn descendants_without_supervisors(root: i32) -> io::Result<Vec<i32>> {
    descend(root, |entry| entry.name.starts_with(SUPERVISOR))
}

fn descend(root: i32, spare: impl Fn(&Entry) -> bool) -> io::Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in entries()?.into_iter().filter(|entry| !spare(entry)) {
        children.entry(entry.parent).or_default().push(entry.pid);
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

fn entries() -> io::Result<Vec<Entry>> {
    if Path::new("/proc/self/stat").exists() {
        entries_from_proc()
    } else {
        entries_from_ps()
    }
}

fn entries_from_proc() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir("/proc")? {
        let file = file?.file_name();
        let Some(pid) = file.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile has no descendants any more.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // "pid (name) state parent ...": the name may hold anything, a closing bracket included.
        let Some((start, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let name = start
            .split_once('(')
            .map_or("", |(_, name)| name)
            .to_owned();
        let parent = rest
            .split_whitespace()
            .nth(1)
            .and_then(|parent| parent.parse().ok());
        if let Some(parent) = parent {
            entries.push(Entry { pid, parent, name });
        }
    }
    Ok(entries)
}

fn entries_from_ps() -> io::Result<Vec<Entry>> {
    let output = Command::new("ps")
        .args(["-axco", "pid=,ppid=,comm="])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let entry = |line: &str| {
        let mut fields = line.split_whitespace();
        let (pid, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Entry {
            pid,
            parent,
            name: fields.next().unwrap_or_default().to_owned(),
        })
    };
    Ok(text.lines().filter_map(entry).collect())
}
