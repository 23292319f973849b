//! The statements on a real server.

use std::time::Duration;

use outbox_core::relay::{
    BlockedKey, Claim, FailureKind, ParkReason, ParkedEarlier, ParkedMessage, SourceFailure,
    UncoveredRow,
};
use outbox_core::sink::{Delivery, RefusalReason};
use outbox_core::{Frontier, Lsn, MessageId, OutboxRow, Position, SystemId, TimelineId, Timestamp};

use super::super::claim::Writer;
use super::super::stuck_database::{Database, RUN};
use super::ParkedTable;

const TIMELINE: TimelineId = TimelineId(3);
const SYSTEM_ID: SystemId = SystemId(7_400_000_000_000_000_000);

impl Database {
    fn table(&self) -> ParkedTable<'_> {
        ParkedTable {
            writer: self.writer(),
            system_id: SYSTEM_ID,
        }
    }

    async fn insert(&self, messages: &[ParkedMessage]) -> Result<u64, SourceFailure> {
        let (table, client) = (self.table(), &self.client);
        table.insert(client, self.claim, TIMELINE, messages).await
    }

    async fn read(&mut self, frontier: Frontier) -> Result<ParkedEarlier, SourceFailure> {
        self.read_with(frontier, 0).await
    }

    async fn sorted(&mut self, frontier: Frontier) -> ParkedEarlier {
        let mut found = self.read(frontier).await.unwrap();
        found.blocked.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    async fn read_with(
        &mut self,
        frontier: Frontier,
        stuck_writes: u64,
    ) -> Result<ParkedEarlier, SourceFailure> {
        let table = ParkedTable {
            writer: Writer {
                schema: &self.schema,
                relay: "tests",
                slot: &self.slot,
                run: RUN,
            },
            system_id: SYSTEM_ID,
        };
        let client = &mut self.client;
        table
            .read(client, self.claim, (frontier, 0), stuck_writes)
            .await
    }

    async fn rows(&self) -> i64 {
        let count = "select count(*) from outbox.parked";
        self.client.query_one(count, &[]).await.unwrap().get(0)
    }
}

fn position(commit_lsn: u64, index: u32) -> Position {
    Position {
        commit_lsn: Lsn::new(commit_lsn),
        index,
    }
}

fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

fn message(number: u8, position: Position, key: Option<&'static str>) -> ParkedMessage {
    ParkedMessage {
        delivery: Delivery {
            position,
            xid: 4_000_000_000,
            commit_time: Timestamp::from_unix_us(1_790_000_000_123_456),
            replay: None,
            row: OutboxRow {
                id: id(number),
                destination: "policy-events".into(),
                key: key.map(Into::into),
                message_type: "PolicyIssued".into(),
                content_type: "application/json".into(),
                payload: Some(b"\x00\xff"[..].into()),
                headers: r#"{"tenant": "7"}"#.into(),
                created_at: Timestamp::from_unix_us(1_789_999_999_999_999),
            },
        },
        reason: ParkReason::Refused(RefusalReason::TooLarge),
        error: "larger than 'max.message.bytes'".to_owned(),
        blocks_key: key.is_some(),
    }
}

fn kind<T>(result: Result<T, SourceFailure>) -> Option<FailureKind> {
    result.err().map(|failure| failure.kind)
}

#[tokio::test]
async fn a_message_is_kept_as_it_is() {
    let database = Database::new().await;
    let tombstone = {
        let mut message = message(2, position(200, 1), None);
        message.delivery.row.payload = None;
        message.reason = ParkReason::KeyBlocked;
        message
    };
    let given = [
        message(1, position(0xAB_0000_0010, 0), Some("k")),
        tombstone,
    ];
    database.insert(&given).await.unwrap();
    let text = |number: u8| async move {
        let sql = "select concat_ws('|', relay, system_id, timeline, commit_lsn, index, xid,
                          extract(epoch from commit_time), id, destination, coalesce(key, '-'), type,
                          content_type, coalesce(payload::text, '-'), headers,
                          extract(epoch from created_at), reason, error, attempts, blocks_key, state,
                          actor, note)
                   from outbox.parked where id = $1";
        (sql, uuid::Uuid::from(id(number)))
    };
    let mut found = Vec::new();
    for number in [1, 2] {
        let (sql, id) = text(number).await;
        let row = database.client.query_one(sql, &[&id]).await.unwrap();
        found.push(row.get::<_, String>(0));
    }
    assert_eq!(
        found,
        [
            r#"tests|7400000000000000000|3|AB/10|0|4000000000|1790000000.123456|01010101-0101-0101-0101-010101010101|policy-events|k|PolicyIssued|application/json|\x00ff|{"tenant": "7"}|1789999999.999999|too-large|larger than 'max.message.bytes'|1|t|waiting"#,
            r#"tests|7400000000000000000|3|0/C8|1|4000000000|1790000000.123456|02020202-0202-0202-0202-020202020202|policy-events|-|PolicyIssued|application/json|-|{"tenant": "7"}|1789999999.999999|key-blocked|larger than 'max.message.bytes'|0|f|waiting"#,
        ]
    );
}

