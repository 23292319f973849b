//! Which published messages has the database lost? After a fail-over to a standby that was behind, the
//! broker is read back: what it shows of the lost timeline is named, so that somebody can undo what it
//! caused.
//!
//! Read are the destinations that rows of the surviving table name, and those that the configuration
//! names, from a day before the last message on. Nothing is changed, and nobody is fenced.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use outbox_core::relay::{Phantom, PhantomList, Phantoms};
use outbox_core::{MessageId, Position, Timestamp};

use crate::config::Settings;
use crate::control::connect;
use crate::sink::published::{Published, ReadError};
use crate::verify::{Readable, VerifyError};

/// How much older than the last lost message the first may be: what a standby may lag behind, and a
/// transaction take.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest to read: the process is to end, and is started again by whoever watches it.
const READ_MAX: Duration = Duration::from_secs(60);
/// So many are told apart; what comes beyond is not counted.
const PHANTOMS_MAX: usize = 100_000;
/// So many are named where the reason is shown and kept; the log has all.
const NAMED_MAX: usize = 10;
/// So many destinations are read.
const DESTINATIONS_MAX: i64 = 1000;

/// Reads the broker of a relay back.
#[derive(Clone)]
pub(crate) struct PhantomReader {
    settings: Option<Box<Settings>>,
}

impl PhantomReader {
    /// For the broker and the database of this configuration.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: Some(Box::new(settings.clone())),
        }
    }

    /// For a broker that cannot be read back.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self { settings: None }
    }

    /// Lists them, and names each in the log. What could not be read is said in the list.
    pub(crate) async fn list(&self, phantoms: &Phantoms) -> PhantomList {
        let found = match &self.settings {
            Some(settings) => read(settings, phantoms).await,
            None => Err(ReadError("this sink cannot be read back".to_owned()).into()),
        };
        found.unwrap_or_else(|error| PhantomList {
            remarks: vec![format!("the broker could not be read back: {error}")],
            ..PhantomList::default()
        })
    }
}

async fn read(settings: &Settings, phantoms: &Phantoms) -> Result<PhantomList, VerifyError> {
    let readable = Readable::of(&settings.sink)?;
    let since = before(phantoms.last.commit_time, AGE_MAX);
    let destinations = destinations(settings, since).await?;
    let phantoms = phantoms.clone();
    tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + READ_MAX;
        let mut broker = readable.connect()?;
        let mut listing = Listing::default();
        for destination in &destinations {
            let read = broker.read(destination, Some(since), deadline, |published| {
                if Instant::now() >= deadline {
                    let late = format!("not done within {} s", READ_MAX.as_secs());
                    return Err(ReadError(late));
                }
                listing.see(&phantoms, destination, published);
                Ok(())
            });
            if let Err(error) = read {
                let remark = format!("{destination:?} was not read to its end: {error}");
                listing.list.remarks.push(remark);
            }
        }
        Ok(listing.list)
    })
    .await?
}

/// What was found so far.
#[derive(Default)]
struct Listing {
    list: PhantomList,
    seen: HashSet<(MessageId, Position)>,
}

impl Listing {
    fn see(&mut self, phantoms: &Phantoms, destination: &str, published: &Published<'_>) {
        let found = published.id.zip(published.position);
        let Some((id, (timeline, position))) = found else {
            return;
        };
        if published.is_redelivery || !phantoms.include(timeline, position) {
            return;
        }
        if self.seen.len() >= PHANTOMS_MAX {
            let remark = format!("more than {PHANTOMS_MAX}: the rest is not counted");
            if !self.list.remarks.contains(&remark) {
                self.list.remarks.push(remark);
            }
            return;
        }
        if !self.seen.insert((id, position)) {
            return;
        }
        tracing::warn!(
            %id, %position, %timeline, %destination,
            "published, and lost by the database in a fail-over"
        );
        self.list.count += 1;
        if self.list.some.len() < NAMED_MAX {
            self.list.some.push(Phantom {
                id,
                position,
                destination: destination.to_owned(),
            });
        }
    }
}

/// Where the lost messages may have gone: where those of that time went that are still there, and
/// wherever the relay sends without a pattern.
async fn destinations(
    settings: &Settings,
    since: Timestamp,
) -> Result<BTreeSet<String>, VerifyError> {
    let is_name = |destination: &&String| !destination.contains(['*', '?']);
    let mut found: BTreeSet<_> = settings
        .destinations
        .iter()
        .filter(is_name)
        .cloned()
        .collect();
    let client = connect(&settings.address, "outbox-sidecar phantoms", || {})
        .await
        .map_err(VerifyError::Database)?;
    let sql = format!(
        "select distinct destination from {}.message \
         where created_at >= to_timestamp($1::float8 / 1000000) limit {DESTINATIONS_MAX}",
        settings.schema.quoted()
    );
    #[expect(
        clippy::cast_precision_loss,
        reason = "a day's margin does not depend on microseconds"
    )]
    let since = since.as_unix_us() as f64;
    let rows = client
        .query(&sql, &[&since])
        .await
        .map_err(VerifyError::Row)?;
    for row in &rows {
        found.insert(row.try_get(0).map_err(VerifyError::Row)?);
    }
    Ok(found)
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_us(time.as_unix_us().saturating_sub(by))
}
