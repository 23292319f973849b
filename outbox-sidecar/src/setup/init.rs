use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema;
use tokio_postgres::Client;

use super::backlog::{Backlog, BacklogPolicy};
use super::genesis::{genesis, require_checkpoint, write_genesis};
use super::lock::lock_relay;
use super::note::{Note, NoteBook};
use super::roles::grant_roles;
use super::server::{ServerAbilities, require_fit_server};
use super::{SetupError, plan};
use crate::config::Settings;
use crate::control::connect;
use crate::failpoint::failpoint;
use crate::source::connection::{Address, Startup};
use crate::source::publication::{create_statement, read_publication};
use crate::source::quote::quote_literal;
use crate::source::replication::Replication;
use crate::source::slot::{Slot, read_slot};

/// How `init` is to go about it.
#[derive(Clone, Debug)]
pub(crate) struct InitOptions {
    /// Who may create what is missing; the relay's own URL otherwise.
    pub(crate) admin: Option<Address>,
    pub(crate) relay_role: Option<String>,
    pub(crate) app_role: Option<String>,
    pub(crate) backlog: BacklogPolicy,
}

/// How often a connection is tried again while the server is away: from 1 s, doubling, about a
/// minute in all when it refuses at once.
const CONNECT_RETRIES_MAX: usize = 5;

/// The time-out of the replication connection that makes the slot: it may be idle while rows that
/// are older are counted and moved.
const SETUP_TIMEOUT: Duration = Duration::from_secs(3600);

/// Makes everything a relay needs, in an order in which nothing can be left behind: whatever is
/// killed in between, a repeat goes on or begins anew, and no relay runs before the first
/// checkpoint is written.
pub(crate) async fn init(
    settings: &Settings,
    options: &InitOptions,
    mut say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let address = options.admin.as_ref().unwrap_or(&settings.address);
    let mut client = connect_admin(address).await?;
    let abilities = require_fit_server(&client).await?;
    schema::migrate_in(&client, &settings.schema).await?;
    say("schema is up to date");
    failpoint("init.schema");
    lock_relay(&client, &settings.schema, &settings.relay).await?;
    let database = address.database();
    let (relay_role, app_role) = (options.relay_role.as_deref(), options.app_role.as_deref());
    grant_roles(&client, &settings.schema, database, relay_role, app_role).await?;
    failpoint("init.roles");

    let note = NoteBook {
        client: &client,
        schema: &settings.schema,
        relay: &settings.relay,
    }
    .open(settings)
    .await?;
    let fingerprint = make_publication(&client, settings, &note).await?;
    say("publication is in place");
    failpoint("init.publication");

    let slot = read_slot(&client, &settings.slot())
        .await
        .map_err(|source| SetupError::sql("reading the slot", source))?;
    if note.genesis_written {
        require_set_up_before(settings, slot.as_ref())?;
        require_checkpoint(settings.kafka.clone()).await?;
        say("the relay was set up before: nothing else to do");
        return Ok(());
    }
    let setup = SlotSetup {
        settings,
        address,
        abilities,
        options,
    };
    if !setup.can_go_on(&note, slot.as_ref())? {
        setup
            .make_slot(&mut client, slot.is_some(), &mut say)
            .await?;
    }
    write_first_checkpoint(&client, settings, address, fingerprint).await?;
    say("the first checkpoint is written: the relay may run");
    Ok(())
}

/// Connects, and waits a while for a server that is still starting: in a pod it often is.
async fn connect_admin(address: &Address) -> Result<Client, SetupError> {
    let attempt = || connect(address.config(), "outbox-sidecar init", || {});
    let away = |failure: &SourceFailure| {
        matches!(
            failure.kind,
            FailureKind::Unreachable | FailureKind::ServerShutdown
        )
    };
    let delays = ExponentialBuilder::default()
        .with_jitter()
        .with_max_times(CONNECT_RETRIES_MAX);
    Ok(attempt.retry(delays).when(away).await?)
}

