//! How much memory a program has held.

/// The most that was resident at one time, in KiB; 0 once it has ended.
pub(crate) fn resident_kibibytes_max(pid: u32) -> u64 {
    read(pid, "VmHWM:")
}

/// The same without what is mapped from files: a debug build's own code is five times as large as
/// the one that users run.
pub(crate) fn allocated_kibibytes_max(pid: u32) -> u64 {
    resident_kibibytes_max(pid).saturating_sub(read(pid, "RssFile:"))
}

fn read(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let found = lines.find_map(|found| {
        let kibibytes = found.strip_prefix(line)?.trim().strip_suffix(" kB")?;
        kibibytes.parse().ok()
    });
    found.unwrap_or_default()
}
