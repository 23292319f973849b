//! What people read.

use outbox_core::{Lsn, Position, Timestamp};
use uuid::Uuid;

use super::change_report::{Change, answer_text, plan_text};
use super::list;
use super::show;
use crate::cli::described::Described;
use crate::operator::{Extent, LeftOut, OpenRequests, Outcome, Presence};
use crate::stuck::{
    Answer, Kind, LastRequest, Page, ParkedRow, Plan, ReasonCount, RefusedKey, Rest, ShownRow,
    Summary, TakenBy,
};

fn time() -> Option<Timestamp> {
    Some(Timestamp::from_unix_us(1_790_000_000_123_456))
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn row() -> ParkedRow {
    ParkedRow {
        position: Position {
            commit_lsn: Lsn::new(0x16_B374_8000),
            index: 2,
        },
        is_foreign: false,
        system_id: "7400000000000000000".to_owned(),
        id: uuid(1).into(),
        destination: "policy-events".to_owned(),
        key: Some("4711".to_owned()),
        message_type: "PolicyIssued".to_owned(),
        content_type: "application/json".to_owned(),
        payload_bytes: Some(13),
        created_at: time(),
        reason: "too-large".to_owned(),
        error: "the broker takes 1048576 bytes\nand this has more, much more than that".to_owned(),
        attempts: 2,
        blocks_key: true,
        state: "waiting".to_owned(),
        parked_at: time(),
        age_s: 11_520,
        actor: None,
        note: None,
        request: None,
        replays: 1,
        settled_at: None,
    }
}

fn replay(presence: Presence, destination: Option<&'static str>) -> Change<'static> {
    Change {
        kind: Kind::Replay,
        of: Described {
            relay: "policy",
            slot: "outbox_policy",
            destination,
            presence,
            open: OpenRequests::default(),
            is_dry_run: true,
        },
    }
}

#[test]
fn a_list() {
    let other = ParkedRow {
        id: uuid(2).into(),
        key: None,
        destination: "a destination with a name that is longer than a column".to_owned(),
        is_foreign: true,
        age_s: 7,
        error: String::new(),
        ..row()
    };
    let page = Page {
        next: Some(row().position),
        rows: vec![row(), other],
    };
    let count = |reason: &str, state: &str, messages| ReasonCount {
        reason: reason.to_owned(),
        state: state.to_owned(),
        messages,
    };
    let summary = Summary {
        counts: vec![
            count("key-blocked", "waiting", 1040),
            count("too-large", "replaying", 1),
        ],
        blocked_keys: 1,
        oldest_age_s: Some(11_520),
    };
    let expected = "\
position       id                                    destination                       key   type          reason     state                    attempts  parked_at             age     error
16/B3748000:2  00000000-0000-0000-0000-000000000001  policy-events                     4711  PolicyIssued  too-large  waiting                  2         2026-09-21T14:13:20Z  3h 12m  the broker takes 1048576 bytes\\nand this has more, much mor…
16/B3748000:2  00000000-0000-0000-0000-000000000002  a destination with a name that …  -     PolicyIssued  too-large  waiting (other cluster)  2         2026-09-21T14:13:20Z  7s

1041 messages: 1040 key-blocked waiting, 1 too-large replaying; 1 blocked key; the oldest was set aside 3h 12m ago
more: the same with --after 16/B3748000:2";
    assert_eq!(list::text(&page, &summary, 3), expected);
    let nothing = list::text(&Page::default(), &Summary::default(), 0);
    assert_eq!(nothing, "no messages");
}

#[test]
fn a_message() {
    let shown = ShownRow {
        row: ParkedRow {
            state: "replaying".to_owned(),
            note: Some("broker mended".to_owned()),
            payload_bytes: Some(20_000),
            ..row()
        },
        timeline: 3,
        xid: 742,
        commit_time: time(),
        headers: r#"{"tenant": "7", "n": 1}"#.to_owned(),
        payload: Some("{\"text\":\t\"é\u{1b}[2J\"".into()),
        last_request: Some(LastRequest {
            id: uuid(7),
            kind: "replay".to_owned(),
            destination: Some("other-events".to_owned()),
            is_edited: true,
            actor: "anna@host".to_owned(),
            role: "on_call".to_owned(),
            note: Some("broker mended".to_owned()),
            state: "begun".to_owned(),
            requested_at: time(),
            finished_at: None,
        }),
        waiting_behind: 12,
        waits_for: Some(uuid(9).into()),
    };
    let expected = "\
message 00000000-0000-0000-0000-000000000001
  position      16/B3748000:2 (timeline 3, transaction 742, committed 2026-09-21T14:13:20Z)
  destination   policy-events
  key           4711
  type          PolicyIssued
  content type  application/json
  enqueued      2026-09-21T14:13:20Z
  set aside     2026-09-21T14:13:20Z (3h 12m ago)
  reason        too-large
  error         the broker takes 1048576 bytes\\nand this has more, much more than that
  attempts      2
  replays       1
  state         replaying
  behind it     12 messages of its key
  waits for     00000000-0000-0000-0000-000000000009, the first of its key that waits
  last request  replay 2026-09-21T14:13:20Z by anna@host (role on_call), begun, to other-events, edited: broker mended [00000000-0000-0000-0000-000000000007]
  note          broker mended
headers:
  n: 1
  tenant: 7
payload: 20000 bytes, of which 17 are shown (all: --json)
{\"text\":\t\"é\\u{1b}[2J\"
";
    assert_eq!(show::text(&shown), expected);
    let foreign = ShownRow {
        row: ParkedRow {
            is_foreign: true,
            payload_bytes: None,
            ..row()
        },
        headers: "{}".to_owned(),
        payload: None,
        last_request: None,
        waiting_behind: 0,
        waits_for: None,
        ..shown.clone()
    };
    let text = show::text(&foreign);
    assert!(text.contains("  cluster       7400000000000000000, another than this one: it cannot"));
    assert!(
        text.ends_with("headers: none\npayload: none, a tombstone\n"),
        "{text}"
    );
    let binary = ShownRow {
        payload: Some(vec![0xff, 0]),
        headers: "[1]".to_owned(),
        row: ParkedRow {
            payload_bytes: Some(2),
            ..row()
        },
        ..shown
    };
    let text = show::text(&binary);
    let expected = "headers: [1]\npayload: 2 bytes that are no text (in Base64: --json)\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_plan() {
    let plan = Plan {
        chosen: Extent {
            messages: 12,
            payload_bytes: 4096,
            keys: 3,
            destinations: vec![("policy-events".to_owned(), 10), ("claims".to_owned(), 1)],
            destination_count: 3,
        },
        merely_wait: 4,
        waiting: 0,
        last: None,
        last_id: None,
        taken_along: 40,
        refused: 2,
        refused_key_count: 2,
        refused_keys: vec![RefusedKey {
            destination: "policy-events".to_owned(),
            key: "4711".to_owned(),
            messages: 1,
            earlier: 1,
            first: uuid(9).into(),
        }],
        taken: vec![TakenBy {
            request: uuid(7),
            kind: "skip".to_owned(),
            actor: "bert".to_owned(),
            messages: 1,
        }],
        settled: 1,
        foreign: 2,
    };
    let elsewhere = replay(Presence::Away, Some("other-events"));
    let expected = "\
would replay 12 messages of 3 keys, 4096 bytes, in 3 destinations: 10 to policy-events, 1 to claims, and 1 more
they would go to other-events instead
would publish 40 more behind them, of those that merely wait for their key
refused: 1 message: of key \"4711\" for \"policy-events\", 1 earlier one waits that is not chosen, the first is 00000000-0000-0000-0000-000000000009: replay or skip that first, or choose the whole key (--destination, --key)
refused: messages of 1 more keys
1 message is being skipped by request 00000000-0000-0000-0000-000000000007 of bert
1 message was replayed or skipped before
2 messages lie in another cluster's log: no relay here can replay that
no relay reads from slot outbox_policy: the request waits until a relay policy runs
";
    assert_eq!(plan_text(&elsewhere, &plan), expected);
    let nothing = plan_text(&replay(Presence::Running, None), &Plan::default());
    assert_eq!(nothing, "no message waits that fits\n");
}

#[test]
fn an_answer() {
    let plan = Plan {
        chosen: Extent {
            messages: 100,
            ..Extent::default()
        },
        ..Plan::default()
    };
    let asked = Answer {
        requests: vec![uuid(7)],
        asked: 100,
        ..Answer::default()
    };
    let expected = "\
asked relay policy to replay 100 messages in 1 request (00000000-0000-0000-0000-000000000007)
relay policy runs: it reads from slot outbox_policy
";
    assert_eq!(
        answer_text(&replay(Presence::Running, None), &plan, &asked),
        expected
    );
    let waited = Answer {
        requests: vec![uuid(7), uuid(8), uuid(9)],
        asked: 90,
        left_out: 4,
        rest: Some(Rest {
            taken: vec![TakenBy {
                request: uuid(3),
                kind: "replay".to_owned(),
                actor: "bert\x07".to_owned(),
                messages: 5,
            }],
            unreleased_keys: 1,
        }),
        rounds: 1,
        outcome: Some(Outcome {
            published: 9000,
            skipped: 0,
            returned: 3,
        }),
        returned: vec![LeftOut {
            request: uuid(8),
            id: uuid(4).into(),
            destination: "claims".to_owned(),
            reason: "rejected".to_owned(),
            error: "no\x1b".to_owned(),
        }],
    };
    let expected = "\
asked relay policy to replay 90 messages in 2 requests (00000000-0000-0000-0000-000000000007 to 00000000-0000-0000-0000-000000000009)
9000 published, 0 skipped, 3 returned
returned: 00000000-0000-0000-0000-000000000004 of claims: rejected: no\\u{1b}
what was returned waits again, what was refused once more with its new error: see `outbox-sidecar stuck list`
asked once more for the rest of keys that were busier than one request takes along
1 key still has messages that merely wait: repeat the command with --reason key-blocked
4 messages left out: an earlier one of their key waits again
5 messages are being replayed by request 00000000-0000-0000-0000-000000000003 of bert\\u{7}
1 message not asked for any more: it has gone along with others, or somebody has decided
";
    assert_eq!(
        answer_text(&replay(Presence::Running, None), &plan, &waited),
        expected
    );
}
