use bytes::Bytes;
use outbox_core::relay::{FailureKind, StreamEvent};
use outbox_core::{Lsn, MessageId, OutboxRow, Timestamp};

use super::messages::{
    COLUMNS, OUTBOX_OID, SENT_AT_US, Sent, begin, binary_row, change, commit, decode, decoder,
    insert, keepalive, logical_message, recorded, relation, text_row,
};
use crate::source::SourceError;

fn row() -> OutboxRow {
    OutboxRow {
        id: MessageId::from_bytes([7; 16]),
        destination: "policy-events".into(),
        key: None,
        message_type: "PolicyIssued".into(),
        content_type: "application/json".into(),
        payload: Some(Bytes::from_static(b"\x00\xFF payload")),
        headers: "{\"a\": \"b\"}".into(),
        created_at: Timestamp::from_postgresql_us(1_000_000),
    }
}

#[test]
fn a_transaction_comes_out_as_it_was_sent() {
    let mut decoder = decoder();
    let events: Vec<_> = recorded()
        .iter()
        .filter_map(|content| decode(&mut decoder, content).unwrap())
        .collect();
    let keyed = OutboxRow {
        key: Some("k".into()),
        ..row()
    };
    assert_eq!(
        events,
        [
            StreamEvent::Begin {
                commit_lsn: Lsn::new(100),
                commit_time: Timestamp::from_postgresql_us(0),
                sent_at: Timestamp::from_postgresql_us(SENT_AT_US),
                xid: 9,
            },
            StreamEvent::Row(row()),
            StreamEvent::Row(keyed),
            StreamEvent::LogicalMessage {
                prefix: "outbox.request.policy".into(),
                content: Bytes::from_static(b"{}"),
            },
            StreamEvent::Commit {
                commit_lsn: Lsn::new(100),
                end_lsn: Lsn::new(148),
            },
            StreamEvent::Keepalive {
                wal_end: Lsn::new(200),
                reply_requested: true,
            },
        ]
    );
}

#[test]
fn a_row_shares_the_buffer_it_arrived_in() {
    let mut decoder = decoder();
    let described = relation(OUTBOX_OID, "outbox", "message", &COLUMNS);
    decode(&mut decoder, &described).unwrap();
    let block = Bytes::from(binary_row());
    let Some(StreamEvent::Row(row)) = decoder.copy_data(&block, &block).unwrap() else {
        panic!("no row");
    };
    let payload = row.payload.unwrap();
    assert!(block.as_ptr_range().contains(&payload.as_ptr()));
}

#[test]
fn columns_are_known_by_name_and_may_change_in_mid_stream() {
    let mut decoder = decoder();
    let described = relation(OUTBOX_OID, "outbox", "message", &COLUMNS);
    decode(&mut decoder, &described).unwrap();
    assert!(decode(&mut decoder, &binary_row()).unwrap().is_some());

    let mut columns = COLUMNS.to_vec();
    columns.reverse();
    columns.insert(3, ("tenant", 25));
    columns[1].1 = 3802;
    columns[8 - 1].1 = 1043; // a varchar destination
    let again = relation(OUTBOX_OID, "outbox", "message", &columns);
    decode(&mut decoder, &again).unwrap();
    let time = 1_000_000_i64.to_be_bytes();
    let sent = insert(
        OUTBOX_OID,
        &[
            Sent::Binary(&time),
            Sent::Binary(b"\x01{\"a\": \"b\"}"),
            Sent::Binary(b"\x00\xFF payload"),
            Sent::Binary(b"a tenant"),
            Sent::Binary(b"application/json"),
            Sent::Binary(b"PolicyIssued"),
            Sent::Null,
            Sent::Binary(b"policy-events"),
            Sent::Binary(&[7; 16]),
        ],
    );
    let decoded = decode(&mut decoder, &sent).unwrap();
    assert_eq!(decoded, Some(StreamEvent::Row(row())));
    // A tuple of the earlier shape no longer fits.
    assert!(decode(&mut decoder, &binary_row()).is_err());
}

#[test]
fn both_formats_mean_the_same() {
    let mut decoder = decoder();
    let described = relation(OUTBOX_OID, "outbox", "message", &COLUMNS);
    decode(&mut decoder, &described).unwrap();
    let Some(StreamEvent::Row(mut text)) = decode(&mut decoder, &text_row()).unwrap() else {
        panic!("no row");
    };
    text.key = None;
    assert_eq!(text, row());
}

fn refusal(before: &[Vec<u8>], content: &[u8]) -> SourceError {
    let mut decoder = decoder();
    for content in before {
        decode(&mut decoder, content).unwrap();
    }
    decode(&mut decoder, content).unwrap_err()
}

#[test]
fn an_unfit_publication_is_said_by_name() {
    let without_key: Vec<_> = COLUMNS.into_iter().filter(|c| c.0 != "key").collect();
    let error = refusal(&[], &relation(1, "outbox", "message", &without_key));
    assert_eq!(error.kind(), FailureKind::PublicationUnfit);
    assert!(error.to_string().contains("outbox.message"), "{error}");
    assert!(error.to_string().contains("column key"), "{error}");

    let mut numeric_id = COLUMNS;
    numeric_id[0].1 = 20;
    let error = refusal(&[], &relation(1, "outbox", "message", &numeric_id));
    assert_eq!(error.kind(), FailureKind::PublicationUnfit);
    assert!(error.to_string().contains("type int8"), "{error}");

    let other = relation(OUTBOX_OID, "public", "orders", &[("id", 20)]);
    let error = refusal(&[other], &insert(OUTBOX_OID, &[Sent::Null]));
    assert_eq!(error.kind(), FailureKind::PublicationUnfit);
    assert!(error.to_string().contains("public.orders"), "{error}");

    for update in [&b"U\0\0\x40\x10"[..], b"D\0\0\x40\x10", b"T\0\0\0\x01"] {
        let error = refusal(&[], &change(update));
        assert_eq!(error.kind(), FailureKind::PublicationUnfit);
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    let table = || vec![relation(OUTBOX_OID, "outbox", "message", &COLUMNS)];
    let with = |place: usize, value: Sent<'static>| {
        let mut values = vec![
            Sent::Binary(&[7; 16]),
            Sent::Binary(b"d"),
            Sent::Null,
            Sent::Binary(b"t"),
            Sent::Binary(b"c"),
            Sent::Null,
            Sent::Binary(b"\x01{}"),
            Sent::Binary(&[0; 8]),
        ];
        values[place] = value;
        insert(OUTBOX_OID, &values)
    };
    for content in [
        with(0, Sent::Binary(&[7; 15])),
        with(0, Sent::Text("x")),
        with(1, Sent::Null),
        with(1, Sent::Binary(b"\xFF")),
        with(5, Sent::Text(r"\xzz")),
        with(6, Sent::Binary(b"\x02{}")),
        with(6, Sent::Binary(b"")),
        with(7, Sent::Binary(&[0; 7])),
        with(7, Sent::Text("yesterday")),
        change(b"?"),
        change(b""),
        vec![b'?'],
        vec![],
        keepalive(1, true)[..17].to_vec(),
        begin(1, 2, 3)[..44].to_vec(),
        commit(1, 2)[..30].to_vec(),
        logical_message(1, "p", b"abc")[..40].to_vec(),
        insert(OUTBOX_OID + 9, &[]),
    ] {
        let error = refusal(&table(), &content);
        assert_eq!(error.kind(), FailureKind::Protocol, "{error}: {content:?}");
    }
}
