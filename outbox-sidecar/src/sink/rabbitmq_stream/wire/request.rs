use bytes::{BufMut, Bytes, BytesMut};

use super::{VERSION, header, key};

/// What we ask a broker, without its correlation. Two that are equal ask the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Request {
    pub(in super::super) key: u16,
    body: Vec<u8>,
}

impl Request {
    pub(in super::super) fn peer_properties(connection_name: &str) -> Self {
        let properties = [
            ("product", env!("CARGO_PKG_NAME")),
            ("version", env!("CARGO_PKG_VERSION")),
            ("platform", "Rust"),
            ("connection_name", connection_name),
        ];
        let mut request = Self::new(key::PEER_PROPERTIES);
        request.map(&properties);
        request
    }

    pub(in super::super) fn sasl_handshake() -> Self {
        Self::new(key::SASL_HANDSHAKE)
    }

    pub(in super::super) fn sasl_plain(user: &str, password: &str) -> Self {
        let secret = format!("\0{user}\0{password}");
        let mut request = Self::new(key::SASL_AUTHENTICATE);
        request.text("PLAIN");
        // Two texts of an address.
        let length = u32::try_from(secret.len()).unwrap_or(u32::MAX);
        request.body.put_u32(length);
        request.body.put_slice(secret.as_bytes());
        request
    }

    /// The certificate says who we are.
    pub(in super::super) fn sasl_external() -> Self {
        let mut request = Self::new(key::SASL_AUTHENTICATE);
        request.text("EXTERNAL");
        request.body.put_u32(0);
        request
    }

    pub(in super::super) fn open(vhost: &str) -> Self {
        let mut request = Self::new(key::OPEN);
        request.text(vhost);
        request
    }

    pub(in super::super) fn close() -> Self {
        let mut request = Self::new(key::CLOSE);
        request.body.put_u16(1);
        request.text("released");
        request
    }

    pub(in super::super) fn metadata(stream: &str) -> Self {
        let mut request = Self::new(key::METADATA);
        request.body.put_u32(1);
        request.text(stream);
        request
    }

    pub(in super::super) fn partitions(super_stream: &str) -> Self {
        let mut request = Self::new(key::PARTITIONS);
        request.text(super_stream);
        request
    }

    pub(in super::super) fn create(stream: &str) -> Self {
        Self::create_with(stream, &[])
    }

    pub(in super::super) fn create_with(stream: &str, arguments: &[(&str, &str)]) -> Self {
        let mut request = Self::new(key::CREATE);
        request.text(stream);
        request.map(arguments);
        request
    }

    pub(in super::super) fn query_sequence(reference: &str, stream: &str) -> Self {
        let mut request = Self::new(key::QUERY_PUBLISHER_SEQUENCE);
        request.text(reference);
        request.text(stream);
        request
    }

    pub(in super::super) fn declare_publisher(id: u8, reference: &str, stream: &str) -> Self {
        let mut request = Self::new(key::DECLARE_PUBLISHER);
        request.body.put_u8(id);
        request.text(reference);
        request.text(stream);
        request
    }

    pub(in super::super) fn delete_publisher(id: u8) -> Self {
        let mut request = Self::new(key::DELETE_PUBLISHER);
        request.body.put_u8(id);
        request
    }

    pub(in super::super) fn subscribe(id: u8, stream: &str, start: Start, credit: u16) -> Self {
        let mut request = Self::new(key::SUBSCRIBE);
        request.body.put_u8(id);
        request.text(stream);
        match start {
            Start::First => request.body.put_u16(1),
            Start::LastChunk => request.body.put_u16(2),
            Start::Time { unix_ms } => {
                request.body.put_u16(5);
                request.body.put_i64(unix_ms);
            }
        }
        request.body.put_u16(credit);
        request
    }

    pub(in super::super) fn unsubscribe(id: u8) -> Self {
        let mut request = Self::new(key::UNSUBSCRIBE);
        request.body.put_u8(id);
        request
    }

    /// The frame as it goes out.
    pub(in super::super) fn frame(&self, correlation: u32) -> Bytes {
        let correlation = correlation.to_be_bytes();
        frame(self.key, &[&correlation, &self.body])
    }

    fn new(key: u16) -> Self {
        Self {
            key,
            body: Vec::new(),
        }
    }

    fn text(&mut self, text: &str) {
        // Names and addresses are checked against 255 bytes before.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.body.put_u16(length);
        self.body.put_slice(text.as_bytes());
    }

    fn map(&mut self, pairs: &[(&str, &str)]) {
        self.body
            .put_u32(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        for (name, value) in pairs {
            self.text(name);
            self.text(value);
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Start {
    First,
    LastChunk,
    /// The first chunk that was stored then or later; where there is none, what comes next.
    Time {
        unix_ms: i64,
    },
}

/// A subscription may send so many chunks more. The broker answers only what it cannot do.
pub(in super::super) fn credit(subscription: u8, chunks: u16) -> Bytes {
    frame(key::CREDIT, &[&[subscription], &chunks.to_be_bytes()])
}

/// We live.
pub(in super::super) fn heartbeat() -> Bytes {
    frame(key::HEARTBEAT, &[])
}

/// What we make of the broker's proposal.
pub(in super::super) fn tune(frame_bytes_max: u32, heartbeat_s: u32) -> Bytes {
    let (frame_bytes_max, heartbeat_s) = (frame_bytes_max.to_be_bytes(), heartbeat_s.to_be_bytes());
    frame(key::TUNE | key::ANSWER, &[&frame_bytes_max, &heartbeat_s])
}

/// We agree to end the connection.
pub(in super::super) fn close_answer(correlation: u32) -> Bytes {
    let (correlation, done) = (correlation.to_be_bytes(), VERSION.to_be_bytes());
    frame(key::CLOSE | key::ANSWER, &[&correlation, &done])
}

fn frame(key: u16, parts: &[&[u8]]) -> Bytes {
    let bytes = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut frame = BytesMut::with_capacity(4 + bytes);
    frame.put_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    frame.put_slice(&header(key));
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}
