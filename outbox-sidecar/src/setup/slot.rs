use tokio_postgres::Client;

use super::backlog::{Backlog, BacklogPolicy};
use super::connecting::{connect_admin, startup};
use super::note::{Note, NoteBook};
use super::server::ServerAbilities;
use super::{InitOptions, SetupError};
use crate::config::Settings;
use crate::count::counted;
use crate::failpoint::failpoint;
use crate::source::connection::Address;
use crate::source::quote::quote_literal;
use crate::source::replication::Replication;
use crate::source::slot::Slot;

/// The steps from the slot to the settled backlog.
pub(super) struct SlotSetup<'a> {
    pub(super) settings: &'a Settings,
    pub(super) address: &'a Address,
    pub(super) abilities: ServerAbilities,
    pub(super) options: &'a InitOptions,
}

impl SlotSetup<'_> {
    /// Whether an earlier `init` has brought the slot and the backlog to an end.
    pub(super) fn can_go_on(&self, note: &Note, slot: Option<&Slot>) -> Result<bool, SetupError> {
        let Some(slot) = slot else { return Ok(false) };
        if let Some(holder) = slot.state.holder {
            return Err(SetupError::Refused(format!(
                "slot {} is read by process {} although the relay is not set up: end that reader",
                self.settings.slot(),
                holder.pid
            )));
        }
        Ok(note.backlog_settled
            && note.consistent_point == Some(slot.state.confirmed_flush)
            && slot.state.fault.is_none())
    }

    /// Makes the slot, then deals with what is older. A slot that an earlier `init` left behind
    /// is made anew: its snapshot is gone, and no relay can have read from it.
    pub(super) async fn make_slot(
        &self,
        client: &mut Client,
        replace: bool,
        say: &mut impl FnMut(&str),
    ) -> Result<(), SetupError> {
        let name = self.settings.slot();
        if replace {
            drop_slot(client, &name).await?;
            say("a slot of an init that did not come to its end was dropped");
        }
        let startup = startup(&self.settings.relay);
        let mut replication = Replication::connect(self.address, &startup).await?;
        let failover = self.settings.failover_slot && self.abilities.failover_slots;
        let created = replication.create_slot(&name, failover).await?;
        failpoint("init.slot");
        let book = NoteBook {
            client,
            schema: &self.settings.schema,
            relay: &self.settings.relay,
        };
        book.slot_made(created.consistent_point).await?;
        say(&format!(
            "slot {name} begins at {}",
            created.consistent_point
        ));
        failpoint("init.slot-noted");

        let snapshot = connect_admin(self.address, say).await?;
        let settled = self
            .settle_backlog(client, &snapshot, &created.snapshot_name, say)
            .await;
        drop(replication);
        if matches!(settled, Err(SetupError::Refused(_))) {
            // Nothing must keep log for a relay that is not to run.
            drop_slot(client, &name).await?;
        }
        settled?;
        NoteBook {
            client,
            schema: &self.settings.schema,
            relay: &self.settings.relay,
        }
        .backlog_settled()
        .await?;
        failpoint("init.backlog-settled");
        Ok(())
    }

    async fn settle_backlog(
        &self,
        client: &mut Client,
        snapshot: &Client,
        snapshot_name: &str,
        say: &mut impl FnMut(&str),
    ) -> Result<(), SetupError> {
        let filter = self.settings.row_filter.as_deref();
        let backlog = Backlog::open(snapshot, snapshot_name, &self.settings.schema, filter).await?;
        let count = backlog.count().await?;
        match self.options.backlog {
            _ if count == 0 => say("no row is older than the slot"),
            BacklogPolicy::Refuse => {
                return Err(SetupError::Refused(format!(
                    "{} of {}.message {} older than the slot and would never be published: run init \
                     with --backlog publish to publish all of what is older, also what an earlier \
                     relay has published; or --backlog skip to leave it",
                    counted(count, "row"),
                    self.settings.schema.as_str(),
                    is_or_are(count)
                )));
            }
            BacklogPolicy::Skip => say(&format!(
                "{} {} older than the slot: skipped",
                counted(count, "row"),
                is_or_are(count)
            )),
            BacklogPolicy::Publish => {
                let moved = backlog
                    .publish(client, |moved| {
                        failpoint("init.backlog-moved");
                        say(&format!(
                            "{moved} of {} inserted anew",
                            counted(count, "older row")
                        ));
                    })
                    .await?;
                say(&format!(
                    "published through the log, since older than the slot: {}",
                    counted(moved, "row")
                ));
            }
        }
        backlog.close().await
    }
}

const fn is_or_are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

async fn drop_slot(client: &Client, name: &str) -> Result<(), SetupError> {
    let sql = format!(
        "select pg_catalog.pg_drop_replication_slot({})",
        quote_literal(name)
    );
    client
        .batch_execute(&sql)
        .await
        .map_err(|source| SetupError::sql("dropping the slot", source))
}

/// Names of slots are the whole cluster's: one of this name may be somebody else's.
pub(super) fn require_ours(name: &str, slot: Option<&Slot>) -> Result<(), SetupError> {
    match slot.filter(|slot| slot.is_foreign) {
        None => Ok(()),
        Some(slot) => Err(SetupError::Refused(format!(
            "slot {name} is not this relay's: {}. Choose another relay.name",
            slot.state.fault.as_deref().unwrap_or("it is another's")
        ))),
    }
}

/// A relay that has run needs the slot it ran with.
pub(super) fn require_set_up_before(
    settings: &Settings,
    slot: Option<&Slot>,
) -> Result<(), SetupError> {
    let name = settings.slot();
    match slot {
        None => Err(SetupError::SlotMissing(format!(
            "slot {name} is gone although the relay has run: what committed meanwhile may be \
             unpublished; see docs/command-line.md, Exit codes"
        ))),
        Some(slot) => match &slot.state.fault {
            Some(fault) => Err(SetupError::SlotMissing(format!(
                "slot {name} is lost ({fault}); see docs/command-line.md, Exit codes"
            ))),
            None => Ok(()),
        },
    }
}
