use outbox_core::MessageId;
use uuid::Uuid;

use super::Values;

/// The conditions on a row's columns that must all hold: its `id` is one of these, and each named
/// column has one of its values. What has no values holds.
pub(crate) fn conditions(
    row: char,
    ids: &[MessageId],
    columns: &[(&str, &Vec<String>)],
    values: &mut Values,
) -> Vec<String> {
    let mut conditions = vec!["true".to_owned()];
    if !ids.is_empty() {
        let ids: Vec<Uuid> = ids.iter().copied().map(Uuid::from).collect();
        conditions.push(format!("{row}.id = any({}::uuid[])", values.add(ids)));
    }
    for (column, texts) in columns {
        if !texts.is_empty() {
            let texts = values.add((*texts).clone());
            conditions.push(format!("{row}.{column} = any({texts}::text[])"));
        }
    }
    conditions
}
