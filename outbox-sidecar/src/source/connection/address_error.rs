use super::ssl_mode::SslMode;

/// A URL that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// Not a libpq URL or keyword string.
    #[error("not a PostgreSQL URL or keyword string such as postgres://user@host/database: {0}")]
    Malformed(String),
    /// Something needed is missing.
    #[error("the PostgreSQL URL names no {0}, nor does a PG* variable or a service")]
    Missing(&'static str),
    /// Not a keyword of libpq's. Its name is not said: it may be part of a password.
    #[error(
        "keyword {number} of {origin} is not one of libpq's; a password with a space, a \
         & or a ? is quoted, or percent-encoded in a URL"
    )]
    Unknown {
        /// Its place among the keywords, user and host included; the first is 1.
        number: usize,
        /// Where it was written.
        origin: String,
    },
    /// libpq has it and we have not.
    #[error("{keyword} of {origin} is not supported with this value: leave it out")]
    Unavailable {
        /// libpq's keyword.
        keyword: &'static str,
        /// Where it was written.
        origin: String,
    },
    /// A value that does not fit its keyword.
    #[error("{keyword} of {origin} must be {expected}")]
    Value {
        /// libpq's keyword.
        keyword: &'static str,
        /// Where it was written.
        origin: String,
        /// What fits.
        expected: String,
    },
    /// No file has the service.
    #[error("there is no service {service} in {looked_in}")]
    ServiceMissing {
        /// Its name.
        service: String,
        /// The files.
        looked_in: String,
    },
    /// A file of services that cannot be used.
    #[error("{file}: {why}")]
    ServiceFile {
        /// The file, and the line if it is one.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The relay reads from a primary.
    #[error(
        "target_session_attrs={0} asks for a standby, from which nothing can be relayed: use \
         primary, read-write or any"
    )]
    StandbyWanted(&'static str),
    /// Trust in all the world's authorities is worth nothing without the name.
    #[error("sslrootcert=system needs sslmode=verify-full, not {0}")]
    SystemRootsTooWeak(SslMode),
    /// TLS from the first byte cannot be given up.
    #[error("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full, not {0}")]
    DirectTooWeak(SslMode),
}
