//! What `outbox.parked` says of the messages that this relay has set aside.

use outbox_core::{Lsn, MessageId, Position, SystemId, TimelineId, Timestamp};
use tokio_postgres::binary_copy::BinaryCopyOutRow;
use tokio_postgres::types::Type;

use super::VerifyOptions;
use super::aside_record::{AsideRecord, Edit, Fate};
use super::copying::{connect_to_copy, copy_rows};
use super::digest::Digester;
use super::error::VerifyError;
use super::join::hash;
use super::names::Names;
use super::position_range::At;
use super::snapshot::enqueued_within;
use super::spill::Spill;
use crate::config::Settings;
use crate::source::quote::quote_literal;

/// The columns of [`statement`], and what their binary forms are read as: an id is 16 bytes, an LSN a
/// number, a time a number of microseconds since 2000.
const TYPES: [Type; 13] = [
    Type::BYTEA,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
];

/// Reads them one after the other and puts them by. The relay has passed the end of what is compared
/// by now: what it had to set aside of it is there. The broker is read after that, so what is settled
/// here is there, too.
pub(super) async fn read(
    settings: &Settings,
    options: &VerifyOptions,
    system_id: SystemId,
    names: &mut Names,
    digester: &Digester,
) -> Result<Spill<AsideRecord>, VerifyError> {
    let client = connect_to_copy(settings).await?;
    let statement = statement(settings, options, system_id);
    let mut records = Spill::new(&options.directory)?;
    let doing = "reading outbox.parked";
    copy_rows(&client, &statement, &TYPES, doing, |row| {
        let row = aside(row).map_err(VerifyError::Row)?;
        let redirected_to = row.redirected_to.map(|name| names.number(name));
        let redirected_to = match redirected_to {
            Some(None) => return Err(VerifyError::TooManyDestinations),
            Some(number) => number,
            None => None,
        };
        let record = AsideRecord {
            id: row.id,
            position: row.position,
            created_at_ms: row.created_at.as_unix_ms(),
            fate: row.fate,
            held_its_key: row.held_its_key,
            redirected_to,
            edit: row.edit.map(|edit| edit.digests(digester)),
        };
        Ok(records.push(hash(digester, &row.id), &record)?)
    })
    .await?;
    records.finish()?;
    Ok(records)
}

/// A key was held back from a message on that blocks it until that one was settled: what was set
/// aside behind it meanwhile waited for its turn, whatever it was itself refused for. Those that
/// merely waited say so: they may be millions, and are not sorted. Where a replay went, and what it
/// said, is of interest once it is published.
fn statement(settings: &Settings, options: &VerifyOptions, system_id: SystemId) -> String {
    let schema = settings.schema.quoted();
    let relay = quote_literal(&settings.relay);
    let system_id = quote_literal(&system_id.0.to_string());
    let conditions = enqueued_within(&options.window);
    let within = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!("where p.{}", conditions.join(" and p.")),
    };
    let columns = "id, timeline, commit_lsn, index, created_at, state, destination, request, \
                   request_index";
    let of_relay =
        format!("from {schema}.parked where relay = {relay} and system_id = {system_id}");
    format!(
        "copy (
             select p.id, p.timeline, p.commit_lsn, p.index, p.created_at, p.state, p.held_its_key,
                    case when r.destination <> p.destination then r.destination end,
                    coalesce(r.edited, false), r.type, r.content_type, r.payload, r.headers::text
             from (
                 select {columns}, true as held_its_key
                 {of_relay} and reason = 'key-blocked' and not blocks_key
                 union all
                 select {columns},
                        blocks_key or coalesce(
                            pg_catalog.max(coalesce(settled_at, 'infinity'))
                                filter (where blocks_key) over in_key >= parked_at,
                            false
                        )
                 {of_relay} and (reason <> 'key-blocked' or blocks_key)
                 window in_key as (
                     partition by pg_catalog.hashtextextended(destination, 0),
                                  pg_catalog.hashtextextended(key, 0)
                     order by commit_lsn, index
                 )
             ) as p left join {schema}.request as r
                    on r.id = p.request and p.request_index < r.chosen and p.state = 'replayed'
             {within}
         ) to stdout (format binary)"
    )
}

struct Aside<'a> {
    id: MessageId,
    position: At,
    created_at: Timestamp,
    fate: Fate,
    held_its_key: bool,
    redirected_to: Option<&'a str>,
    edit: Option<Edited<'a>>,
}

/// What a request says in the place of a row's own.
struct Edited<'a> {
    message_type: &'a str,
    content_type: &'a str,
    payload: Option<&'a [u8]>,
    headers: &'a str,
}

impl Edited<'_> {
    fn digests(&self, digester: &Digester) -> Edit {
        let bytes = |text: &str| digester.bytes(Some(text.as_bytes()));
        Edit {
            message_type: bytes(self.message_type),
            content_type: bytes(self.content_type),
            payload: digester.bytes(self.payload),
            headers: digester.row_headers(self.headers),
        }
    }
}

fn aside(row: &BinaryCopyOutRow) -> Result<Aside<'_>, tokio_postgres::Error> {
    // The server sends 16 bytes for a uuid; the relay wrote numbers without a sign.
    let id: &[u8] = row.try_get(0)?;
    let timeline: i32 = row.try_get(1)?;
    let commit_lsn: i64 = row.try_get(2)?;
    let index: i64 = row.try_get(3)?;
    let position = Position {
        commit_lsn: Lsn::new(commit_lsn.cast_unsigned()),
        index: u32::try_from(index).unwrap_or(u32::MAX),
    };
    let edit = if row.try_get(8)? {
        Some(Edited {
            message_type: row.try_get(9)?,
            content_type: row.try_get(10)?,
            payload: row.try_get(11)?,
            headers: row.try_get(12)?,
        })
    } else {
        None
    };
    Ok(Aside {
        id: MessageId::from_bytes(id.try_into().unwrap_or_default()),
        position: (TimelineId(timeline.cast_unsigned()), position),
        created_at: Timestamp::from_postgresql_us(row.try_get(4)?),
        fate: match row.try_get(5)? {
            "replayed" => Fate::Replayed,
            "skipped" => Fate::GivenUp,
            _ => Fate::Waiting,
        },
        held_its_key: row.try_get(6)?,
        redirected_to: row.try_get(7)?,
        edit,
    })
}
