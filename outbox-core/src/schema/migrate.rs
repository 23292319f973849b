use super::SchemaName;
use super::connection::{Connection, DriverError};
use super::migrations::{MIGRATIONS, Migration};
use super::steps::{maintain_partitions_sql, upgrade_script};

/// Row filters of publications, which relays are made of, came with this version.
const SERVER_VERSION_MIN: u32 = 15;

/// How often another instance may win the race for a version before we give up: each time it has
/// brought the database at least one version further.
const RACES_MAX: usize = MIGRATIONS.len() + 1;

/// Why the outbox could not be brought to this crate's version. The database is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The server is too old.
    #[error("PostgreSQL {found} is too old for the outbox: it needs {SERVER_VERSION_MIN} or later")]
    ServerTooOld {
        /// The server's major version.
        found: u32,
    },
    /// A newer program has migrated this database.
    #[error(
        "the outbox in schema {schema} has version {found}, but this program knows versions up to \
         {known}: deploy a program with a newer outbox-core"
    )]
    Newer {
        /// Where the outbox lies.
        schema: SchemaName,
        /// The newest version applied.
        found: i32,
        /// The newest version known.
        known: i32,
    },
    /// An applied version is not the one this program would apply.
    #[error(
        "version {version} of the outbox in schema {schema} was applied as {found:?}, but this \
         program has {expected:?}: it was altered, or made by another build of outbox-core"
    )]
    Altered {
        /// Where the outbox lies.
        schema: SchemaName,
        /// The version that differs.
        version: i32,
        /// Its name and checksum in the database.
        found: String,
        /// Its name and checksum here.
        expected: String,
    },
    /// The version table holds what no version of this crate writes there.
    #[error("the version table of the outbox in schema {schema} cannot be read: {what}")]
    Unreadable {
        /// Where the outbox lies.
        schema: SchemaName,
        /// What was found.
        what: String,
    },
    /// The database refused, or could not be reached.
    #[error("the outbox in schema {schema} could not be migrated")]
    Database {
        /// Where the outbox lies.
        schema: SchemaName,
        /// The driver's error.
        source: DriverError,
    },
}

/// Brings the outbox in the schema `outbox` to this crate's version, and makes partitions ahead.
///
/// Idempotent and safe from any number of instances at once. All pending versions are applied in
/// one transaction of its own, or in the caller's when one is open on the connection. A role that
/// may not change the schema succeeds as long as nothing is pending; partitions are made when the
/// role may execute `maintain_partitions`.
///
/// # Errors
/// [`MigrateError`]; nothing is changed then.
///
/// ```no_run
/// # #[cfg(feature = "sqlx")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sqlx::Connection;
///
/// let mut connection = sqlx::PgConnection::connect("postgres://localhost/app").await?;
/// outbox_core::schema::migrate(&mut connection).await?;
/// # Ok(())
/// # }
/// ```
pub async fn migrate<C: Connection>(connection: C) -> Result<(), MigrateError> {
    migrate_in(connection, &SchemaName::default()).await
}

/// [`migrate`], for an outbox in another schema.
///
/// # Errors
/// [`MigrateError`]; nothing is changed then.
pub async fn migrate_in<C: Connection>(
    mut connection: C,
    schema: &SchemaName,
) -> Result<(), MigrateError> {
    let mut applied = read_applied(&mut connection, schema).await?;
    for _ in 0..RACES_MAX {
        let pending = pending(&applied, schema)?;
        if pending.is_empty() {
            break;
        }
        let Err(error) = run(&mut connection, schema, upgrade_script(schema, pending)).await else {
            break;
        };
        // Another instance may have been faster: then there is less left to do, or nothing.
        match read_applied(&mut connection, schema).await {
            Ok(now_applied) if now_applied.len() > applied.len() => applied = now_applied,
            _ => return Err(error),
        }
    }
    make_partitions(&mut connection, schema).await
}

/// A row of the version table.
#[derive(Debug, PartialEq, Eq)]
struct Applied {
    version: i32,
    name: String,
    checksum: String,
}

