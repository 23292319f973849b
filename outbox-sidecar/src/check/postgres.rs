mod kept_log;
mod log_end;
mod log_limits;
mod outbox;
mod publication;
mod replication;
mod role;
mod server;
mod set_up;
mod slot;
mod solitude;

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{Lsn, SystemId, TimelineId};
use tokio_postgres::{Client, Error};

pub(super) use self::log_end::log_end;
pub(super) use self::solitude::doubt;
use super::Findings;
use crate::config::Settings;
use crate::control::{connect, failure_of};

/// What the checkpoint is compared with. It was there before the checkpoint is read, so that a relay at work may
/// only be further by then.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether the server could be asked at all.
    pub(super) connected: bool,
    pub(super) system_id: Option<SystemId>,
    pub(super) timeline: Option<TimelineId>,
    /// Of a publication that is fit.
    pub(super) publication_fingerprint: Option<String>,
    /// The one that an operator accepted, whatever the checkpoint says.
    pub(super) publication_accepted: Option<String>,
    pub(super) confirmed_flush: Option<Lsn>,
    pub(super) genesis_written: bool,
}

/// What lets us in where a connection has failed. The server's text may come in any language, its code does
/// not.
fn fix_of(failure: &SourceFailure) -> &'static str {
    let said = |code: &str| failure.message.contains(code);
    match failure.kind {
        _ if said("[28P01]") => {
            "compare the password in postgres.password_file, or else in postgres.url, with the \
             role's: alter role … password '…'"
        }
        _ if said("[3D000]") => "name another database in postgres.url, or create this one",
        FailureKind::AuthenticationRefused => {
            "check the role, password and TLS in postgres.url, and the lines of pg_hba.conf"
        }
        FailureKind::Unreachable => {
            "is PostgreSQL running there, does it listen there (listen_addresses, port), and does a \
             firewall let us through? If it is elsewhere, mend postgres.url"
        }
        _ => "check postgres.url and pg_hba.conf",
    }
}

/// Looks at PostgreSQL.
pub(super) async fn check(settings: &Settings, findings: &mut Findings) -> Seen {
    let mut seen = Seen::default();
    let client = match connect(&settings.address, "outbox-sidecar check", || {}).await {
        Ok(client) => client,
        Err(failure) => {
            let fix = fix_of(&failure);
            findings.error("connection", failure.message, fix);
            return seen;
        }
    };
    findings.ok("connection", format!("as {}", settings.address.user()));
    seen.connected = true;
    let mut look = Look {
        client: &client,
        settings,
        findings,
        seen: &mut seen,
    };
    if let Err(error) = look.at_everything().await {
        let failure = failure_of(&error, "reading the catalogs");
        findings.error(
            "catalogs",
            failure.message,
            "give the role the rights that init grants",
        );
    }
    replication::connection(settings, findings, &mut seen).await;
    seen
}

/// One look at the database, by SQL.
struct Look<'a> {
    client: &'a Client,
    settings: &'a Settings,
    findings: &'a mut Findings,
    seen: &'a mut Seen,
}

impl Look<'_> {
    async fn at_everything(&mut self) -> Result<(), Error> {
        self.server().await?;
        self.clock().await?;
        self.log_limits().await?;
        self.kept_log().await?;
        self.role().await?;
        if self.outbox().await? {
            self.privileges().await?;
            self.set_up().await;
            self.publication().await?;
            self.set_aside().await;
        }
        self.slot().await
    }

    /// Before a relay ran `init` makes what is missing; afterwards somebody must decide.
    fn fix_of_missing(&self) -> &'static str {
        if self.seen.genesis_written {
            "see docs/command-line.md, Where continuing needs a decision"
        } else {
            "outbox-sidecar init"
        }
    }
}
