//! Messages that wait, and a relay that is asked for them.

use outbox_core::relay::{
    FailureKind, FinishedRequest, KeyAfter, LeftToPublish, RefusedAgain, ReplayedMessage,
    RequestPart, RequestPlace, SourceFailure,
};
use outbox_core::sink::RefusalReason;
use outbox_core::{Lsn, MessageId, Position, RequestId, SystemId};
use uuid::Uuid;

use super::super::super::claim::Writer;
pub(super) use super::super::super::stuck_database::Database;
use super::super::PartLimits;

pub(super) const SYSTEM_ID: SystemId = SystemId(42);
pub(super) const ALL: PartLimits = PartLimits {
    from: 0,
    messages_max: 1000,
    bytes_max: 1 << 20,
};

/// A transaction that has ended.
pub(super) const XID: u32 = 1;

impl Database {
    /// Sets messages aside at (16 n, 0), each given by its key and whether it was refused itself.
    pub(super) async fn park(&self, messages: &[(&str, bool)]) {
        let sql = "insert into outbox.parked
                       (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination,
                        key, type, content_type, payload, headers, created_at, reason, error,
                        attempts, blocks_key)
                   select 'tests', '42', 7, ('0/' || to_hex($1::int8 * 16))::pg_lsn, 0, 1, now(), $2, 'd',
                          $3, 'T', 'text/plain', convert_to($1::text, 'UTF8'), '{\"h\": \"v\"}',
                          '2026-11-21 05:00:00.000001+00',
                          case when $4 then 'too-large' else 'key-blocked' end, 'e', 1,
                          $4 and not exists (select from outbox.parked where key = $3)";
        for (number, (key, refused)) in (1_i64..).zip(messages) {
            let id = Uuid::from(id(number));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&number, &id, key, refused];
            self.client.execute(sql, &values).await.unwrap();
        }
    }

    /// Asks for messages by their numbers.
    pub(super) async fn ask(&self, kind: &str, numbers: &[i64]) -> RequestId {
        let sql = "with request as (
                       insert into outbox.request (relay, kind, chosen, actor, note)
                       values ('tests', $1, $2, 'somebody', 'why') returning id
                   ), numbered as (
                       select id, row_number() over (order by commit_lsn) - 1 as number
                       from outbox.parked where id = any($3)
                   ), changed as (
                       update outbox.parked as p
                       set state = 'replaying', request = request.id, request_index = n.number,
                           replays = p.replays + 1
                       from numbered as n, request where n.id = p.id
                   )
                   select id from request";
        let ids: Vec<Uuid> = numbers
            .iter()
            .map(|number| Uuid::from(id(*number)))
            .collect();
        let chosen = i64::try_from(numbers.len()).unwrap();
        let row = self.client.query_one(sql, &[&kind, &chosen, &ids]).await;
        request_id(row.unwrap().get(0))
    }

    pub(super) async fn take(
        &mut self,
        request: RequestId,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        self.take_at(place(request, 0x1000), limits).await
    }

    pub(super) async fn take_at(
        &mut self,
        place: RequestPlace,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        let sql =
            "select (xid::text::numeric % 4294967296)::int8 from outbox.request where id = $1";
        let id = Uuid::from_bytes(*place.id.as_bytes());
        let row = self.client.query_opt(sql, &[&id]).await.unwrap();
        let xid = row.map_or(place.xid, |row| row.get::<_, i64>(0) as u32);
        self.take_as(RequestPlace { xid, ..place }, limits).await
    }

    /// As the log says, whoever wrote it.
    pub(super) async fn take_as(
        &mut self,
        place: RequestPlace,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        let (writer, claim) = (writer(&self.slot), self.claim);
        let client = &mut self.client;
        writer.take(client, claim, SYSTEM_ID, place, limits).await
    }

    /// The numbers of the messages that are to be published.
    pub(super) async fn taken(&mut self, request: RequestId) -> Vec<i64> {
        match self.take(request, ALL).await {
            Ok(RequestPart::Messages { messages, .. }) => numbers(&messages),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn put_back(&mut self, request: RequestId, refused: &[u32]) -> LeftToPublish {
        let again = |number: &u32| RefusedAgain {
            number: *number,
            id: id(i64::from(*number)),
            position: Some(position(0)),
            destination: "d".into(),
            key: None,
            reason: RefusalReason::NotAuthorised,
            error: "no\0t".to_owned(),
        };
        let refused: Vec<RefusedAgain> = refused.iter().map(again).collect();
        let (writer, claim) = (writer(&self.slot), self.claim);
        let client = &mut self.client;
        let left = writer
            .put_back(client, claim, request, &refused, 1000)
            .await;
        left.unwrap()
    }

    pub(super) async fn finish(&mut self, request: RequestId) -> FinishedRequest {
        let (writer, claim) = (writer(&self.slot), self.claim);
        writer
            .finish(&mut self.client, claim, request)
            .await
            .unwrap()
    }

    /// Of each message its state, and whether its key waits from it on: `w`, `r`, `p` (published), `s`,
    /// in capitals where the key waits.
    pub(super) async fn states(&self) -> String {
        let sql = "select string_agg(case when blocks_key and state in ('waiting', 'replaying')
                                          then upper(s) else s end, '' order by commit_lsn)
                   from outbox.parked, lateral (
                       select case state when 'waiting' then 'w' when 'replaying' then 'r'
                                         when 'replayed' then 'p' else 's' end as s) as l";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

pub(super) fn writer(slot: &str) -> Writer<'_> {
    static SCHEMA: std::sync::LazyLock<outbox_core::schema::SchemaName> =
        std::sync::LazyLock::new(Default::default);
    Writer {
        schema: &SCHEMA,
        relay: "tests",
        slot,
        run: uuid::Uuid::from_u128(7),
    }
}

pub(super) fn id(number: i64) -> MessageId {
    MessageId::from_bytes(i128::from(number).to_be_bytes())
}

pub(super) fn request_id(id: Uuid) -> RequestId {
    RequestId::from_bytes(id.into_bytes())
}

pub(super) fn position(commit_lsn: u64) -> Position {
    Position {
        commit_lsn: Lsn::new(commit_lsn),
        index: 0,
    }
}

pub(super) fn place(id: RequestId, commit_lsn: u64) -> RequestPlace {
    RequestPlace {
        id,
        position: position(commit_lsn),
        xid: XID,
    }
}

pub(super) fn numbers(messages: &[ReplayedMessage]) -> Vec<i64> {
    let payload = |message: &ReplayedMessage| message.row.payload.clone().unwrap();
    let number = |message| {
        String::from_utf8(payload(message).to_vec())
            .unwrap()
            .parse()
            .unwrap()
    };
    messages.iter().map(number).collect()
}

pub(super) fn key(key: &str, blocked_from: Option<u64>) -> KeyAfter {
    KeyAfter {
        destination: "d".to_owned(),
        key: key.to_owned(),
        blocked_from: blocked_from.map(position),
    }
}

pub(super) fn kind<T: std::fmt::Debug>(result: Result<T, SourceFailure>) -> FailureKind {
    result.unwrap_err().kind
}
