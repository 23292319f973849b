use tokio_postgres::types::ToSql;

/// The values of a statement, in the order of their numbers.
#[derive(Default)]
pub(crate) struct Values(Vec<Box<dyn ToSql + Sync + Send>>);

impl Values {
    /// Adds a value, and says how the statement names it.
    pub(crate) fn add(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    /// As a statement takes them.
    pub(crate) fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|value| -> &(dyn ToSql + Sync) { value.as_ref() })
            .collect()
    }
}
