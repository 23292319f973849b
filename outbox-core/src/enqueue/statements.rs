use std::sync::Arc;

use crate::schema::SchemaName;

/// The statements of one outbox: written once, shared by all clones.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(any(feature = "sqlx", feature = "tokio-postgres")),
    expect(dead_code, reason = "only drivers run statements")
)]
pub struct Statements {
    pub(super) insert: Arc<str>,
    pub(super) copy: Arc<str>,
}

impl Statements {
    pub(super) fn new(schema: &SchemaName) -> Self {
        let target = format!(
            "{}.message (id, destination, key, type, content_type, payload, headers)",
            schema.quoted()
        );
        Self {
            insert: format!("insert into {target} values ($1, $2, $3, $4, $5, $6, $7)").into(),
            copy: format!("copy {target} from stdin (format binary)").into(),
        }
    }
}
