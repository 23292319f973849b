use super::super::SchemaName;
use super::super::name::{quote_identifier, quote_literal};

/// What a role may do with one of the outbox's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRight {
    /// `select`, `insert`, `update` or `delete`.
    pub privilege: &'static str,
    /// The table, without its schema.
    pub table: &'static str,
    /// Empty: the table as a whole.
    pub columns: &'static [&'static str],
}

const fn whole(privilege: &'static str, table: &'static str) -> TableRight {
    TableRight {
        privilege,
        table,
        columns: &[],
    }
}

/// All that a relay's role may do with the tables: what `run` does, and the commands for an operator that
/// use the relay's configuration.
///
/// By column where rows are not the relay's to make or to rewrite: what `init` noted, what a message
/// was when it was set aside, who asked for a request.
pub const RELAY_RIGHTS: &[TableRight] = &[
    whole("select", "message"),
    whole("select", "message_default"),
    whole("select", "migration"),
    whole("select", "relay"),
    TableRight {
        privilege: "update",
        table: "relay",
        columns: &[
            "epoch",
            "updated_at",
            "held_exit_code",
            "held_reason",
            "held_at",
            "checkpoint",
            "checkpoint_sequence",
            "stuck_writes",
            "started_by",
            "started_system_id",
            "started_lsn",
            "started_index",
            "started_sequence",
            "ended_orderly",
            "unclean_ends",
            "tried_lsn",
            "tried_index",
            "tried_id",
            "tried_messages",
            "tried_by",
        ],
    },
    whole("select", "parked"),
    TableRight {
        privilege: "insert",
        table: "parked",
        columns: &[
            "relay",
            "system_id",
            "timeline",
            "commit_lsn",
            "index",
            "xid",
            "commit_time",
            "id",
            "destination",
            "key",
            "type",
            "content_type",
            "payload",
            "headers",
            "created_at",
            "reason",
            "error",
            "attempts",
            "blocks_key",
        ],
    },
    TableRight {
        privilege: "update",
        table: "parked",
        columns: &[
            "state",
            "reason",
            "error",
            "attempts",
            "blocks_key",
            "request",
            "request_index",
            "replays",
            "actor",
            "note",
            "settled_at",
        ],
    },
    whole("select", "request"),
    TableRight {
        privilege: "insert",
        table: "request",
        columns: &[
            "id",
            "relay",
            "kind",
            "chosen",
            "destination",
            "edited",
            "type",
            "content_type",
            "payload",
            "headers",
            "actor",
            "note",
        ],
    },
    TableRight {
        privilege: "update",
        table: "request",
        columns: &[
            "state",
            "system_id",
            "commit_lsn",
            "index",
            "taken",
            "published",
            "skipped",
            "returned",
            "finished_at",
        ],
    },
    whole("select", "redelivery"),
    TableRight {
        privilege: "insert",
        table: "redelivery",
        columns: &[
            "request",
            "number",
            "id",
            "destination",
            "key",
            "type",
            "content_type",
            "payload",
            "headers",
            "created_at",
        ],
    },
    TableRight {
        privilege: "update",
        table: "redelivery",
        columns: &["reason", "error"],
    },
    whole("delete", "redelivery"),
];

/// Lets `role` do what a running relay does in the schema, and nothing else: [`RELAY_RIGHTS`], and make
/// partitions. What earlier builds granted beyond is taken back, except from whom the tables belong to: it is
/// its own. The attribute REPLICATION and the broker are not part of it.
///
/// ```
/// use outbox_core::schema::{SchemaName, grants};
///
/// let sql = grants::relay_role(&SchemaName::default(), "relay");
/// assert!(sql.contains(r#"grant update (reason, error) on "outbox".redelivery to "relay";"#));
/// ```
#[must_use]
pub fn relay_role(schema: &SchemaName, role: &str) -> String {
    let name = quote_literal(role);
    let (schema, role) = (schema.quoted(), quote_identifier(role));
    let table = quote_literal(&format!("{schema}.relay"));
    let mut sql = format!(
        "grant usage on schema {schema} to {role};\n\
         do $outbox$ begin\n\
         if not (select pg_has_role({name}, relowner, 'usage') from pg_class where oid = {table}::regclass) then\n\
         revoke insert, update on {schema}.relay, {schema}.parked, {schema}.request, \
         {schema}.redelivery from {role};\n\
         end if;\n\
         end $outbox$;\n"
    );
    for right in RELAY_RIGHTS {
        let columns = match right.columns {
            [] => String::new(),
            columns => format!(" ({})", columns.join(", ")),
        };
        let TableRight {
            privilege, table, ..
        } = right;
        sql.push_str(&format!(
            "grant {privilege}{columns} on {schema}.{table} to {role};\n"
        ));
    }
    sql.push_str(&format!(
        "grant execute on function {schema}.maintain_partitions(integer, bigint) to {role};\n"
    ));
    sql
}
