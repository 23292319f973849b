use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, ValueRef};

use super::connection::{Connection, DriverError, TextRows, sealed::Script};

impl Connection for &mut PgConnection {}
impl Connection for &mut PoolConnection<Postgres> {}

impl Script for &mut PgConnection {
    async fn run(&mut self, sql: String) -> Result<TextRows, DriverError> {
        text_rows(self, sql).await
    }
}

impl Script for &mut PoolConnection<Postgres> {
    async fn run(&mut self, sql: String) -> Result<TextRows, DriverError> {
        text_rows(self, sql).await
    }
}

async fn text_rows(connection: &mut PgConnection, sql: String) -> Result<TextRows, DriverError> {
    // The only text in it from outside is the schema's name, which is quoted.
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|column| {
                    let value = row.try_get_raw(column)?;
                    if value.is_null() {
                        Ok(None)
                    } else {
                        Ok(Some(value.as_str()?.to_owned()))
                    }
                })
                .collect()
        })
        .collect()
}
