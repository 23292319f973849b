use std::time::Duration;

/// How long the reader stays away from a busy socket.
///
/// The walsender sends row by row, and a reader that is woken for nearly each of them halves the
/// speed of both. A pause lets rows gather; see `benches/README.md` for what was measured.
const PAUSE: Duration = Duration::from_micros(300);

/// A read that brings at least this much counts as load.
const LOAD_BYTES: usize = 4 * 1024;

/// A read without load in between ends the pauses only after this many: load comes in gusts.
const QUIET_READS_MAX: u32 = 2;

/// Decides whether to pause before the next read: only under load, never when quiet, so that a
/// single message passes without delay.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    quiet_reads: u32,
    loaded: bool,
}

impl Pacing {
    /// Takes note of what a read brought.
    pub(super) fn read(&mut self, bytes: usize) {
        if bytes >= LOAD_BYTES {
            self.loaded = true;
            self.quiet_reads = 0;
        } else {
            self.quiet_reads += 1;
            self.loaded &= self.quiet_reads <= QUIET_READS_MAX;
        }
    }

    /// How long to stay away from the socket now.
    pub(super) const fn pause(&self) -> Option<Duration> {
        if self.loaded { Some(PAUSE) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_is_paced() {
        let mut pacing = Pacing::default();
        pacing.read(300);
        assert_eq!(pacing.pause(), None);
        pacing.read(64 * 1024);
        assert_eq!(pacing.pause(), Some(PAUSE));
        pacing.read(0);
        assert_eq!(pacing.pause(), Some(PAUSE));
        for _ in 0..QUIET_READS_MAX {
            pacing.read(0);
        }
        assert_eq!(pacing.pause(), None);
    }
}
