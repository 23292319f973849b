//! From a bare connection to one that may publish: login, tuning, vhost.

use bytes::Bytes;
use outbox_core::sink::AcquireError;
use tokio::io::AsyncWriteExt;

use super::address::Address;
use super::settings::StreamSettings;
use super::transport::{ReadHalf, WriteHalf};
use super::wire::{
    Code, FrameError, FrameReader, Incoming, Malformed, Request, code, properties, tune,
};

/// Frames before anything is agreed are small.
const HANDSHAKE_FRAME_BYTES_MAX: usize = 64 * 1024;
/// What a frame of ours may be when the broker sets no limit.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// The longest that we agree to, whatever the broker allows: the largest message that a configuration may
/// allow, 64 MiB, in its frame.
const FRAME_BYTES_AGREED_MAX: u32 = 65 * 1024 * 1024;
/// What a broker must allow: less would not carry a message with its headers.
const FRAME_BYTES_MIN: u32 = 4 * 1024;

const LOGGING_IN: &str = "logging in";

/// What both sides agreed upon.
#[derive(Clone, Debug)]
pub(super) struct Agreement {
    /// The broker's, if it says.
    pub(super) version: Option<String>,
    /// The longest frame, its length aside.
    pub(super) frame_bytes_max: usize,
    pub(super) heartbeat_s: u32,
}

