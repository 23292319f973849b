//! The tables of the business; the outbox has its own, made by `outbox_core::schema`.

use sqlx::PgConnection;

/// Under a lock, because several instances may start at once. One script is one transaction.
const TABLES: &str = "
    select pg_advisory_xact_lock(hashtextextended('tables of the orders', 0));
    create table if not exists customer (
        name               text   primary key,
        open_premium_cents bigint not null,
        version            bigint not null
    );
    create table if not exists insurance_order (
        id            uuid   primary key,
        customer      text   not null references customer,
        product       text   not null,
        premium_cents bigint not null check (premium_cents > 0),
        state         text   not null check (state in ('open', 'cancelled'))
    );";

/// Makes the tables that are not there yet.
pub(crate) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(connection).await?;
    Ok(())
}
