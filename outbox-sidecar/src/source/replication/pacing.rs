use std::time::Duration;

/// How long the reader stays away from a busy TCP connection.
///
/// The walsender sends row by row, and a reader that is woken for nearly each of them halves the
/// speed of both. A pause lets rows gather. PostgreSQL 15 on two cores, 200,000 transactions of one
/// row: 72,000 to 88,000 rows a second and 6 µs of our time for each without a pause, 144,000 to
/// 151,000 and 1.2 µs with 300 µs; 400 µs are better by a tenth here and worse by a tenth with 1000
/// rows a transaction, 600 µs are no better than none.
const PAUSE_TCP: Duration = Duration::from_micros(300);

/// The same for a unix socket, whose buffer is small and runs full in a longer pause: 75,000 to
/// 88,000 rows a second without, 116,000 to 145,000 with 100 µs, less with 300 µs.
const PAUSE_UNIX: Duration = Duration::from_micros(100);

/// A read that brings at least this much counts as load.
const LOAD_BYTES: usize = 4 * 1024;

/// A read without load in between ends the pauses only after this many: load comes in gusts.
const QUIET_READS_MAX: u32 = 2;

/// Decides whether to pause before the next read: only under load, never when quiet, so that a
/// single message passes without delay.
#[derive(Debug)]
pub(super) struct Pacing {
    pause: Duration,
    quiet_reads: u32,
    loaded: bool,
}

impl Pacing {
    pub(super) const fn new(is_unix_socket: bool) -> Self {
        Self {
            pause: if is_unix_socket {
                PAUSE_UNIX
            } else {
                PAUSE_TCP
            },
            quiet_reads: 0,
            loaded: false,
        }
    }

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
        if self.loaded { Some(self.pause) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_is_paced() {
        let mut pacing = Pacing::new(false);
        pacing.read(300);
        assert_eq!(pacing.pause(), None);
        pacing.read(64 * 1024);
        assert_eq!(pacing.pause(), Some(PAUSE_TCP));
        pacing.read(0);
        assert_eq!(pacing.pause(), Some(PAUSE_TCP));
        for _ in 0..QUIET_READS_MAX {
            pacing.read(0);
        }
        assert_eq!(pacing.pause(), None);
    }
}
