//! The tables of the business; the inbox is made by `outbox_core::schema`.

use sqlx::PgConnection;

/// Under a lock, because several instances may start at once. One script is one transaction.
///
/// Nothing here would stop an event from being settled twice: that is the inbox's business.
const TABLES: &str = "
    select pg_advisory_xact_lock(hashtextextended('tables of the settlements', 0));
    create table if not exists account (
        customer      text   primary key,
        settled_cents bigint not null
    );
    create table if not exists settlement (
        number     bigint generated always as identity primary key,
        message_id uuid   not null,
        order_id   uuid   not null,
        customer   text   not null,
        cents      bigint not null
    );
    create table if not exists parked_event (
        topic           text        not null,
        topic_partition integer     not null,
        topic_offset    bigint      not null,
        key             bytea,
        payload         bytea,
        headers         jsonb       not null,
        reason          text        not null,
        parked_at       timestamptz not null default now(),
        primary key (topic, topic_partition, topic_offset)
    );";

/// Makes the tables that are not there yet.
pub(crate) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(connection).await?;
    Ok(())
}