/// The bare connection while it is set up.
pub(super) struct Handshake<'a> {
    pub(super) reader: &'a mut FrameReader<ReadHalf>,
    pub(super) writer: &'a mut WriteHalf,
    pub(super) address: &'a Address,
    correlation: u32,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(
        reader: &'a mut FrameReader<ReadHalf>,
        writer: &'a mut WriteHalf,
        address: &'a Address,
    ) -> Self {
        reader.allow(HANDSHAKE_FRAME_BYTES_MAX);
        Self {
            reader,
            writer,
            address,
            correlation: 0,
        }
    }

    /// Logs in and opens the vhost, without a time limit of its own.
    pub(super) async fn run(
        mut self,
        settings: &StreamSettings,
    ) -> Result<Agreement, AcquireError> {
        let connection_name = format!("outbox-{}", settings.relay);
        let doing = "saying who we are";
        let body = self
            .ask_body(doing, &Request::peer_properties(&connection_name))
            .await?;
        let malformed = |error: Malformed| self.unavailable(&format!("{doing}: {error}"));
        self.expect_ok(doing, code(&body).map_err(malformed)?)?;
        // Who does not say its version is served all the same.
        let version = properties(body)
            .ok()
            .and_then(|mut said| said.remove("version"));
        let doing = "asking how to log in";
        let answer = self.ask(doing, &Request::sasl_handshake()).await?;
        self.expect_ok(doing, answer)?;
        let login = match self.is_external() {
            true => Request::sasl_external(),
            false => Request::sasl_plain(&self.address.user, &self.address.password),
        };
        let answer = self.ask(LOGGING_IN, &login).await?;
        self.expect_ok(LOGGING_IN, answer)?;
        let agreement = self.tune(settings).await?;
        let answer = self
            .ask("opening the vhost", &Request::open(&self.address.vhost))
            .await?;
        self.expect_ok("opening the vhost", answer)?;
        Ok(Agreement {
            version,
            ..agreement
        })
    }

    async fn tune(&mut self, settings: &StreamSettings) -> Result<Agreement, AcquireError> {
        let (theirs, their_heartbeat) = loop {
            match self.next("tuning").await? {
                Incoming::Tune {
                    frame_bytes_max,
                    heartbeat_s,
                } => {
                    break (frame_bytes_max, heartbeat_s);
                }
                Incoming::Heartbeat => {}
                other => return Err(self.unexpected("tuning", &other)),
            }
        };
        let ours = u32::try_from(settings.heartbeat.as_secs()).unwrap_or(u32::MAX);
        // 0 stands for no limit, and for no heartbeat.
        let agreed = |theirs: u32, ours: u32| if theirs == 0 { ours } else { theirs.min(ours) };
        let frame_bytes_max = match theirs {
            0 => FRAME_BYTES_MAX,
            theirs => theirs.min(FRAME_BYTES_AGREED_MAX),
        };
        if frame_bytes_max < FRAME_BYTES_MIN {
            return Err(self.unavailable(&format!(
                "the broker allows frames of {frame_bytes_max} bytes, at least {FRAME_BYTES_MIN} \
                 are needed"
            )));
        }
        let agreement = Agreement {
            frame_bytes_max: usize::try_from(frame_bytes_max).unwrap_or(usize::MAX),
            heartbeat_s: agreed(their_heartbeat, ours),
            version: None,
        };
        let answer = tune(frame_bytes_max, agreement.heartbeat_s);
        let sent = self.writer.write_all(&answer).await;
        sent.map_err(|error| self.unavailable(&format!("tuning: {error}")))?;
        Ok(agreement)
    }

    async fn ask(&mut self, doing: &str, request: &Request) -> Result<Code, AcquireError> {
        let body = self.ask_body(doing, request).await?;
        code(&body).map_err(|error| self.unavailable(&format!("{doing}: {error}")))
    }

    async fn ask_body(&mut self, doing: &str, request: &Request) -> Result<Bytes, AcquireError> {
        self.correlation += 1;
        let (key, wanted) = (request.key, self.correlation);
        let failed = |this: &Self, error: std::io::Error| this.broken(doing, &error);
        let frame = request.frame(wanted);
        if let Err(error) = self.writer.write_all(&frame).await {
            return Err(failed(self, error));
        }
        if let Err(error) = self.writer.flush().await {
            return Err(failed(self, error));
        }
        loop {
            match self.next(doing).await? {
                Incoming::Answer {
                    key: answered,
                    correlation,
                    body,
                } if answered == key && correlation == wanted => {
                    return Ok(body);
                }
                Incoming::Heartbeat => {}
                other => return Err(self.unexpected(doing, &other)),
            }
        }
    }

    async fn next(&mut self, doing: &str) -> Result<Incoming, AcquireError> {
        let frame = self.reader.next().await;
        let frame = frame.map_err(|error| match error {
            FrameError::Io(error) => self.broken(doing, &error),
            other => self.unavailable(&format!("{doing}: {other}")),
        })?;
        Incoming::decode(frame).map_err(|error| self.unavailable(&format!("{doing}: {error}")))
    }

    fn expect_ok(&self, doing: &str, code: Code) -> Result<(), AcquireError> {
        let advice = match code {
            Code::OK => return Ok(()),
            Code::AUTHENTICATION_FAILED | Code::SASL_ERROR if self.is_external() => {
                "make the user that the certificate names, without a password; see \
                 ssl_cert_login_from"
            }
            Code::AUTHENTICATION_FAILED | Code::SASL_ERROR => "check user and password",
            Code::LOOPBACK_ONLY => {
                "give the relay a user of its own: guest may only connect locally"
            }
            Code::MECHANISM_UNSUPPORTED | Code::SASL_CHALLENGE => {
                "let the broker offer the mechanism, PLAIN or EXTERNAL (auth_mechanisms)"
            }
            Code::VHOST_REFUSED | Code::ACCESS_REFUSED => {
                "check the vhost, and the user's rights in it"
            }
            _ => return Err(self.unavailable(&format!("{doing}: {code}"))),
        };
        let place = self.address.place();
        Err(AcquireError::Fatal(format!(
            "{place}: {doing}: {code}: {advice}"
        )))
    }

    fn unexpected(&self, doing: &str, other: &Incoming) -> AcquireError {
        match other {
            Incoming::Close { code, reason, .. } => {
                let code = Code(*code);
                self.unavailable(&format!(
                    "{doing}: the broker ends the connection: {code}: {reason}"
                ))
            }
            _ => self.unavailable(&format!("{doing}: the broker answers something else")),
        }
    }

    fn is_external(&self) -> bool {
        self.address.tls.as_ref().is_some_and(|tls| tls.is_external)
    }

    /// That our certificate is refused comes after TLS's own handshake.
    fn broken(&self, doing: &str, error: &std::io::Error) -> AcquireError {
        let tls = self.address.tls.as_ref();
        match tls.and_then(|tls| tls.refusal(error, &self.address.host)) {
            Some(refusal) => AcquireError::Fatal(format!("{}: {refusal}", self.address.place())),
            None if self.is_external() && doing == LOGGING_IN => self.unavailable(&format!(
                "{doing}: {error}; RabbitMQ before 3.12 ends streams' connections that log in by a \
                 certificate: leave auth_mechanism out there, and give a password"
            )),
            None => self.unavailable(&format!("{doing}: {error}")),
        }
    }

    fn unavailable(&self, what: &str) -> AcquireError {
        AcquireError::Unavailable(format!("{}: {what}", self.address.place()))
    }
}
