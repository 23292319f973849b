//! What a process has used, as the kernel counts it.

use std::time::Duration;

use anyhow::Context;
use nix::unistd::{SysconfVar, sysconf};

/// Of a process, all its threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time since it was started.
    pub cpu: Duration,
    /// The most memory that was resident at one time, in bytes.
    pub resident_bytes_max: u64,
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`. Time comes in the kernel's ticks, 10 ms mostly.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
    };
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK)?.context("CLK_TCK is not known")?;
    let ticks = cpu_ticks(&read("stat")?).context("/proc/PID/stat is not understood")?;
    let kibibytes =
        resident_kibibytes_max(&read("status")?).context("/proc/PID/status has no VmHWM")?;
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64),
        resident_bytes_max: kibibytes * 1024,
    })
}

/// utime and stime: the 14th and 15th field, counted after the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kibibytes_max(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 30 0 0 20 0 3 0";
        assert_eq!(cpu_ticks(stat), Some(180));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(resident_kibibytes_max(status), Some(2048));
    }

    #[test]
    fn this_process_uses_something() {
        let mut sum = 0_u64;
        while usage(std::process::id()).unwrap().cpu < Duration::from_millis(30) {
            sum = (0..1_000_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(usage(std::process::id()).unwrap().resident_bytes_max > 100_000);
    }
}
