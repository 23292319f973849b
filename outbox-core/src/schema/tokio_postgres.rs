use tokio_postgres::{Client, SimpleQueryMessage};

use super::connection::{Connection, DriverError, TextRows, sealed::Script};

impl Connection for &Client {}
impl Connection for &mut Client {}

impl Script for &Client {
    async fn run(&mut self, sql: String) -> Result<TextRows, DriverError> {
        text_rows(self, sql).await
    }
}

impl Script for &mut Client {
    async fn run(&mut self, sql: String) -> Result<TextRows, DriverError> {
        text_rows(self, sql).await
    }
}

async fn text_rows(client: &Client, sql: String) -> Result<TextRows, DriverError> {
    let messages = client.simple_query(&sql).await?;
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .map(|row| {
            (0..row.len())
                .map(|column| Ok(row.try_get(column)?.map(str::to_owned)))
                .collect()
        })
        .collect()
}
