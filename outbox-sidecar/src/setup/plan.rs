use outbox_core::schema;

use super::InitOptions;
use super::roles::{app_role_sql, relay_role_sql};
use crate::config::Settings;
use crate::source::publication::create_statement;
use crate::source::quote::quote_literal;

/// One step of `init`, for an administrator who runs the SQL by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlannedStep {
    title: String,
    sql: String,
}

/// The SQL of `init`, in its separate steps. What follows it (rows older than the slot, checkpoint
/// topic, first checkpoint) needs `init` itself, which finds these steps done.
fn plan(settings: &Settings, options: &InitOptions) -> Vec<PlannedStep> {
    let mut steps: Vec<_> = schema::steps(&settings.schema)
        .into_iter()
        .map(|step| PlannedStep {
            title: step.title,
            sql: step.sql,
        })
        .collect();
    if let Some(role) = &options.relay_role {
        steps.push(PlannedStep {
            title: format!("role {role} of the relay"),
            sql: relay_role_sql(&settings.schema, role, settings.address.database()),
        });
    }
    if let Some(role) = &options.app_role {
        steps.push(PlannedStep {
            title: format!("role {role}, which enqueues"),
            sql: app_role_sql(&settings.schema, role, settings.address.database()),
        });
    }
    let filter = settings.row_filter.as_deref();
    steps.push(PlannedStep {
        title: "publication".to_owned(),
        sql: format!(
            "{};\n",
            create_statement(&settings.slot(), &settings.schema, filter)
        ),
    });
    steps.push(PlannedStep {
        title: "replication slot (init makes it anew, with a snapshot of what is older)".to_owned(),
        sql: format!(
            "select pg_create_logical_replication_slot({}, 'pgoutput');\n",
            quote_literal(&settings.slot())
        ),
    });
    steps
}

/// The steps as SQL, for `--print`.
pub(crate) fn print_plan(settings: &Settings, options: &InitOptions) -> String {
    plan(settings, options)
        .into_iter()
        .map(|step| format!("-- {}\n{}\n", step.title, step.sql))
        .collect()
}
