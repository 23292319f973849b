use super::SetupError;
use super::genesis::end_checkpoints;
use super::lock::lock_relay;
use super::slot::require_ours;
use crate::config::Settings;
use crate::control::connect;
use crate::source::quote::{quote_identifier, quote_literal};
use crate::source::slot::read_slot;

/// Takes away what the relay owns: slot, publication, checkpoint, its row. The outbox stays.
///
/// What is not published yet never will be by this relay.
pub(crate) async fn remove(
    settings: &Settings,
    mut say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let client = connect(&settings.address, "outbox-sidecar remove", || {}).await?;
    let failed = |source| SetupError::sql("removing the relay", source);
    lock_relay(&client, &settings.schema, &settings.relay).await?;
    let name = settings.slot();
    let slot = read_slot(&client, &name).await.map_err(failed)?;
    require_ours(&name, slot.as_ref())?;
    if let Some(slot) = slot {
        if let Some(holder) = slot.state.holder {
            return Err(SetupError::Refused(format!(
                "slot {name} is in use by process {}: stop the relay first",
                holder.pid
            )));
        }
        let sql = format!(
            "select pg_catalog.pg_drop_replication_slot({})",
            quote_literal(&name)
        );
        client.batch_execute(&sql).await.map_err(failed)?;
        say("slot dropped");
    }
    client
        .batch_execute(&format!(
            "drop publication if exists {}",
            quote_identifier(&name)
        ))
        .await
        .map_err(failed)?;
    say("publication dropped");
    end_checkpoints(settings.kafka.clone()).await?;
    say("checkpoint ended");
    let sql = format!(
        "delete from {}.relay where name = $1",
        settings.schema.quoted()
    );
    client
        .execute(&sql, &[&settings.relay])
        .await
        .map_err(failed)?;
    say("relay removed");
    Ok(())
}