#[tokio::test]
async fn what_is_there_is_left_and_another_message_in_its_place_is_refused() {
    let database = Database::new().await;
    let first = message(1, position(100, 0), Some("k"));
    database.insert(std::slice::from_ref(&first)).await.unwrap();
    // The first answer was lost.
    let second = message(2, position(100, 1), Some("k"));
    assert_eq!(database.insert(&[first, second]).await, Ok(2), "writes");
    assert_eq!(database.rows().await, 2);
    let others = [
        message(3, position(300, 0), None),
        message(9, position(100, 0), Some("k")),
    ];
    let refused = database.insert(&others).await;
    assert_eq!(kind(refused), Some(FailureKind::ParkedDiffers));
    assert_eq!(database.rows().await, 2, "all or none");
}

#[tokio::test]
async fn only_who_has_the_slot_under_the_newest_epoch_reads_and_writes() {
    let mut database = Database::new().await;
    let messages = [message(1, position(100, 0), Some("k"))];
    let ours = database.claim;
    for claim in [
        Claim { epoch: 4, ..ours },
        Claim {
            walsender_pid: ours.walsender_pid + 1,
            ..ours
        },
    ] {
        database.claim = claim;
        let written = database.insert(&messages).await;
        assert_eq!(kind(written), Some(FailureKind::ClaimSuperseded));
        let read = database.read(Frontier::at(Lsn::ZERO)).await;
        assert_eq!(kind(read), Some(FailureKind::ClaimSuperseded));
    }
    database.claim = ours;
    database.replication = None;
    let free = "select active_pid is null from pg_replication_slots where slot_name = $1";
    testbed::wait::until("the slot is free", Duration::from_secs(60), async || {
        let row = database.client.query_one(free, &[&database.slot]).await;
        row.unwrap().get(0)
    })
    .await
    .unwrap();
    let written = database.insert(&messages).await;
    assert_eq!(kind(written), Some(FailureKind::ClaimSuperseded));
    assert_eq!(database.rows().await, 0);
}

#[tokio::test]
async fn a_new_holder_learns_what_no_checkpoint_covers_and_which_keys_wait() {
    let mut database = Database::new().await;
    let follower = {
        let mut message = message(2, position(0xF0, 1), Some("a"));
        message.blocks_key = false;
        message
    };
    // Written in another order than their messages have, and than their texts would have.
    let later = [
        message(3, position(0x100, 0), Some("b")),
        message(4, position(0x100, 5), None),
    ];
    database.insert(&later).await.unwrap();
    let earlier = [message(1, position(0xF0, 0), Some("a")), follower];
    database.insert(&earlier).await.unwrap();
    let others = "insert into outbox.parked
                  select (jsonb_populate_record(parked, '{\"relay\": \"other\"}')).*
                  from outbox.parked;
                  insert into outbox.parked
                  select (jsonb_populate_record(parked, '{\"system_id\": \"1\"}')).*
                  from outbox.parked";
    database.client.batch_execute(others).await.unwrap();
    let from = |key: &str, from| BlockedKey {
        destination: "policy-events".into(),
        key: key.into(),
        from,
    };
    assert_eq!(
        database.sorted(Frontier::inside(Lsn::new(0x100), 1)).await,
        ParkedEarlier {
            uncovered: vec![UncoveredRow {
                position: position(0x100, 5),
                id: id(4),
            }],
            blocked: vec![from("a", position(0xF0, 0)), from("b", position(0x100, 0))],
            writes: 2,
            ..ParkedEarlier::default()
        }
    );
    let skip = "with asked as (
                    insert into outbox.request (relay, kind, chosen) values ('tests', 'skip', 1)
                    returning id
                )
                update outbox.parked
                set state = 'skipped', request = asked.id, request_index = 0
                from asked
                where key = 'b' and relay = 'tests' and system_id <> '1'";
    database.client.batch_execute(skip).await.unwrap();
    let found = database.sorted(Frontier::at(Lsn::new(0x101))).await;
    assert_eq!(found.blocked, [from("a", position(0xF0, 0))]);
    assert!(found.uncovered.is_empty());
}

#[tokio::test]
async fn a_database_that_lost_a_write_is_only_asked_how_many_it_knows() {
    let mut database = Database::new().await;
    let messages = [message(1, position(0x100, 0), Some("a"))];
    database.insert(&messages).await.unwrap();
    let found = database.read_with(Frontier::at(Lsn::ZERO), 2).await;
    let expected = ParkedEarlier {
        writes: 1,
        ..ParkedEarlier::default()
    };
    assert_eq!(found, Ok(expected));
}

#[tokio::test]
async fn what_is_very_large_is_kept_and_what_cannot_be_is_refused() {
    let database = Database::new().await;
    let mut random = fastrand::Rng::with_seed(1);
    let text: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(100_000)
        .collect();
    let mut long = message(1, position(100, 0), None);
    long.delivery.row.key = Some(text.as_str().into());
    long.delivery.row.destination = text.as_str().into();
    long.blocks_key = true;
    database.insert(&[long]).await.unwrap();
    let mut no_json = message(2, position(200, 0), None);
    no_json.delivery.row.headers = "{".into();
    let refused = database.insert(&[no_json]).await;
    assert_eq!(kind(refused), Some(FailureKind::ValueRefused));
    assert_eq!(database.rows().await, 1);
}

#[tokio::test]
async fn a_database_of_an_earlier_release_is_named_as_such() {
    let mut database = Database::new().await;
    let drop = "drop table outbox.parked";
    database.client.batch_execute(drop).await.unwrap();
    let found = database.read(Frontier::at(Lsn::ZERO)).await;
    let failure = found.unwrap_err();
    assert_eq!(failure.kind, FailureKind::SchemaOutdated);
    assert!(failure.message.contains("outbox-sidecar init"), "{failure}");
}
