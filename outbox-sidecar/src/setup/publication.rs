use tokio_postgres::Client;

use super::SetupError;
use super::note::{Note, NoteBook};
use crate::config::Settings;
use crate::source::publication::{Publication, create_statement, read_publication};

/// Makes the publication, or makes sure that it is the one this configuration means.
pub(super) async fn make_publication(
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
    if let Some(fault) = &publication.fault {
        return Err(SetupError::Refused(fault.clone()));
    }
    if publication.definition != meant(client, settings).await?.definition {
        return Err(SetupError::Refused(format!(
            "publication {name} lets other rows through than this configuration means \
             (destinations {:?}, shard {}): drop it, and init makes it anew",
            settings.destinations, settings.shard
        )));
    }
    Ok(publication.fingerprint())
}

/// The publication that this configuration means, as the server would store it: made and taken
/// back in one transaction.
async fn meant(client: &Client, settings: &Settings) -> Result<Publication, SetupError> {
    let failed = |source| SetupError::sql("trying the publication", source);
    let name = format!("{}_meant", settings.slot());
    let create = create_statement(&name, &settings.schema, settings.row_filter.as_deref());
    client
        .batch_execute(&format!("begin; {create}"))
        .await
        .map_err(failed)?;
    let found = read_publication(client, &name, &settings.schema).await;
    client.batch_execute("rollback").await.map_err(failed)?;
    found
        .map_err(failed)?
        .ok_or_else(|| SetupError::Unfit("a publication that was made cannot be read".to_owned()))
}
