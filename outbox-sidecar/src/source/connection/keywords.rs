/// What we do with a keyword of libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Obeyed.
    Read,
    /// Without a meaning for a relay, and harmless.
    PassedOver,
    /// Something that is asked for and that we do not have: only these values pass.
    Refused(&'static [&'static str]),
}

use Treatment::{PassedOver, Read, Refused};

/// libpq's keywords, and the variables that stand for them.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
pub(super) const KEYWORDS: &[(&str, Treatment, Option<&str>)] = &[
    ("host", Read, Some("PGHOST")),
    ("hostaddr", Read, Some("PGHOSTADDR")),
    ("port", Read, Some("PGPORT")),
    ("dbname", Read, Some("PGDATABASE")),
    ("user", Read, Some("PGUSER")),
    ("password", Read, Some("PGPASSWORD")),
    ("passfile", Read, Some("PGPASSFILE")),
    ("service", Read, Some("PGSERVICE")),
    ("servicefile", Read, Some("PGSERVICEFILE")),
    ("options", Read, Some("PGOPTIONS")),
    ("connect_timeout", Read, Some("PGCONNECT_TIMEOUT")),
    ("tcp_user_timeout", Read, None),
    ("keepalives", Read, None),
    ("keepalives_idle", Read, None),
    ("keepalives_interval", Read, None),
    ("keepalives_count", Read, None),
    ("target_session_attrs", Read, Some("PGTARGETSESSIONATTRS")),
    ("channel_binding", Read, Some("PGCHANNELBINDING")),
    ("sslmode", Read, Some("PGSSLMODE")),
    ("sslnegotiation", Read, Some("PGSSLNEGOTIATION")),
    ("sslrootcert", Read, Some("PGSSLROOTCERT")),
    ("sslcert", Read, Some("PGSSLCERT")),
    ("sslkey", Read, Some("PGSSLKEY")),
    ("sslsni", Read, Some("PGSSLSNI")),
    (
        "ssl_min_protocol_version",
        Read,
        Some("PGSSLMINPROTOCOLVERSION"),
    ),
    (
        "ssl_max_protocol_version",
        Read,
        Some("PGSSLMAXPROTOCOLVERSION"),
    ),
    // Each connection names itself, and speaks UTF-8.
    ("application_name", PassedOver, Some("PGAPPNAME")),
    ("fallback_application_name", PassedOver, None),
    ("client_encoding", PassedOver, Some("PGCLIENTENCODING")),
    // The primary is meant, wherever it stands in the list.
    ("load_balance_hosts", PassedOver, Some("PGLOADBALANCEHOSTS")),
    ("krbsrvname", PassedOver, Some("PGKRBSRVNAME")),
    ("gsslib", PassedOver, Some("PGGSSLIB")),
    ("gssdelegation", PassedOver, Some("PGGSSDELEGATION")),
    ("sslcompression", Refused(&["0"]), Some("PGSSLCOMPRESSION")),
    (
        "gssencmode",
        Refused(&["disable", "prefer"]),
        Some("PGGSSENCMODE"),
    ),
    ("sslcertmode", Refused(&["allow"]), Some("PGSSLCERTMODE")),
    ("sslpassword", Refused(&[]), None),
    ("sslcrl", Refused(&[]), Some("PGSSLCRL")),
    ("sslcrldir", Refused(&[]), Some("PGSSLCRLDIR")),
    ("requirepeer", Refused(&[]), Some("PGREQUIREPEER")),
    ("require_auth", Refused(&[]), Some("PGREQUIREAUTH")),
    ("replication", Refused(&[]), None),
    (
        "min_protocol_version",
        Refused(&["3.0"]),
        Some("PGMINPROTOCOLVERSION"),
    ),
    (
        "max_protocol_version",
        PassedOver,
        Some("PGMAXPROTOCOLVERSION"),
    ),
    ("scram_client_key", Refused(&[]), None),
    ("scram_server_key", Refused(&[]), None),
    ("oauth_issuer", Refused(&[]), None),
    ("oauth_client_id", Refused(&[]), None),
    ("oauth_client_secret", Refused(&[]), None),
    ("oauth_scope", Refused(&[]), None),
    ("sslkeylogfile", Refused(&[]), None),
];
