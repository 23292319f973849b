use outbox_core::schema;
use tokio_postgres::Client;

use super::connecting::{connect_admin, startup};
use super::error::with_admin_hint;
use super::genesis::{genesis, require_checkpoint, write_genesis};
use super::lock::lock_relay;
use super::note::{Note, NoteBook};
use super::publication::make_publication;
use super::roles::grant_roles;
use super::server::require_fit_server;
use super::slot::{SlotSetup, require_ours, require_set_up_before};
use super::{InitOptions, SetupError};
use crate::config::Settings;
use crate::failpoint::failpoint;
use crate::source::connection::Address;
use crate::source::replication::Replication;
use crate::source::slot::read_slot;

/// Makes everything a relay needs, in an order in which nothing can be left behind: whatever is
/// killed in between, a repeat goes on or begins anew, and no relay runs before the first
/// checkpoint is written.
pub(crate) async fn init(
    settings: &Settings,
    options: &InitOptions,
    mut say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let address = options.admin.as_ref().unwrap_or(&settings.address);
    let mut client = connect_admin(address, &mut say).await?;
    let abilities = require_fit_server(&client).await?;
    schema::migrate_in(&client, &settings.schema)
        .await
        .map_err(|error| with_admin_hint(error.into(), options.admin.as_ref()))?;
    say("schema is in place");
    failpoint("init.schema");
    lock_relay(&client, &settings.schema, &settings.relay).await?;
    let database = address.database();
    let (relay_role, app_role) = (options.relay_role.as_deref(), options.app_role.as_deref());
    grant_roles(&client, &settings.schema, database, relay_role, app_role).await?;
    for role in [relay_role, app_role].into_iter().flatten() {
        say(&format!(
            "role {role} has its rights; a role that init made has no password: alter role {role} \
             password '...'"
        ));
    }
    failpoint("init.roles");

    let note = NoteBook {
        client: &client,
        schema: &settings.schema,
        relay: &settings.relay,
    }
    .open(settings)
    .await?;
    note.require_sink(&settings.sink)?;
    let fingerprint = make_publication(&client, settings, &note).await?;
    say("publication is in place");
    failpoint("init.publication");

    let slot = read_slot(&client, &settings.slot())
        .await
        .map_err(|source| SetupError::sql("reading the slot", source))?;
    require_ours(&settings.slot(), slot.as_ref())?;
    if note.genesis_written {
        require_set_up_before(settings, slot.as_ref())?;
        require_checkpoint(settings, address, &mut say).await?;
        say("the relay was set up before: nothing else to do");
        accept_publication(&client, settings, options, &note, &fingerprint, &mut say).await?;
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
    write_first_checkpoint(&client, settings, address, fingerprint, &mut say).await?;
    say("the first checkpoint is written: the relay may run");
    Ok(())
}

/// A publication that was altered since is the operator's to judge: what it left out meanwhile is not
/// sent by going on.
async fn accept_publication(
    client: &Client,
    settings: &Settings,
    options: &InitOptions,
    note: &Note,
    fingerprint: &str,
    say: &mut impl FnMut(&str),
) -> Result<(), SetupError> {
    if note.publication_fingerprint.as_deref() == Some(fingerprint) {
        return Ok(());
    }
    if !options.accept_publication {
        say(
            "the publication was altered since, though it is as it should be now: the relay does not \
             go on before that is accepted. See --accept-publication in docs/command-line.md",
        );
        return Ok(());
    }
    NoteBook {
        client,
        schema: &settings.schema,
        relay: &settings.relay,
    }
    .publication_accepted(fingerprint)
    .await?;
    say(
        "the publication is accepted as it is: the relay may go on. `verify` finds what was left out",
    );
    Ok(())
}

async fn write_first_checkpoint(
    client: &Client,
    settings: &Settings,
    address: &Address,
    fingerprint: String,
    say: impl FnMut(&str),
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
    write_genesis(settings, address, checkpoint, say).await?;
    failpoint("init.genesis");
    let timeline = i32::try_from(system.timeline.0).unwrap_or(i32::MAX);
    book.genesis_written(&system.system_id.to_string(), timeline, &fingerprint)
        .await
}
