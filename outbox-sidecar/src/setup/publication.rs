use tokio_postgres::Client;

use super::SetupError;
use super::note::{Note, NoteBook};
use crate::config::Settings;
use crate::source::publication::{create_statement, read_publication};

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
    match &publication.fault {
        Some(fault) => Err(SetupError::Refused(fault.clone())),
        None => Ok(publication.fingerprint()),
    }
}
