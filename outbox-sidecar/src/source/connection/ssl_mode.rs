use std::fmt;

/// libpq's `sslmode`: whether a connection by TCP is encrypted, and what the server has to prove.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Never.
    Disable,
    /// Only if the server refuses anything else.
    Allow,
    /// If the server can, and otherwise not.
    Prefer,
    /// Always, by whoever answers.
    Require,
    /// Always, by a server with a certificate of an authority that we trust.
    VerifyCa,
    /// Always, by a server whose certificate is also for the host that we asked for.
    VerifyFull,
}

/// One way to reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Tls,
}

impl SslMode {
    pub(super) const ALL: [Self; 6] = [
        Self::Disable,
        Self::Allow,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// The ways that may be tried, the better one first.
    pub(super) const fn ways(self) -> &'static [Way] {
        match self {
            Self::Disable => &[Way::Plain],
            Self::Allow => &[Way::Plain, Way::Tls],
            Self::Prefer => &[Way::Tls, Way::Plain],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[Way::Tls],
        }
    }

    /// Nothing may be sent without TLS.
    pub(super) const fn demands_tls(self) -> bool {
        matches!(self, Self::Require | Self::VerifyCa | Self::VerifyFull)
    }

    /// Without certificates to check against there is no connection.
    pub(super) const fn demands_proof(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Way {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "without TLS",
            Self::Tls => "with TLS",
        }
    }
}
