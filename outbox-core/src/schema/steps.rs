use super::SchemaName;
use super::migrations::{MIGRATIONS, Migration, foundation_sql};

/// One piece of SQL that belongs in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does, in a few words.
    pub title: String,
    /// One or more statements, each ended by a semicolon.
    pub sql: String,
}

/// The version of the schema that this crate knows and [`migrate`](super::migrate) leads to: the
/// highest number in the table `migration` of a schema that is up to date.
pub const VERSION: usize = MIGRATIONS.len();

/// The SQL that makes an outbox in a database that has none: what [`migrate_in`](super::migrate_in)
/// runs, in order, for administrators who run it themselves. `migrate` then accepts it as its own.
///
/// ```
/// use outbox_core::schema::{self, SchemaName};
///
/// for step in schema::steps(&SchemaName::default()) {
///     println!("-- {}\n{}", step.title, step.sql);
/// }
/// ```
#[must_use]
pub fn steps(schema: &SchemaName) -> Vec<Step> {
    let mut steps = vec![Step {
        title: format!("schema {schema} and its version table"),
        sql: foundation_sql(schema),
    }];
    steps.extend(MIGRATIONS.iter().map(|migration| Step {
        title: format!("version {}: {}", migration.version, migration.name),
        sql: migration.sql(schema),
    }));
    steps.push(Step {
        title: "partitions ahead".to_owned(),
        sql: maintain_partitions_sql(schema),
    });
    steps
}

/// Makes partitions ahead, as many as the function's default says.
pub(super) fn maintain_partitions_sql(schema: &SchemaName) -> String {
    format!("select * from {}.maintain_partitions();\n", schema.quoted())
}

/// One script, run as one transaction, that brings the database from the version before
/// `pending`'s first to its last, while no other instance does the same.
pub(super) fn upgrade_script(schema: &SchemaName, pending: &[Migration]) -> String {
    let mut script = format!(
        "select pg_advisory_xact_lock(hashtextextended('outbox migrate ' || {}, 0));\n",
        schema.literal()
    );
    let from_nothing = pending.first().is_some_and(|first| first.version == 1);
    if from_nothing {
        script.push_str(&foundation_sql(schema));
    }
    for migration in pending {
        script.push_str(&migration.sql(schema));
        script.push('\n');
    }
    if from_nothing {
        // Before anyone can enqueue: later, today's partition would have to wait for a lock.
        script.push_str(&maintain_partitions_sql(schema));
    }
    script
}
