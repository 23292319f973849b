use outbox_core::schema;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::Look;
use crate::count::counted;
use crate::source::quote::quote_literal;

/// The fewest daily partitions that should exist ahead.
const PARTITIONS_AHEAD_MIN: i32 = 2;

impl Look<'_> {
    /// Whether there is an outbox that the relay can use.
    pub(super) async fn outbox(&mut self) -> Result<bool, Error> {
        let (schema, user) = (&self.settings.schema, self.settings.address.user());
        let sql = "select pg_catalog.has_schema_privilege(s.oid, 'usage') \
                   from pg_catalog.pg_namespace as s where s.nspname = $1";
        let row = self.client.query_opt(sql, &[&schema.as_str()]).await?;
        let may_use: Option<bool> = row.map(|row| row.try_get(0)).transpose()?;
        if may_use == Some(false) {
            self.findings.error(
                "table",
                format!("{user} may not use the schema {}", schema.quoted()),
                format!("grant usage on schema {} to {user}", schema.quoted()),
            );
            return Ok(false);
        }
        let table = format!("{}.message", schema.quoted());
        let sql = "select to_regclass($1) is not null";
        let row = self.client.query_one(sql, &[&table]).await?;
        if !row.try_get::<_, bool>(0)? {
            self.findings.error(
                "table",
                format!("{table} does not exist"),
                "outbox-sidecar init",
            );
            return Ok(false);
        }
        self.findings.ok("table", table);
        self.version().await?;
        self.partitions().await?;
        Ok(true)
    }

    async fn version(&mut self) -> Result<(), Error> {
        let sql = format!(
            "select coalesce(max(version), 0)::int8 from {}.migration",
            self.settings.schema.quoted()
        );
        let applied: i64 = match self.client.query_one(&sql, &[]).await {
            Ok(row) => row.try_get(0)?,
            Err(error) if is_refused(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let known = i64::try_from(schema::VERSION).unwrap_or(i64::MAX);
        if applied < known {
            self.findings.error(
                "schema",
                format!("version {applied}, this program needs {known}"),
                "outbox-sidecar init --admin-url URL, or outbox_core::schema::migrate",
            );
        } else {
            self.findings.ok("schema", format!("version {applied}"));
        }
        Ok(())
    }

    async fn partitions(&mut self) -> Result<(), Error> {
        let schema = &self.settings.schema;
        let sql = format!(
            "select (select count(*)::int from generate_series(1, 366) as ahead where \
             to_regclass({0} || to_char((now() at time zone 'UTC')::date + ahead, 'YYYYMMDD')) \
             is not null), to_regclass({0} || 'default') is not null",
            quote_literal(&format!("{}.message_", schema.quoted())),
        );
        let row = self.client.query_one(&sql, &[]).await?;
        let ahead: i32 = row.try_get(0)?;
        let fix = format!("select * from {}.maintain_partitions()", schema.quoted());
        let found = format!("{} ahead", counted(ahead, "daily partition"));
        if ahead < PARTITIONS_AHEAD_MIN {
            self.findings.warning("partitions", found, &fix);
        } else {
            self.findings.ok("partitions", found);
        }
        let default = format!("{}.message_default", schema.quoted());
        if !row.try_get::<_, bool>(1)? {
            self.findings.error(
                "partitions",
                format!(
                    "{default} does not exist: beyond the last partition nothing can be enqueued"
                ),
                format!(
                    "create table {default} partition of {}.message default",
                    schema.quoted()
                ),
            );
            return Ok(());
        }
        let sql = format!("select exists (select from {default})");
        match self.client.query_one(&sql, &[]).await {
            Ok(row) if row.try_get(0)? => {
                self.findings
                    .warning("partitions", "the default partition holds rows", &fix);
                Ok(())
            }
            Err(error) if !is_refused(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the role may not read is said with its privileges.
fn is_refused(error: &Error) -> bool {
    error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}
