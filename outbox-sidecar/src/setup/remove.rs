use super::SetupError;
use super::error::with_admin_hint;
use super::genesis::end_checkpoints;
use super::lock::lock_relay;
use super::slot::require_ours;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::config::Settings;
use crate::control::{TAKE_TURN, connect};
use crate::source::connection::Address;
use crate::source::quote::{quote_identifier, quote_literal};
use crate::source::slot::read_slot;

/// Takes away what the relay owns: publication, its row, checkpoint, slot. The outbox stays.
///
/// What is not published yet never will be by this relay. What needs rights comes first and is
/// taken back when something later fails; a repeat goes on where this one stopped.
pub(crate) async fn remove(
    settings: &Settings,
    admin: Option<&Address>,
    mut say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let address = admin.unwrap_or(&settings.address);
    let client = connect(address, "outbox-sidecar remove", || {}).await?;
    let failed = |source| SetupError::sql("removing the relay", source);
    lock_relay(&client, &settings.schema, &settings.relay).await?;
    let name = settings.slot();
    let slot = read_slot(&client, &name).await.map_err(failed)?;
    require_ours(&name, slot.as_ref())?;
    if let Some(holder) = slot.as_ref().and_then(|slot| slot.state.holder) {
        return Err(SetupError::Refused(format!(
            "slot {name} is in use by process {}: stop the relay first",
            holder.pid
        )));
    }
    let drop = format!(
        "begin; set local idle_in_transaction_session_timeout = 0; \
         drop publication if exists {}; delete from {}.relay where name = {}",
        quote_identifier(&name),
        settings.schema.quoted(),
        quote_literal(&settings.relay)
    );
    client
        .batch_execute(&drop)
        .await
        .map_err(|error| with_admin_hint(SetupError::sql("removing the relay", error), admin))?;
    let schema = settings.schema.quoted();
    let turn: [&(dyn ToSql + Sync); 2] = [&settings.relay, &schema];
    client.query(TAKE_TURN, &turn).await.map_err(failed)?;
    for ended in end_requests(&client, settings).await.map_err(failed)? {
        say(&ended);
    }
    end_checkpoints(settings).await?;
    say("checkpoint ended");
    client.batch_execute("commit").await.map_err(failed)?;
    say("publication dropped");
    if slot.is_some() {
        let sql = format!(
            "select pg_catalog.pg_drop_replication_slot({})",
            quote_literal(&name)
        );
        client.batch_execute(&sql).await.map_err(failed)?;
        say("slot dropped");
    }
    say("relay removed");
    Ok(())
}

/// Lets what is asked for wait again, and forgets what was to be published once more: the log that would
/// have brought the requests ends here. A schema of before has none. Says what became of each.
async fn end_requests(
    client: &Client,
    settings: &Settings,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let schema = settings.schema.quoted();
    let exists = "select to_regclass($1) is not null";
    let row = client
        .query_one(exists, &[&format!("{schema}.redelivery")])
        .await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "with ended as (
             update {schema}.request
             set state = 'done', finished_at = clock_timestamp(), returned = coalesce(taken, chosen)
             where relay = $1 and state <> 'done'
             returning id, kind
         ), forgotten as (
             delete from {schema}.redelivery as d
             using ended where d.request = ended.id and d.reason is null
         ), returned as (
             update {schema}.parked as p set state = 'waiting'
             from ended where p.request = ended.id and p.state = 'replaying'
         )
         select id::text, kind = 'redeliver' from ended"
    );
    let ended = client.query(&sql, &[&settings.relay]).await?;
    let said = |row: &Row| {
        let request: &str = row.try_get(0)?;
        let becomes = if row.try_get(1)? {
            "what it was to publish once more is forgotten"
        } else {
            "what it asked for waits again"
        };
        Ok(format!(
            "request {request} was not done: {becomes}; a part of it may be published"
        ))
    };
    ended.iter().map(said).collect()
}
