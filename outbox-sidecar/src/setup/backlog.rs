use outbox_core::schema::SchemaName;
use tokio_postgres::Client;

use super::SetupError;

/// What to do with rows that are older than the slot: they never reach its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BacklogPolicy {
    /// Stop and say how many there are.
    Refuse,
    /// Send them through the log by inserting them anew, with the same ids.
    Publish,
    /// Leave them unpublished, and say how many.
    Skip,
}

/// Rows moved in one transaction. Small, so that the relay can start on them early and no lock is
/// held for long.
const ROWS_PER_TRANSACTION: i64 = 1000;

/// The rows that the slot's snapshot sees, and that its stream therefore never carries.
///
/// Lives in a transaction on that snapshot, so that a row's place in its table stays its own:
/// vacuum takes nothing away that the snapshot sees.
pub(crate) struct Backlog<'a> {
    snapshot: &'a Client,
    schema: &'a SchemaName,
    row_filter: Option<&'a str>,
}

impl<'a> Backlog<'a> {
    /// Adopts the snapshot that the slot's creation exported.
    pub(crate) async fn open(
        snapshot: &'a Client,
        snapshot_name: &str,
        schema: &'a SchemaName,
        row_filter: Option<&'a str>,
    ) -> Result<Self, SetupError> {
        let name = snapshot_name.replace('\'', "''");
        let sql = format!(
            "begin isolation level repeatable read read only; \
             set transaction snapshot '{name}'; set local statement_timeout = 0; \
             set local idle_in_transaction_session_timeout = 0"
        );
        snapshot
            .batch_execute(&sql)
            .await
            .map_err(|source| SetupError::sql("adopting the slot's snapshot", source))?;
        Ok(Self {
            snapshot,
            schema,
            row_filter,
        })
    }

    fn condition(&self) -> String {
        self.row_filter
            .map_or_else(String::new, |filter| format!(" where {filter}"))
    }

    /// How many rows of this relay are older than its slot.
    pub(crate) async fn count(&self) -> Result<u64, SetupError> {
        let sql = format!(
            "select count(*) from {}.message{}",
            self.schema.quoted(),
            self.condition()
        );
        let row = self
            .snapshot
            .query_one(&sql, &[])
            .await
            .map_err(|source| SetupError::sql("counting rows older than the slot", source))?;
        let count: i64 = row
            .try_get(0)
            .map_err(|source| SetupError::sql("counting old rows", source))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Inserts every such row anew and deletes the original in the same transaction: whoever kills
    /// us in between, each row is there once, and once in the stream.
    ///
    /// They go in the order of `created_at`: the order in which they once committed is not known.
    pub(crate) async fn publish(
        &self,
        writer: &mut Client,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, SetupError> {
        let error = |source| SetupError::sql("moving rows older than the slot", source);
        let declare = format!(
            "declare outbox_backlog no scroll cursor for \
             select tableoid::int8, ctid::text from {}.message{} order by created_at, tableoid, ctid",
            self.schema.quoted(),
            self.condition()
        );
        self.snapshot.batch_execute(&declare).await.map_err(error)?;
        let fetch = format!("fetch {ROWS_PER_TRANSACTION} from outbox_backlog");
        let mut moved = 0;
        loop {
            let rows = self.snapshot.query(&fetch, &[]).await.map_err(error)?;
            if rows.is_empty() {
                return Ok(moved);
            }
            let mut tables: Vec<i64> = Vec::with_capacity(rows.len());
            let mut places: Vec<String> = Vec::with_capacity(rows.len());
            for row in &rows {
                tables.push(row.try_get(0).map_err(error)?);
                places.push(row.try_get(1).map_err(error)?);
            }
            moved += writer
                .execute(&self.move_statement(), &[&tables, &places])
                .await
                .map_err(error)?;
            progress(moved);
        }
    }

    fn move_statement(&self) -> String {
        let columns = "id, destination, key, type, content_type, payload, headers, created_at";
        let returned = columns
            .split(", ")
            .map(|name| format!("m.{name}"))
            .collect::<Vec<_>>();
        format!(
            "with place (relation, row, number) as ( \
                 select relation::oid, place::tid, number \
                 from unnest($1::int8[], $2::text[]) with ordinality as old (relation, place, number) \
             ), taken as ( \
                 delete from {schema}.message as m using place as p \
                 where m.tableoid = p.relation and m.ctid = p.row \
                 returning {returned}, p.number \
             ) \
             insert into {schema}.message ({columns}) \
             select {columns} from taken order by number",
            schema = self.schema.quoted(),
            returned = returned.join(", ")
        )
    }

    /// Ends the transaction on the snapshot.
    pub(crate) async fn close(self) -> Result<(), SetupError> {
        self.snapshot
            .batch_execute("commit")
            .await
            .map_err(|source| SetupError::sql("closing the slot's snapshot", source))
    }
}