/// What is left to apply on top of `applied`.
fn pending(applied: &[Applied], schema: &SchemaName) -> Result<&'static [Migration], MigrateError> {
    for (index, row) in applied.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(index) else {
            return Err(MigrateError::Newer {
                schema: schema.clone(),
                found: applied.iter().map(|row| row.version).max().unwrap_or(0),
                known: MIGRATIONS
                    .iter()
                    .map(|known| known.version)
                    .max()
                    .unwrap_or(0),
            });
        };
        let checksum = migration.checksum();
        if (row.version, row.name.as_str(), row.checksum.as_str())
            != (migration.version, migration.name, checksum.as_str())
        {
            return Err(MigrateError::Altered {
                schema: schema.clone(),
                version: row.version,
                found: format!("{} {} {}", row.version, row.name, row.checksum),
                expected: format!("{} {} {checksum}", migration.version, migration.name),
            });
        }
    }
    Ok(MIGRATIONS.get(applied.len()..).unwrap_or_default())
}

/// The applied versions in order; none where there is no outbox yet.
async fn read_applied<C: Connection>(
    connection: &mut C,
    schema: &SchemaName,
) -> Result<Vec<Applied>, MigrateError> {
    let table = format!("{}.migration", schema.quoted());
    let facts = run(
        connection,
        schema,
        format!(
            "select current_setting('server_version_num'), (to_regclass({}) is not null)::text",
            super::name::quote_literal(&table)
        ),
    )
    .await?;
    let unreadable = |what: String| MigrateError::Unreadable {
        schema: schema.clone(),
        what,
    };
    let [Some(version), Some(exists)] = facts.first().map_or(&[][..], Vec::as_slice) else {
        return Err(unreadable(format!("the server answered {facts:?}")));
    };
    let found = version
        .parse::<u32>()
        .map_err(|_| unreadable(format!("server version {version:?}")))?
        / 10_000;
    if found < SERVER_VERSION_MIN {
        return Err(MigrateError::ServerTooOld { found });
    }
    if exists != "true" {
        return Ok(Vec::new());
    }
    let rows = run(
        connection,
        schema,
        format!("select version::text, name, checksum from {table} order by version"),
    )
    .await?;
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [Some(version), Some(name), Some(checksum)] => Ok(Applied {
                version: version
                    .parse()
                    .map_err(|_| unreadable(format!("version {version:?}")))?,
                name: name.clone(),
                checksum: checksum.clone(),
            }),
            _ => Err(unreadable(format!("row {row:?}"))),
        })
        .collect()
}

async fn make_partitions<C: Connection>(
    connection: &mut C,
    schema: &SchemaName,
) -> Result<(), MigrateError> {
    let function = format!("{}.maintain_partitions(integer, bigint)", schema.quoted());
    let permitted = run(
        connection,
        schema,
        format!(
            "select has_function_privilege({}, 'execute')::text",
            super::name::quote_literal(&function)
        ),
    )
    .await?;
    if permitted == [[Some("true".to_owned())]] {
        run(connection, schema, maintain_partitions_sql(schema)).await?;
    }
    Ok(())
}

async fn run<C: Connection>(
    connection: &mut C,
    schema: &SchemaName,
    sql: String,
) -> Result<super::connection::TextRows, MigrateError> {
    connection
        .run(sql)
        .await
        .map_err(|source| MigrateError::Database {
            schema: schema.clone(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(count: usize) -> Vec<Applied> {
        MIGRATIONS
            .iter()
            .take(count)
            .map(|migration| Applied {
                version: migration.version,
                name: migration.name.to_owned(),
                checksum: migration.checksum(),
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_pending() {
        let schema = SchemaName::default();
        for count in 0..=MIGRATIONS.len() {
            let pending = pending(&applied(count), &schema).unwrap();
            assert_eq!(pending.len(), MIGRATIONS.len() - count);
        }
    }

    #[test]
    fn newer_and_altered_databases_are_refused() {
        let schema = SchemaName::default();
        let mut rows = applied(MIGRATIONS.len());
        rows.push(Applied {
            version: 99,
            name: "later".to_owned(),
            checksum: "0".to_owned(),
        });
        let error = pending(&rows, &schema).unwrap_err();
        assert!(
            matches!(error, MigrateError::Newer { found: 99, .. }),
            "{error}"
        );

        let mut rows = applied(2);
        rows[1].checksum = "0".to_owned();
        let error = pending(&rows, &schema).unwrap_err();
        assert!(
            matches!(error, MigrateError::Altered { version: 2, .. }),
            "{error}"
        );

        let missing_first = applied(2).split_off(1);
        assert!(matches!(
            pending(&missing_first, &schema),
            Err(MigrateError::Altered { version: 2, .. })
        ));
    }
}
