use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Plain, UNCONFIRMED_MAX};

const VERSION: u16 = 1;
const DECLARE_PUBLISHER: u16 = 1;
const PUBLISH: u16 = 2;
const PUBLISH_CONFIRM: u16 = 3;
const PEER_PROPERTIES: u16 = 17;
const SASL_HANDSHAKE: u16 = 18;
const SASL_AUTHENTICATE: u16 = 19;
const TUNE: u16 = 20;
const OPEN: u16 = 21;
const HEARTBEAT: u16 = 23;
/// How many messages a frame carries.
const MESSAGES: usize = 100;
/// What properties, annotations and headers of a relay's message take in AMQP 1.0.
const ENVELOPE_BYTES: usize = 280;

/// The stream protocol by hand: login, one publisher, frames of many messages, confirms counted.
/// The messages are opaque bytes of the relay's size.
pub(super) async fn send(port: u16, stream: &str, rows: u64) -> anyhow::Result<Duration> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let mut connection = Connection {
        socket,
        correlation: 0,
    };
    connection.log_in().await?;
    let mut declare = BytesMut::new();
    declare.put_u8(0);
    text(&mut declare, "plain");
    text(&mut declare, stream);
    connection.ask(DECLARE_PUBLISHER, &declare).await?;

    let started = Instant::now();
    let (mut sent, mut confirmed) = (0, 0);
    while confirmed < rows {
        if sent < rows && sent - confirmed < UNCONFIRMED_MAX as u64 {
            let end = rows.min(sent + MESSAGES as u64);
            connection.publish(sent..end).await?;
            sent = end;
        } else {
            confirmed += connection.confirms().await?;
        }
    }
    Ok(started.elapsed())
}

struct Connection {
    socket: TcpStream,
    correlation: u32,
}

impl Connection {
    async fn log_in(&mut self) -> anyhow::Result<()> {
        let mut none = BytesMut::new();
        none.put_u32(0);
        self.ask(PEER_PROPERTIES, &none).await?;
        self.ask(SASL_HANDSHAKE, &[]).await?;
        let mut login = BytesMut::new();
        text(&mut login, "PLAIN");
        let secret = b"\0guest\0guest";
        login.put_u32(secret.len() as u32);
        login.put_slice(secret);
        self.ask(SASL_AUTHENTICATE, &login).await?;
        // The broker proposes limits, and gets them back.
        let mut tune = loop {
            let frame = self.next().await?;
            if key(&frame) == TUNE {
                break frame;
            }
        };
        tune.advance(4);
        self.write(TUNE, &tune).await?;
        let mut open = BytesMut::new();
        text(&mut open, "/");
        self.ask(OPEN, &open).await
    }

    async fn publish(&mut self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32((numbers.end - numbers.start) as u32);
        for number in numbers {
            let message = Plain::new(number);
            body.put_u64(number + 1);
            body.put_u32((message.payload.len() + ENVELOPE_BYTES) as u32);
            body.put_slice(&message.payload);
            body.put_slice(&[b'.'; ENVELOPE_BYTES]);
        }
        self.write(PUBLISH, &body).await
    }

    /// How many messages the next frame confirms.
    async fn confirms(&mut self) -> anyhow::Result<u64> {
        let mut frame = self.next().await?;
        match key(&frame) {
            PUBLISH_CONFIRM => {
                frame.advance(5);
                Ok(frame.try_get_u32()?.into())
            }
            HEARTBEAT => Ok(0),
            other => bail!("command {other} instead of a confirm"),
        }
    }

    async fn ask(&mut self, command: u16, body: &[u8]) -> anyhow::Result<()> {
        self.correlation += 1;
        let mut whole = BytesMut::new();
        whole.put_u32(self.correlation);
        whole.put_slice(body);
        self.write(command, &whole).await?;
        loop {
            let mut frame = self.next().await?;
            if key(&frame) == command {
                frame.advance(8);
                let code = frame.try_get_u16()?;
                if code != 1 {
                    bail!("command {command} was answered by code {code}");
                }
                return Ok(());
            }
        }
    }

    async fn write(&mut self, command: u16, body: &[u8]) -> anyhow::Result<()> {
        let mut frame = BytesMut::with_capacity(body.len() + 8);
        frame.put_u32(body.len() as u32 + 4);
        frame.put_u16(command);
        frame.put_u16(VERSION);
        frame.put_slice(body);
        self.socket
            .write_all(&frame)
            .await
            .context("the broker hung up")
    }

    async fn next(&mut self) -> anyhow::Result<Bytes> {
        let length = self.socket.read_u32().await.context("the broker hung up")?;
        let mut frame = vec![0; length as usize];
        self.socket.read_exact(&mut frame).await?;
        Ok(Bytes::from(frame))
    }
}

/// A frame's command; answers carry a mark beside it.
fn key(frame: &[u8]) -> u16 {
    let key = frame
        .first_chunk()
        .map_or(0, |key| u16::from_be_bytes(*key));
    key & 0x7FFF
}

fn text(body: &mut BytesMut, text: &str) {
    body.put_u16(text.len() as u16);
    body.put_slice(text.as_bytes());
}
