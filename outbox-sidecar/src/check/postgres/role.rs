use tokio_postgres::Error;

use super::Look;

/// What the relay does in its schema: `grants::relay_role` gives it.
const PRIVILEGES: [(&str, &str); 14] = [
    ("message", "select"),
    ("message_default", "select"),
    ("migration", "select"),
    ("relay", "select"),
    ("relay", "update"),
    ("parked", "select"),
    ("parked", "insert"),
    ("parked", "update"),
    ("request", "select"),
    ("request", "insert"),
    ("request", "update"),
    ("redelivery", "select"),
    ("redelivery", "update"),
    ("redelivery", "delete"),
];

impl Look<'_> {
    pub(super) async fn role(&mut self) -> Result<(), Error> {
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
                format!("{user} has no REPLICATION attribute: no relay can run as {user}"),
                format!("run check as the relay's role; or alter role {user} replication"),
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

    /// Each table that is there and may not be used as the relay does.
    pub(super) async fn privileges(&mut self) -> Result<(), Error> {
        let schema = self.settings.schema.quoted();
        let (tables, privileges): (Vec<_>, Vec<_>) = PRIVILEGES
            .iter()
            .map(|(table, privilege)| (format!("{schema}.{table}"), *privilege))
            .unzip();
        let sql = "select n.name, n.privilege from unnest($1::text[], $2::text[]) \
                   as n (name, privilege) \
                   where not pg_catalog.has_table_privilege(to_regclass(n.name), n.privilege)";
        let missing = self.client.query(sql, &[&tables, &privileges]).await?;
        let user = self.settings.address.user();
        for row in &missing {
            let (table, privilege): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            self.findings.error(
                "privileges",
                format!("{user} has no right to {privilege} on {table}"),
                format!("grant {privilege} on {table} to {user}"),
            );
        }
        let sql = "select pg_catalog.has_function_privilege(to_regprocedure($1), 'execute')";
        let function = format!("{schema}.maintain_partitions(integer,bigint)");
        let row = self.client.query_one(sql, &[&function]).await?;
        let may_execute = row.try_get::<_, Option<bool>>(0)? != Some(false);
        if !may_execute {
            self.findings.error(
                "privileges",
                format!("{user} may not make partitions"),
                format!("grant execute on function {function} to {user}"),
            );
        }
        if missing.is_empty() && may_execute {
            self.findings.ok("privileges", format!("{user} has all"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::schema::{SchemaName, grants};

    use super::*;

    #[test]
    fn what_is_looked_for_is_granted() {
        let sql = grants::relay_role(&SchemaName::default(), "relay");
        for (table, privilege) in PRIVILEGES {
            let granted = sql.lines().any(|line| {
                let on = line.split(" on ").nth(1).unwrap_or_default();
                line.contains(privilege) && on.contains(&format!(r#""outbox".{table}"#))
            });
            assert!(granted, "{privilege} on {table}");
        }
    }
}
