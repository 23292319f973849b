use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{Progress, RequestError};

/// How fast messages are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages a second; as fast as it goes if there is none.
    rate: Option<NonZeroU32>,
    began: Instant,
}

impl Pace {
    /// A request is begun at this rate.
    pub(crate) fn begin(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            began: Instant::now(),
        }
    }

    /// So many messages the request may have: a second's worth, as far as a request takes them.
    pub(crate) fn messages(self, messages_max: u32) -> u32 {
        let rate = self.rate.map_or(messages_max, NonZeroU32::get);
        rate.min(messages_max)
    }

    /// Waits until the next request is due, after one of so many messages.
    ///
    /// # Errors
    /// [`RequestError::Interrupted`].
    pub(crate) async fn keep(
        self,
        messages: u64,
        progress: &Progress,
        so_far: &str,
    ) -> Result<(), RequestError> {
        if let Some(rate) = self.rate {
            // A request has far fewer.
            let messages = u32::try_from(messages).unwrap_or(u32::MAX);
            let due = Duration::from_secs(1) * messages / rate.get();
            let left = due.saturating_sub(self.began.elapsed());
            let left_s = left.as_secs();
            progress.say(format!("{so_far}: the next request in {left_s} s (--rate)"));
            progress.pause(left).await?;
        }
        Ok(())
    }
}
