use std::io;

use fallible_iterator::FallibleIterator;
use outbox_core::relay::{FailureKind, SourceFailure};
use postgres_protocol::message::backend::ErrorFields;

use super::connection::{TlsError, both_messages};

/// What went wrong on a replication connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The connection could not be made, or broke.
    #[error("{doing}: {}", said(source))]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nobody was reached at one of the hosts.
    #[error("connecting to PostgreSQL at {place}: {source}")]
    Unreachable {
        /// The host and its port.
        place: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{doing}: no answer within {limit_s} s")]
    TimedOut {
        /// What we were doing.
        doing: &'static str,
        /// How long we waited.
        limit_s: u64,
    },
    /// The server refused, by an ErrorResponse.
    #[error("{doing}: {error}")]
    Server {
        /// What we were doing.
        doing: &'static str,
        /// What the server said.
        error: Box<ServerMessage>,
    },
    /// A way to authenticate that this build does not speak.
    #[error("the server asks for {0} authentication, which is not supported")]
    AuthenticationUnsupported(&'static str),
    /// No password was configured though the server wants one.
    #[error(
        "the server asks for a password and none is configured (postgres.url or password_file)"
    )]
    PasswordMissing,
    /// The login could not be bound to the server's certificate.
    #[error("channel_binding=require cannot be had of the server: {0}")]
    ChannelBindingMissing(&'static str),
    /// The connection could not be encrypted.
    #[error("connecting to PostgreSQL: {0}")]
    Tls(#[from] TlsError),
    /// Neither with TLS nor without.
    #[error("{}", both_messages((.first, &.first_error.to_string()), (.second, &.second_error.to_string())))]
    BothWays {
        /// The way that was tried first.
        first: &'static str,
        /// How it failed.
        first_error: Box<SourceError>,
        /// The other one.
        second: &'static str,
        /// How that failed.
        second_error: Box<SourceError>,
    },
    /// The password exchange failed on our side.
    #[error("authentication failed: {0}")]
    Authentication(io::Error),
    /// The server left the publication out of the stream.
    #[error("the server left the publication out: {0}")]
    PublicationSkipped(Box<ServerMessage>),
    /// The server finished the copy by itself: it shuts down.
    #[error("the server ended the replication stream: it shuts down")]
    Ended,
    /// The server is a standby.
    #[error("the server is a standby: nothing can be relayed from it")]
    InRecovery,
    /// What no PostgreSQL server says before a stream begins: another server answers, or none. A
    /// relay waits until the right one is back.
    #[error("{0}")]
    Nonsense(String),
    /// Something in the stream that the protocol does not allow: to go on would be to guess.
    #[error("{0}")]
    Protocol(String),
    /// The stream carries what an outbox's publication must not.
    #[error("{0}")]
    Unfit(String),
}

/// The fields of an ErrorResponse or NoticeResponse that people need.
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerMessage {
    pub(crate) severity: String,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

/// The most of a text of the server's that is shown: it may be as long as a server likes.
const TEXT_CHARACTERS_MAX: usize = 2000;

/// What a server says, as it is shown: not all of a long text, and nothing that moves a terminal's cursor
/// or begins a line of a log.
pub(crate) fn foreign_text(bytes: &[u8]) -> String {
    // No character is longer than four bytes.
    let shown = bytes.get(..TEXT_CHARACTERS_MAX * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(shown);
    let harmless = |character: char| match character.is_control() {
        true => ' ',
        false => character,
    };
    let mut shown: String = text
        .chars()
        .take(TEXT_CHARACTERS_MAX)
        .map(harmless)
        .collect();
    if bytes.len() > shown.len() && text.chars().nth(TEXT_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl ServerMessage {
    pub(crate) fn read(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut read = Self::default();
        while let Some(field) = fields.next()? {
            let text = foreign_text(field.value_bytes());
            match field.type_() {
                b'V' => read.severity = text,
                b'C' => read.sqlstate = text,
                b'M' => read.message = text,
                b'D' => read.detail = Some(text),
                b'H' => read.hint = Some(text),
                _ => {}
            }
        }
        Ok(read)
    }
}

impl ServerMessage {
    /// Whether a notice says that the stream may lack rows of `publication`. PostgreSQL 18 only
    /// warns when it leaves a publication out ("skipped loading publication"); the text may come
    /// in any language, but names it. Its SQLSTATE, 55000, says nothing: the warning that a
    /// standby of `synchronized_standby_slots` is away has the same, and means a delay.
    pub(crate) fn is_about_publication(&self, publication: &str) -> bool {
        self.message.contains("publication") || self.message.contains(publication)
    }
}

impl std::fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.message, self.sqlstate)?;
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            write!(f, " ({more})")?;
        }
        Ok(())
    }
}

/// What an error of a stream says; TLS has its own words, and is the first to know why a server
/// does not go on.
fn said(error: &io::Error) -> String {
    TlsError::of_stream(error).map_or_else(|| error.to_string(), |error| error.to_string())
}

impl SourceError {
    pub(crate) fn no_host() -> Self {
        Self::Io {
            doing: "connecting to PostgreSQL",
            source: io::Error::other("no host is configured"),
        }
    }

    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Io { source, .. } => match TlsError::of_stream(source) {
                Some(error) => error.kind(),
                None => FailureKind::Unreachable,
            },
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Nonsense(_) => {
                FailureKind::Unreachable
            }
            Self::Tls(error) => error.kind(),
            Self::BothWays { second_error, .. } => second_error.kind(),
            Self::Server { doing, error } => kind_of_message(doing, error),
            Self::AuthenticationUnsupported(_)
            | Self::PasswordMissing
            | Self::ChannelBindingMissing(_)
            | Self::Authentication(_) => FailureKind::AuthenticationRefused,
            Self::PublicationSkipped(_) => FailureKind::PublicationMissing,
            Self::Ended => FailureKind::ServerShutdown,
            Self::InRecovery => FailureKind::InRecovery,
            Self::Protocol(_) => FailureKind::Protocol,
            Self::Unfit(_) => FailureKind::PublicationUnfit,
        }
    }
}

