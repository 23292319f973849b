//! A server that is almost right.

use testbed::mutation;

use super::{brought, converse, runtime};

/// A message with its length.
fn message(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), content].concat()
}

/// The answer to a query that has one row.
fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut content = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for column in columns {
        let length = column.map_or(-1, |text| i32::try_from(text.len()).unwrap());
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(column.unwrap_or_default().as_bytes());
    }
    [
        message(b'D', &content),
        message(b'C', b"SELECT 1\0"),
        ready(),
    ]
    .concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn authentication(kind: u32, content: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), content].concat())
}

/// From being let in to being ready.
fn greeting(in_hot_standby: &str) -> Vec<u8> {
    let standby = format!("in_hot_standby\0{in_hot_standby}\0");
    let parts = [
        authentication(0, b""),
        message(b'S', b"server_version\x0017.2\0"),
        message(b'S', standby.as_bytes()),
        message(b'N', b"SNOTICE\0C00000\0Mhm\0\0"),
        message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]),
        ready(),
    ];
    parts.concat()
}

/// All that a primary says until the copy runs, from the second timeline.
fn primary() -> Vec<u8> {
    let history = Some("1\t0/5000000\tno recovery target specified\n");
    let parts = [
        greeting("off"),
        row(&[Some("1")]),
        row(&[Some("7400000000000000000"), Some("2"), Some("0/1"), None]),
        row(&[Some("00000002.history"), history]),
        row(&[
            Some("slot"),
            Some("0/2"),
            Some("snapshot"),
            Some("pgoutput"),
        ]),
        message(b'W', b"\0\0\0"),
    ];
    parts.concat()
}

/// A login by SCRAM, by a server that does not know the password.
fn scram() -> Vec<u8> {
    let first = b"r=the-nonce-of-the-client-and-more,s=c2FsdA==,i=2";
    let last = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let parts = [
        authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        authentication(11, first),
        authentication(12, last),
        greeting("off"),
    ];
    parts.concat()
}

fn refusal() -> Vec<u8> {
    message(b'E', b"SFATAL\0C57P01\0Mshutting down\0\0")
}

fn conversations() -> [Vec<u8>; 5] {
    let md5 = authentication(5, b"salt");
    [
        primary(),
        [greeting("on"), row(&[Some("1")])].concat(),
        scram(),
        [md5, greeting("off")].concat(),
        [authentication(3, b""), refusal()].concat(),
    ]
}

fn xlog_data(change: &[u8]) -> Vec<u8> {
    message(b'd', &[&b"w"[..], &[0; 24], change].concat())
}

fn keepalive(wal_end: u64, reply_requested: u8) -> Vec<u8> {
    let wal_end = wal_end.to_be_bytes();
    message(
        b'd',
        &[&b"k"[..], &wal_end, &[0; 8], &[reply_requested]].concat(),
    )
}

/// A transaction with a request in it, between keepalives.
fn transaction() -> Vec<u8> {
    let lsn = 100_u64.to_be_bytes();
    let begin = [&b"B"[..], &lsn, &[0; 8], &[0, 0, 0, 9]].concat();
    let prefix = b"outbox.request.policy\0\0\0\0\x02{}";
    let request = [&b"M\x01"[..], &lsn, prefix].concat();
    let commit = [&b"C\0"[..], &lsn, &148_u64.to_be_bytes(), &[0; 8]].concat();
    let parts = [
        keepalive(90, 0),
        keepalive(95, 1),
        xlog_data(&begin),
        xlog_data(&request),
        xlog_data(&commit),
        keepalive(200, 0),
    ];
    parts.concat()
}

fn streams() -> [Vec<u8>; 4] {
    let notice = message(b'N', b"SWARNING\0C01000\0Mhm\0\0");
    [
        transaction(),
        [transaction(), refusal()].concat(),
        [
            notice,
            message(b'S', b"a\0b\0"),
            transaction(),
            message(b'c', b""),
        ]
        .concat(),
        [message(b'C', b"COPY 0\0"), keepalive(1, 1)].concat(),
    ]
}

/// Otherwise mutations of them would never come to what lies behind.
#[test]
fn the_conversations_come_as_far_as_they_are_meant_to() {
    let [primary, standby, scram, ..] = conversations();
    converse(&primary, None).unwrap().unwrap();
    for end_point in [None, Some(vec![7; 32])] {
        let error = converse(&scram, end_point).unwrap().unwrap_err();
        assert!(
            error.to_string().contains("SCRAM verification error"),
            "{error}"
        );
    }
    let error = converse(&standby, None).unwrap().unwrap_err();
    assert!(
        error.to_string().contains("identifying the server"),
        "{error}"
    );
}

#[test]
fn conversations_with_seeded_mutations_let_us_in_or_refuse_us() {
    mutation::replay(
        "postgresql_conversation",
        &conversations(),
        super::conversation,
    );
}

#[test]
fn the_copies_bring_what_they_are_meant_to() {
    let brought = |input: &[u8], pieces| runtime().unwrap().block_on(brought(input, pieces));
    for pieces in [&super::PIECES_BYTES[..], &[usize::MAX]] {
        let whole = brought(&transaction(), pieces).unwrap();
        assert!(!whole.is_broken);
        assert_eq!(whole.events.len(), 3, "{:?}", whole.events);
    }
    assert!(
        brought(&streams()[1], &super::PIECES_BYTES)
            .unwrap()
            .is_broken
    );
}

#[test]
fn copies_with_seeded_mutations_are_the_same_events_in_one_piece_and_in_many() {
    mutation::replay("postgresql_stream", &streams(), super::stream);
}
