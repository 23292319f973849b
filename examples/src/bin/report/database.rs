//! The tables of the business; the inbox is made by `outbox_core::schema`.

use sqlx::PgConnection;

/// Under a lock, because several instances may start at once. One script is one transaction.
///
/// Nothing here would stop a report from being made twice: that is the inbox's business.
const TABLES: &str = "
    select pg_advisory_xact_lock(hashtextextended('tables of the reports', 0));
    create table if not exists report (
        number     bigint generated always as identity primary key,
        report_id  uuid   not null,
        message_id uuid   not null,
        customer   text   not null,
        month      text   not null check (month ~ '^[0-9]{4}-[0-9]{2}$'),
        text       text   not null
    );";

/// Makes the tables that are not there yet.
pub(crate) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(connection).await?;
    Ok(())
}