impl From<SourceError> for SourceFailure {
    fn from(error: SourceError) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// What an error means, by what we were doing: its text may come in any language.
fn kind_of_message(doing: &str, error: &ServerMessage) -> FailureKind {
    match (error.sqlstate.as_str(), doing) {
        ("55006", _) => FailureKind::SlotBusy,
        ("42704", STREAMING) => FailureKind::PublicationMissing,
        ("42704", STARTING) => FailureKind::SlotMissing,
        // The name of a setting is the same in every language.
        ("55000", _) if error.message.contains("wal_level") => FailureKind::NotLogical,
        ("0A000", STARTING | CREATING_SLOT) => FailureKind::InRecovery,
        ("55000", STREAMING | STARTING) => FailureKind::SlotInvalidated,
        ("53300" | "53400", _) => FailureKind::TooManyConnections,
        (code, _) => kind_of_state(code),
    }
}

/// Creating a slot.
pub(crate) const CREATING_SLOT: &str = "creating the replication slot";
/// Starting the stream: an error is about the slot.
pub(crate) const STARTING: &str = "starting replication";
/// Reading the stream: an error is about the publication, or the connection's end.
pub(crate) const STREAMING: &str = "reading the replication stream";

/// The kind that an SQLSTATE stands for on any connection.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(crate) fn kind_of_state(code: &str) -> FailureKind {
    match code {
        "57P01" | "57P02" | "57P03" => FailureKind::ServerShutdown,
        "28P01" | "28000" => FailureKind::AuthenticationRefused,
        "42501" => FailureKind::PrivilegeRefused,
        "53300" => FailureKind::TooManyConnections,
        code if code.starts_with("08") => FailureKind::Unreachable,
        _ => FailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_servers_is_shown_in_a_harmless_way() {
        assert_eq!(foreign_text("schön".as_bytes()), "schön");
        assert_eq!(foreign_text(b"\x1b[2Jgone\nok"), " [2Jgone ok");
        let long = "ü".repeat(1_000_000);
        let shown = foreign_text(long.as_bytes());
        assert_eq!(shown.chars().count(), TEXT_CHARACTERS_MAX + 1);
        assert!(shown.ends_with("ü…"), "{shown}");
        let exact = "ü".repeat(TEXT_CHARACTERS_MAX);
        assert_eq!(foreign_text(exact.as_bytes()), exact);
    }
}
