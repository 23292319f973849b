//! Names that no other test uses.

use uuid::Uuid;

/// `prefix` with a random suffix of twelve hexadecimal digits, valid as an unquoted identifier of
/// PostgreSQL, a Kafka topic and a relay's name when `prefix` is.
#[must_use]
pub fn name(prefix: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}", random.get(..12).unwrap_or(&random))
}
