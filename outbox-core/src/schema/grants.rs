//! The rights that a service, a consumer and a relay need, as SQL text.

mod relay;

use super::SchemaName;
use super::name::quote_identifier;

pub use relay::{RELAY_RIGHTS, TableRight, relay_role};

/// Lets `role` enqueue, and nothing else: it cannot read, change or delete a message.
///
/// With the right to read which versions are applied, so that the service may call
/// [`migrate`](super::migrate) where nothing is pending.
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::app_role(&SchemaName::default(), "shop");
/// assert!(sql.contains(r#"grant insert on "outbox".message to "shop";"#));
/// ```
#[must_use]
pub fn app_role(schema: &SchemaName, role: &str) -> String {
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    let mut sql = format!(
        "grant usage on schema {schema} to {role};\n\
         grant insert on {schema}.message to {role};\n\
         grant select on {schema}.migration to {role};\n"
    );
    for payload in ["jsonb", "json", "text", "bytea"] {
        sql.push_str(&format!(
            "grant execute on function {schema}.enqueue(text, text, {payload}, text, jsonb, text) \
             to {role};\n"
        ));
    }
    sql
}

/// Lets `role` see what is set aside, and ask a relay to replay or to skip it, and nothing else. It
/// cannot hide that it asked: the server writes down its name.
///
/// It may not read the outbox; for `redeliver` it must: [`redelivering_role`].
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::operator_role(&SchemaName::default(), "on_call");
/// assert!(sql.contains(r#"grant select on "outbox".parked"#));
/// ```
#[must_use]
pub fn operator_role(schema: &SchemaName, role: &str) -> String {
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    format!(
        "grant usage on schema {schema} to {role};\n\
         grant select on {schema}.parked, {schema}.request, {schema}.relay, {schema}.migration \
         to {role};\n\
         grant insert (id, relay, kind, chosen, destination, edited, type, content_type, payload, \
         headers, actor, note) on {schema}.request to {role};\n\
         grant update (state, request, request_index, replays, actor, note) on {schema}.parked \
         to {role};\n"
    )
}

/// Lets `role`, which has the rights of an [`operator_role`], ask a relay to publish once more what had
/// been published. It reads the whole outbox, and what it asks for is published as it says.
///
/// It makes a temporary table: the right to that (TEMPORARY on the database) everybody has, unless it
/// was revoked.
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::redelivering_role(&SchemaName::default(), "on_call");
/// assert!(sql.contains(r#"grant select on "outbox".message"#));
/// ```
#[must_use]
pub fn redelivering_role(schema: &SchemaName, role: &str) -> String {
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    format!(
        "grant select on {schema}.message, {schema}.redelivery to {role};\n\
         grant insert (request, number, id, destination, key, type, content_type, payload, headers, \
         created_at) on {schema}.redelivery to {role};\n"
    )
}

/// Lets `role` accept messages in the inbox and read what was accepted; it can neither forget nor
/// date what it accepts.
///
/// With the right to read which versions are applied, as for [`app_role`]. A service that consumes
/// and publishes needs both. Forgetting is another decision: [`inbox_keeper_role`].
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::consumer_role(&SchemaName::default(), "settlement");
/// assert!(sql.contains(r#"grant select, insert (consumer, message_id) on "outbox".inbox"#));
/// ```
#[must_use]
pub fn consumer_role(schema: &SchemaName, role: &str) -> String {
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    format!(
        "grant usage on schema {schema} to {role};\n\
         grant select, insert (consumer, message_id) on {schema}.inbox to {role};\n\
         grant select on {schema}.migration to {role};\n"
    )
}

/// Lets `role` forget what the inbox has held for long enough, and nothing else. It forgets for all
/// consumers of the inbox, so give it to the one job that does that.
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::inbox_keeper_role(&SchemaName::default(), "housekeeping");
/// assert!(sql.contains(r#"grant execute on function "outbox".forget_inbox(interval, bigint)"#));
/// ```
#[must_use]
pub fn inbox_keeper_role(schema: &SchemaName, role: &str) -> String {
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    format!(
        "grant usage on schema {schema} to {role};\n\
         grant execute on function {schema}.forget_inbox(interval, bigint) to {role};\n"
    )
}
