use outbox_core::schema::{SchemaName, grants};
use tokio_postgres::Client;

use super::SetupError;
use crate::source::quote::{quote_identifier, quote_literal};

/// The statements that make the relay's role, if it is missing, and give it what it needs.
///
/// In one transaction: a relay that runs meanwhile never lacks what is revoked and granted anew.
pub(super) fn relay_role_sql(schema: &SchemaName, role: &str, database: &str) -> String {
    format!(
        "begin;\n\
         {make}\
         alter role {quoted} replication;\n\
         grant connect on database {database} to {quoted};\n\
         grant pg_read_all_stats to {quoted};\n\
         {grants}\
         commit;\n",
        make = make_role_sql(role),
        quoted = quote_identifier(role),
        database = quote_identifier(database),
        grants = grants::relay_role(schema, role)
    )
}

/// The statements that make the service's role, if it is missing, and let it enqueue.
pub(super) fn app_role_sql(schema: &SchemaName, role: &str, database: &str) -> String {
    format!(
        "{make}\
         grant connect on database {database} to {quoted};\n\
         {grants}",
        make = make_role_sql(role),
        quoted = quote_identifier(role),
        database = quote_identifier(database),
        grants = grants::app_role(schema, role)
    )
}

fn make_role_sql(role: &str) -> String {
    let (name, quoted) = (quote_literal(role), quote_identifier(role));
    format!(
        "do $outbox$ begin\n\
         if not exists (select from pg_catalog.pg_roles where rolname = {name}) then\n\
         create role {quoted} login;\n\
         end if;\n\
         end $outbox$;\n"
    )
}

/// Makes the relay's role and the service's, where they are missing, and grants what they need.
pub(super) async fn grant_roles(
    client: &Client,
    schema: &SchemaName,
    database: &str,
    relay_role: Option<&str>,
    app_role: Option<&str>,
) -> Result<(), SetupError> {
    if let Some(role) = relay_role {
        client
            .batch_execute(&relay_role_sql(schema, role, database))
            .await
            .map_err(|source| SetupError::sql("granting rights to the relay's role", source))?;
    }
    if let Some(role) = app_role {
        client
            .batch_execute(&app_role_sql(schema, role, database))
            .await
            .map_err(|source| SetupError::sql("granting rights to the service's role", source))?;
    }
    Ok(())
}