/// Makes the publication, or makes sure that it is the one this configuration means.
async fn make_publication(
    client: &Client,
    settings: &Settings,
    note: &Note,
) -> Result<String, SetupError> {
    let failed = |source| SetupError::sql("reading the publication", source);
    let name = settings.slot();
    let mut found = read_publication(client, &name, &settings.schema)
        .await
        .map_err(failed)?;
    if found.is_none() {
        if note.genesis_written {
            return Err(SetupError::SlotMissing(format!(
                "publication {name} is gone: what committed without it was not sent; see docs/command-line.md, Exit codes"
            )));
        }
        let sql = create_statement(&name, &settings.schema, settings.row_filter.as_deref());
        client
            .batch_execute(&sql)
            .await
            .map_err(|source| SetupError::sql("making the publication", source))?;
        let book = NoteBook {
            client,
            schema: &settings.schema,
            relay: &settings.relay,
        };
        book.publication_made(settings).await?;
        found = read_publication(client, &name, &settings.schema)
            .await
            .map_err(failed)?;
    } else if note.destinations.as_ref() != Some(&settings.destinations)
        || note.shard != Some(settings.shard.to_string())
    {
        return Err(SetupError::Refused(format!(
            "publication {name} was made for destinations {:?} and shard {}, the configuration \
             says {:?} and {}: put the configuration back, or remove the relay and set it up anew",
            note.destinations.as_deref().unwrap_or_default(),
            note.shard.as_deref().unwrap_or("none"),
            settings.destinations,
            settings.shard
        )));
    }
    let Some(publication) = found else {
        return Err(SetupError::Unfit(format!(
            "publication {name} vanished while it was made"
        )));
    };
    match &publication.fault {
        Some(fault) => Err(SetupError::Refused(fault.clone())),
        None => Ok(publication.fingerprint()),
    }
}

fn require_set_up_before(settings: &Settings, slot: Option<&Slot>) -> Result<(), SetupError> {
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

/// The steps from the slot to the settled backlog.
struct SlotSetup<'a> {
    settings: &'a Settings,
    address: &'a Address,
    abilities: ServerAbilities,
    options: &'a InitOptions,
}

impl SlotSetup<'_> {
    /// Whether an earlier `init` has brought the slot and the backlog to an end.
    fn can_go_on(&self, note: &Note, slot: Option<&Slot>) -> Result<bool, SetupError> {
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
    async fn make_slot(
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

        let snapshot = connect_admin(self.address).await?;
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
                    "{count} rows of {}.message are older than the slot and would never be \
                     published: run init with --backlog publish to publish them, or --backlog \
                     skip to leave them",
                    self.settings.schema.as_str()
                )));
            }
            BacklogPolicy::Skip => say(&format!("{count} rows are older than the slot: skipped")),
            BacklogPolicy::Publish => {
                let moved = backlog
                    .publish(client, |moved| {
                        failpoint("init.backlog-moved");
                        say(&format!("{moved} of {count} older rows inserted anew"));
                    })
                    .await?;
                say(&format!(
                    "{moved} rows that are older than the slot go through the log"
                ));
            }
        }
        backlog.close().await
    }
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

async fn write_first_checkpoint(
    client: &Client,
    settings: &Settings,
    address: &Address,
    fingerprint: String,
) -> Result<(), SetupError> {
    let book = NoteBook {
        client,
        schema: &settings.schema,
        relay: &settings.relay,
    };
    let note = book.open(settings).await?;
    let Some(consistent_point) = note.consistent_point else {
        return Err(SetupError::Unfit(
            "the slot's beginning is not noted: run init again".into(),
        ));
    };
    let mut replication = Replication::connect(address, &startup(&settings.relay)).await?;
    let system = replication.identify_system().await?;
    let history = replication.timeline_history(system.timeline).await?;
    drop(replication);
    let checkpoint = genesis(
        &settings.relay,
        &system,
        history,
        consistent_point,
        fingerprint.clone(),
    );
    write_genesis(settings.kafka.clone(), checkpoint).await?;
    failpoint("init.genesis");
    let timeline = i32::try_from(system.timeline.0).unwrap_or(i32::MAX);
    book.genesis_written(&system.system_id.to_string(), timeline, &fingerprint)
        .await
}

fn startup(relay: &str) -> Startup {
    Startup {
        application_name: format!("outbox-sidecar init {relay}"),
        wal_sender_timeout: SETUP_TIMEOUT,
    }
}

/// The steps as SQL, for `--print`.
pub(crate) fn print_plan(settings: &Settings, options: &InitOptions) -> String {
    plan(settings, options)
        .into_iter()
        .map(|step| format!("-- {}\n{}\n", step.title, step.sql))
        .collect()
}
