use outbox_core::relay::{RelayRow, SourceFailure, Stop};
use outbox_core::schema::SchemaName;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connection::bounded;
use crate::config::Settings;

/// What `init` noted about a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetUp {
    pub(crate) row: RelayRow,
    pub(crate) made_for: MadeFor,
}

/// What a relay was set up for: the configuration must say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MadeFor {
    pub(crate) destinations: Vec<String>,
    pub(crate) shard: String,
    pub(crate) sink: String,
    pub(crate) delivery: String,
}

impl MadeFor {
    /// What this configuration asks for.
    pub(crate) fn configured(settings: &Settings) -> Self {
        Self {
            destinations: settings.destinations.clone(),
            shard: settings.shard.to_string(),
            sink: settings.sink.section().to_owned(),
            delivery: settings.sink.delivery().to_owned(),
        }
    }

    /// How the configuration differs from what the relay was set up for.
    pub(crate) fn differs(&self, configured: &Self) -> Option<String> {
        if (&self.sink, &self.delivery) != (&configured.sink, &configured.delivery) {
            return Some(format!(
                "the relay was set up for {} {}, the configuration says {} {}: put it back, or end \
                 the relay with `remove` and set it up anew with `init`",
                self.sink, self.delivery, configured.sink, configured.delivery
            ));
        }
        let noted = (&self.destinations, &self.shard);
        (noted != (&configured.destinations, &configured.shard)).then(|| {
            format!(
                "the publication was made for destinations {:?} and shard {}, the configuration \
                 says {:?} and {}: put it back",
                self.destinations, self.shard, configured.destinations, configured.shard
            )
        })
    }
}

/// So many relays are named.
const NAMED_MAX: i64 = 10;

/// The relays that are set up here: whoever mistypes a name finds it among them. None, if nothing
/// answers.
pub(crate) async fn relay_names(client: &Client, schema: &SchemaName) -> Vec<String> {
    let sql = format!(
        "select array(select name from {}.relay order by name limit $1)",
        schema.quoted()
    );
    let doing = "reading the names of relays";
    let row = bounded(doing, client.query_one(&sql, &[&NAMED_MAX])).await;
    row.ok()
        .and_then(|row| row.try_get(0).ok())
        .unwrap_or_default()
}

/// Reads what `init` noted about the relay; `None` when it never ran.
pub(crate) async fn read_set_up(
    client: &Client,
    schema: &SchemaName,
    relay: &str,
) -> Result<Option<SetUp>, SourceFailure> {
    let doing = "reading outbox.relay";
    let sql = format!(
        "select genesis_written_at is not null, held_exit_code, held_reason, \
         destinations, shard, sink, delivery, publication_fingerprint from {}.relay where name = $1",
        schema.quoted()
    );
    let asked = async {
        match client.query_opt(&sql, &[&relay]).await {
            // Before `init` there is no such table.
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            answer => answer,
        }
    };
    let row = bounded(doing, asked).await?;
    row.map(|row| {
        let read = || -> Result<SetUp, tokio_postgres::Error> {
            let exit_code: Option<i32> = row.try_get(1)?;
            let reason: Option<String> = row.try_get(2)?;
            let held =
                exit_code.map(|code| (u8::try_from(code).unwrap_or(1), reason.unwrap_or_default()));
            Ok(SetUp {
                row: RelayRow {
                    genesis_written: row.try_get(0)?,
                    held,
                    publication_accepted: row.try_get(7)?,
                },
                made_for: MadeFor {
                    destinations: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
                    shard: row.try_get::<_, Option<_>>(4)?.unwrap_or_default(),
                    sink: row.try_get::<_, Option<_>>(5)?.unwrap_or_default(),
                    delivery: row.try_get::<_, Option<_>>(6)?.unwrap_or_default(),
                },
            })
        };
        read().map_err(|error| super::failure_of(&error, doing))
    })
    .transpose()
}

/// Notes why no relay of this name may run until `recover` clears it.
pub(crate) async fn record_hold(
    client: &Client,
    schema: &SchemaName,
    relay: &str,
    stop: &Stop,
) -> Result<(), SourceFailure> {
    let sql = format!(
        "update {}.relay set held_exit_code = $2, held_reason = $3, held_at = now(), \
         updated_at = now() where name = $1 and held_at is null",
        schema.quoted()
    );
    let exit_code = i32::from(stop.exit_code());
    let reason = stop.to_string();
    bounded(
        "recording why the relay is held",
        client.execute(&sql, &[&relay, &exit_code, &reason]),
    )
    .await
    .map(|_| ())
}
