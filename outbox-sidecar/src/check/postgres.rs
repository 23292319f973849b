use std::time::Duration;

use outbox_core::{Lsn, SystemId};
use tokio_postgres::{Client, Error};

use super::Findings;
use crate::config::Settings;
use crate::control::{MadeFor, Waiting, connect, failure_of, read_set_up, relay_names};
use crate::source::connection::Startup;
use crate::source::publication::read_publication;
use crate::source::replication::Replication;
use crate::source::slot::read_slot;

/// What the checkpoint is compared with.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether the server could be asked at all.
    pub(super) connected: bool,
    pub(super) system_id: Option<SystemId>,
    /// Of a publication that is fit.
    pub(super) publication_fingerprint: Option<String>,
    pub(super) confirmed_flush: Option<Lsn>,
    pub(super) genesis_written: bool,
}

/// The fewest daily partitions that should exist ahead.
const PARTITIONS_AHEAD_MIN: i32 = 2;

/// The time-out of the replication connection that is tried.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks at PostgreSQL.
pub(super) async fn check(settings: &Settings, findings: &mut Findings) -> Seen {
    let mut seen = Seen::default();
    let client = match connect(&settings.address, "outbox-sidecar check", || {}).await {
        Ok(client) => client,
        Err(failure) => {
            findings.error(
                "connection",
                failure.message,
                "check postgres.url and pg_hba.conf",
            );
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
    replication_connection(settings, findings, &mut seen).await;
    seen
}

struct Look<'a> {
    client: &'a Client,
    settings: &'a Settings,
    findings: &'a mut Findings,
    seen: &'a mut Seen,
}

impl Look<'_> {
    async fn at_everything(&mut self) -> Result<(), Error> {
        self.server().await?;
        self.role().await?;
        self.outbox().await?;
        self.set_up().await;
        self.publication().await?;
        self.set_aside().await;
        self.slot().await
    }

    async fn server(&mut self) -> Result<(), Error> {
        let sql = "select pg_catalog.current_setting('server_version'), \
                   pg_catalog.current_setting('server_version_num')::int, \
                   pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.current_setting('synchronous_standby_names'), \
                   pg_catalog.current_setting('max_slot_wal_keep_size')";
        let row = self.client.query_one(sql, &[]).await?;
        let (version, number): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        if number < 150_000 {
            self.findings.error(
                "server",
                format!("PostgreSQL {version}"),
                "upgrade to 15 or later",
            );
        } else if row.try_get(3)? {
            self.findings.error(
                "server",
                format!("PostgreSQL {version} is a standby"),
                "name the primary in postgres.url",
            );
        } else {
            self.findings.ok("server", format!("PostgreSQL {version}"));
        }
        let wal_level: String = row.try_get(2)?;
        if wal_level == "logical" {
            self.findings.ok("wal_level", wal_level);
        } else {
            self.findings.error(
                "wal_level",
                format!("{wal_level}, not logical"),
                "alter system set wal_level = logical; then restart PostgreSQL",
            );
        }
        let standbys: String = row.try_get(4)?;
        if standbys.contains('*') {
            self.findings.error(
                "synchronous_standby_names",
                format!(
                    "{standbys:?} makes the relay a synchronous standby: with the broker away \
                         every commit waits"
                ),
                "name the standbys: alter system set synchronous_standby_names = 'standby1'",
            );
        }
        let keep: String = row.try_get(5)?;
        if keep != "-1" {
            self.findings.warning(
                "max_slot_wal_keep_size",
                format!("{keep}: a broker outage that writes more log than this loses the slot"),
                "raise it to what the disk can hold, and alert on outbox_slot_safe_wal_bytes",
            );
        }
        Ok(())
    }

    async fn role(&mut self) -> Result<(), Error> {
        let sql = "select rolreplication or rolsuper, rolsuper or \
                   pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'usage') \
                   from pg_catalog.pg_roles where rolname = current_user";
        let row = self.client.query_one(sql, &[]).await?;
        let user = self.settings.address.user();
        if row.try_get(0)? {
            self.findings.ok("role", format!("{user} may replicate"));
        } else {
            self.findings.error(
                "role",
                format!("{user} has no REPLICATION attribute"),
                format!("alter role {user} replication"),
            );
        }
        if !row.try_get::<_, bool>(1)? {
            self.findings.warning(
                "role",
                format!("{user} cannot see whether another relay's walsender still lives"),
                format!("grant pg_read_all_stats to {user}"),
            );
        }
        Ok(())
    }

    async fn outbox(&mut self) -> Result<(), Error> {
        let schema = &self.settings.schema;
        let table = format!("{}.message", schema.quoted());
        let sql = "select to_regclass($1) is not null";
        if !self
            .client
            .query_one(sql, &[&table])
            .await?
            .try_get::<_, bool>(0)?
        {
            self.findings.error(
                "table",
                format!("{table} does not exist"),
                "outbox-sidecar init",
            );
            return Ok(());
        }
        self.findings.ok("table", table);
        let sql = format!(
            "select (select count(*)::int from generate_series(1, 366) as ahead where \
             to_regclass({0} || to_char((now() at time zone 'UTC')::date + ahead, 'YYYYMMDD')) \
             is not null), exists (select from {1}.message_default)",
            crate::source::quote::quote_literal(&format!("{}.message_", schema.quoted())),
            schema.quoted()
        );
        let row = self.client.query_one(&sql, &[]).await?;
        let ahead: i32 = row.try_get(0)?;
        let fix = format!("select * from {}.maintain_partitions()", schema.quoted());
        if ahead < PARTITIONS_AHEAD_MIN {
            self.findings.warning(
                "partitions",
                format!("{ahead} daily partitions ahead"),
                &fix,
            );
        } else {
            self.findings
                .ok("partitions", format!("{ahead} daily partitions ahead"));
        }
        if row.try_get(1)? {
            self.findings
                .warning("partitions", "the default partition holds rows", &fix);
        }
        Ok(())
    }

    async fn publication(&mut self) -> Result<(), Error> {
        let name = self.settings.slot();
        match read_publication(self.client, &name, &self.settings.schema).await? {
            None => {
                let fix = self.fix_of_missing();
                self.findings
                    .error("publication", format!("{name} does not exist"), fix);
            }
            Some(publication) => match &publication.fault {
                Some(fault) => self.findings.error(
                    "publication",
                    fault,
                    format!("drop publication {name}, then set the relay up anew"),
                ),
                None => {
                    self.seen.publication_fingerprint = Some(publication.fingerprint());
                    self.findings.ok("publication", name);
                }
            },
        }
        Ok(())
    }

    /// Before a relay ran `init` makes what is missing; afterwards somebody must decide.
    fn fix_of_missing(&self) -> &'static str {
        if self.seen.genesis_written {
            "see docs/command-line.md, Where continuing needs a decision"
        } else {
            "outbox-sidecar init"
        }
    }

    async fn set_up(&mut self) {
        let settings = self.settings;
        match read_set_up(self.client, &settings.schema, &settings.relay).await {
            Err(failure) => {
                self.findings
                    .error("set-up", failure.message, "outbox-sidecar init");
            }
            Ok(None) => {
                let others = relay_names(self.client, &settings.schema).await;
                let (found, fix) = if others.is_empty() {
                    (String::new(), "outbox-sidecar init")
                } else {
                    let fix = "look at relay.name; for one that is new: outbox-sidecar init";
                    (format!("; set up are: {}", others.join(", ")), fix)
                };
                let relay = &settings.relay;
                self.findings.error(
                    "set-up",
                    format!("relay {relay} was never set up{found}"),
                    fix,
                );
            }
            Ok(Some(set_up)) => {
                self.seen.genesis_written = set_up.row.genesis_written;
                if let Some((exit_code, reason)) = &set_up.row.held {
                    self.findings.error(
                        "set-up",
                        format!("held since an earlier run (exit {exit_code}): {reason}"),
                        "see the exit code in docs/command-line.md",
                    );
                }
                let differs = set_up.made_for.differs(&MadeFor::configured(settings));
                if !set_up.row.genesis_written {
                    self.findings.error(
                        "set-up",
                        "init did not come to its end",
                        "outbox-sidecar init",
                    );
                } else if let Some(differs) = differs {
                    self.findings
                        .error("set-up", differs, "put the configuration back");
                } else {
                    self.findings.ok("set-up", settings.relay.clone());
                }
            }
        }
    }

    /// A table that is missing is said elsewhere: the schema is older.
    async fn set_aside(&mut self) {
        let (schema, relay) = (&self.settings.schema, &self.settings.relay);
        let Ok(waiting) = Waiting::read(self.client, schema, relay).await else {
            return;
        };
        match waiting.count() {
            0 => self.findings.ok("set aside", "no message waits"),
            count => self.findings.warning(
                "set aside",
                format!(
                    "{count} messages wait, {} requests are not done",
                    waiting.requests
                ),
                "outbox-sidecar stuck list; then replay or skip them",
            ),
        }
    }

    async fn slot(&mut self) -> Result<(), Error> {
        let name = self.settings.slot();
        let Some(slot) = read_slot(self.client, &name).await? else {
            let fix = self.fix_of_missing();
            self.findings
                .error("slot", format!("{name} does not exist"), fix);
            return Ok(());
        };
        self.seen.confirmed_flush = Some(slot.state.confirmed_flush);
        if let Some(fault) = slot.state.fault {
            let fix = if slot.is_foreign {
                "it is another's, and is not to be dropped: look at postgres.url and relay.name"
            } else {
                "set the relay up anew: outbox-sidecar remove, then init --backlog publish"
            };
            self.findings
                .error("slot", format!("{name} cannot be read: {fault}"), fix);
        } else if slot.wal_status == "unreserved" {
            self.findings.error(
                "slot",
                format!("{name} is about to lose log that it needs"),
                "start the relay, or raise max_slot_wal_keep_size",
            );
        } else {
            let by = slot.state.holder.map_or_else(
                || "free".to_owned(),
                |holder| format!("read by {}", holder.pid),
            );
            self.findings.ok(
                "slot",
                format!(
                    "{name} at {}, {by}, {}",
                    slot.state.confirmed_flush, slot.wal_status
                ),
            );
        }
        Ok(())
    }
}

/// Tries the connection that the relay will need: another line of pg_hba.conf may decide on it,
/// and walsenders may run out.
async fn replication_connection(settings: &Settings, findings: &mut Findings, seen: &mut Seen) {
    let startup = Startup {
        application_name: "outbox-sidecar check".to_owned(),
        wal_sender_timeout: TRIAL_TIMEOUT,
    };
    let identified = async {
        let mut connection = Replication::connect(&settings.address, &startup).await?;
        connection.identify_system().await
    };
    match identified.await {
        Ok(system) => {
            seen.system_id = Some(system.system_id);
            findings.ok(
                "replication connection",
                format!("cluster {}, timeline {}", system.system_id, system.timeline),
            );
        }
        Err(error) => findings.error(
            "replication connection",
            error.to_string(),
            "the role needs REPLICATION, a line for its database in pg_hba.conf (logical \
             replication does not match the line \"replication\"), and a free walsender",
        ),
    }
}
