//! What people read.

use uuid::Uuid;

use super::report::{answer_text, plan_text};
use crate::cli::described::Described;
use crate::operator::{Extent, LeftOut, OpenRequest, OpenRequests, Outcome, Presence};
use crate::redelivery::{Answer, Order, Plan};

/// Asked before, and not carried out.
fn open() -> OpenRequests {
    OpenRequests {
        count: 2,
        newest: Some(OpenRequest {
            kind: "redeliver".to_owned(),
            actor: "anna\x07".to_owned(),
            chosen: 12,
            age_s: 75,
        }),
    }
}

fn described(destination: Option<&'static str>) -> Described<'static> {
    Described {
        relay: "policy",
        slot: "outbox_policy",
        destination,
        presence: Presence::Running,
        open: OpenRequests::default(),
        is_dry_run: true,
    }
}

#[test]
fn a_plan() {
    let plan = Plan {
        chosen: Extent {
            messages: 12,
            payload_bytes: 345,
            keys: 1,
            destinations: vec![("policy-events".to_owned(), 11), ("claims\n".to_owned(), 1)],
            destination_count: 2,
        },
        set_aside: 2,
        order: Order::CreatedAt,
    };
    let expected = "\
would redeliver 12 messages of 1 key, 345 bytes, in 2 destinations: 11 of policy-events, 1 of claims\\n
they would go to elsewhere
2 messages are set aside, or given up, and were never published: left out, see `outbox-sidecar stuck list --state all`
they go in the order in which they were enqueued: the server does not keep the times of commits (track_commit_timestamp)
2 requests of relay policy are still to be carried out; the newest is to redeliver 12 messages, by anna\\u{7}, 1m 15s ago
relay policy runs: it reads from slot outbox_policy
";
    let twice = Described {
        open: open(),
        ..described(Some("elsewhere"))
    };
    assert_eq!(plan_text(&twice, &plan), expected);
    let nothing = Plan {
        chosen: Extent::default(),
        set_aside: 0,
        ..plan
    };
    let expected = "no message of that range was published that fits\n";
    assert_eq!(plan_text(&described(None), &nothing), expected);
}

#[test]
fn an_answer() {
    let request = Uuid::from_u128(7);
    let asked = Answer {
        requests: vec![request],
        asked: 100,
        ..Answer::default()
    };
    let expected = "\
asked relay policy to redeliver 100 messages in 1 request (00000000-0000-0000-0000-000000000007)
relay policy runs: it reads from slot outbox_policy
";
    assert_eq!(answer_text(&described(None), &asked), expected);
    let waited = Answer {
        requests: vec![request, Uuid::from_u128(8)],
        asked: 1100,
        outcome: Some(Outcome {
            published: 1098,
            skipped: 0,
            returned: 2,
        }),
        left_out: vec![LeftOut {
            request,
            id: Uuid::from_u128(1).into(),
            destination: "policy-events".to_owned(),
            reason: "too-large".to_owned(),
            error: "1 byte\ntoo much".to_owned(),
        }],
    };
    let expected = "\
asked relay policy to redeliver 1100 messages in 2 requests (00000000-0000-0000-0000-000000000007 to 00000000-0000-0000-0000-000000000008)
1098 published, 2 left out
left out: 00000000-0000-0000-0000-000000000001 of policy-events: too-large: 1 byte\\ntoo much
left out: 1 more, see outbox.redelivery
";
    assert_eq!(answer_text(&described(None), &waited), expected);
}
