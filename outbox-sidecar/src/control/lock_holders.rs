use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::connection::bounded;
use super::failure_of;

/// Adds to a failure for want of a lock who holds one, as far as the server says. The transaction
/// that failed must be over.
pub(crate) async fn name_lock_holders(
    client: &Client,
    (schema, relay): (&SchemaName, &str),
    failure: SourceFailure,
) -> SourceFailure {
    if failure.kind != FailureKind::Locked {
        return failure;
    }
    let holders = match read(client, schema, relay).await {
        Ok(holders) if holders.is_empty() => "nobody holds a lock any more".to_owned(),
        Ok(holders) => holders.join("; "),
        Err(error) => format!("who holds the lock is not known: {error}"),
    };
    SourceFailure {
        kind: failure.kind,
        message: format!("{}: {holders}", failure.message),
    }
}

/// Who has changed or locked rows of stuck messages, and has not ended the transaction; the oldest
/// first.
async fn read(
    client: &Client,
    schema: &SchemaName,
    relay: &str,
) -> Result<Vec<String>, SourceFailure> {
    const DOING: &str = "asking who holds locks";
    let sql = "
        select a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
               to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        from pg_catalog.pg_stat_activity as a
        where a.pid <> pg_catalog.pg_backend_pid()
          and a.pid in (
              select l.pid from pg_catalog.pg_locks as l
              where l.granted and l.mode not in ('AccessShareLock', 'SIReadLock')
                and l.database = (select oid from pg_catalog.pg_database
                                  where datname = pg_catalog.current_database())
                and (l.relation in (pg_catalog.to_regclass('{schema}.parked'),
                                    pg_catalog.to_regclass('{schema}.request'),
                                    pg_catalog.to_regclass('{schema}.redelivery'),
                                    pg_catalog.to_regclass('{schema}.relay'))
                     or l.locktype = 'advisory' and l.objsubid = 1
                        and (l.classid::int8 << 32 | l.objid::int8)
                            = pg_catalog.hashtextextended(
                                  'requests of ' || $1::text || ' in ' || $2::text, 0))
          )
        order by a.xact_start limit 3";
    let sql = sql.replace("{schema}", &schema.quoted().replace('\'', "''"));
    let values: [&(dyn ToSql + Sync); 2] = [&relay, &schema.quoted()];
    let rows = bounded(DOING, client.query(&sql, &values)).await?;
    let read = |row: &Row| {
        let pid: i32 = row.try_get(0)?;
        let (role, application): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let since: Option<String> = row.try_get(3)?;
        let since = since.map_or(String::new(), |since| {
            format!(", in a transaction since {since}")
        });
        Ok(format!(
            "process {pid} of role {role} (application {application:?}{since}) holds locks there: end \
             its transaction, or call pg_terminate_backend({pid})"
        ))
    };
    let holders = rows.iter().map(read).collect::<Result<_, _>>();
    holders.map_err(|error: tokio_postgres::Error| failure_of(&error, DOING))
}
