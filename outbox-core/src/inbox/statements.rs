use std::sync::Arc;

use crate::schema::SchemaName;

/// The statements of one inbox: written once, shared by all clones.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(any(feature = "sqlx", feature = "tokio-postgres")),
    expect(dead_code, reason = "only drivers run statements")
)]
pub struct Statements {
    /// Tells by the number of rows whether the id is new.
    pub(super) accept: Arc<str>,
    /// Returns the ids that are new. An INSERT takes rows in the order in which it is given them.
    pub(super) accept_all: Arc<str>,
    pub(super) forget: Arc<str>,
}

impl Statements {
    pub(super) fn new(schema: &SchemaName) -> Self {
        let schema = schema.quoted();
        let insert = format!("insert into {schema}.inbox (consumer, message_id)");
        // Waits for a transaction that is about to insert the same key, and fails under repeatable
        // read when the one that is there is not in the snapshot.
        let once = "on conflict (consumer, message_id) do nothing";
        Self {
            accept: format!("{insert} values ($1, $2) {once}").into(),
            accept_all: format!(
                "{insert} select $1, id from unnest($2) as id {once} returning message_id"
            )
            .into(),
            forget: format!("select {schema}.forget_inbox").into(),
        }
    }
}
