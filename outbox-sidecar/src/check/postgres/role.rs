use outbox_core::schema::grants::RELAY_RIGHTS;
use tokio_postgres::Error;

use super::Look;

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
        let user = self.settings.address.user();
        // Columns that are not there are the schema's fault, and said by it.
        let sql = "select coalesce(not pg_catalog.has_table_privilege(t.oid, $2), false), \
                          array(select a.attname::text from pg_catalog.pg_attribute as a \
                                where a.attrelid = t.oid and a.attname = any ($3) \
                                  and not pg_catalog.has_column_privilege(t.oid, a.attnum, $2) \
                                order by a.attnum) \
                   from (select to_regclass($1)::oid) as t (oid)";
        let mut missing = false;
        for right in RELAY_RIGHTS {
            let (table, privilege) = (format!("{schema}.{}", right.table), right.privilege);
            let row = self
                .client
                .query_one(sql, &[&table, &privilege, &right.columns])
                .await?;
            let (lacks_table, columns): (bool, Vec<String>) = (row.try_get(0)?, row.try_get(1)?);
            let by_column = !right.columns.is_empty();
            if !lacks_table || by_column && columns.is_empty() {
                continue;
            }
            missing = true;
            let columns = if by_column {
                format!(" ({})", columns.join(", "))
            } else {
                String::new()
            };
            self.findings.error(
                "privileges",
                format!("{user} has no right to {privilege}{columns} on {table}"),
                format!("grant {privilege}{columns} on {table} to {user}"),
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
        if !missing && may_execute {
            self.findings.ok("privileges", format!("{user} has all"));
        }
        Ok(())
    }
}
