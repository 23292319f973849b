//! The steps of a request about messages that were set aside: replay and skip.

use outbox_core::relay::{FinishedRequest, RefusedAgain, SourceFailure};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::refused_columns;
use super::step::Step;
use crate::control::stuck_rows::{key_after, skipped, unsigned};

/// What merely waits behind the messages of a request is taken along, so much of it: the rest waits
/// on, and whoever asked may ask again.
const TAKEN_ALONG_MAX: i64 = 10_000;

/// Of what is skipped so many messages are named, and so much of their texts.
const NAMED_MAX: i64 = 10_000;
/// See [`NAMED_MAX`].
const NAMED_CHARACTERS_MAX: i32 = 1000;

/// A statement with its fragments: the keys that a request sets free for `{freed_keys}`, and for each
/// `{first where CONDITION}` the first message of a key `k` that is not settled and fits.
fn whole(template: &str) -> String {
    const BEGIN: &str = "{first where ";
    let mut rest = template;
    let mut whole = String::with_capacity(2 * template.len());
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (condition, behind) = after.split_once('}').unwrap_or((after, ""));
        let first = include_str!("set_aside/first_of_key.sql");
        whole.push_str(before);
        whole.push_str(&first.replace("{condition}", condition));
        rest = behind;
    }
    whole.push_str(rest);
    whole.replace("{freed_keys}", include_str!("set_aside/freed_keys.sql"))
}

impl Step<'_> {
    /// What must wait on returned, what waits behind the others taken along.
    pub(super) async fn begin_with_set_aside(&self, id: Uuid) -> Result<(), SourceFailure> {
        let early = whole(include_str!("set_aside/return_early.sql"));
        self.change(&early, &[&id]).await?;
        let along = whole(include_str!("set_aside/take_along.sql"));
        self.change(&along, &[&id, &TAKEN_ALONG_MAX]).await?;
        let back = whole(include_str!("set_aside/hold_back.sql"));
        self.change(&back, &[&id]).await
    }

    /// Says which messages up to `through` are still to be published.
    pub(super) async fn put_back(
        &self,
        id: Uuid,
        refused: &[RefusedAgain],
        through: u32,
    ) -> Result<Vec<u32>, SourceFailure> {
        let (numbers, reasons, errors) = refused_columns(refused);
        let again: [&(dyn ToSql + Sync); 4] = [&id, &numbers, &reasons, &errors];
        let sql = whole(include_str!("set_aside/put_back.sql"));
        self.change(&sql, &again).await?;
        let behind = include_str!("set_aside/put_back_behind.sql");
        self.change(behind, &[&id, &numbers]).await?;
        let left = "select request_index from {schema}.parked
                    where request = $1 and state = 'replaying' and request_index <= $2";
        self.numbers(left, id, through).await
    }

    pub(super) async fn finish_set_aside(
        &self,
        id: Uuid,
    ) -> Result<FinishedRequest, SourceFailure> {
        let given_up = "select p.id, p.commit_lsn::text, p.index, left(p.destination, $2),
                               left(p.key, $2), p.reason
                        from {schema}.parked as p join {schema}.request as r on r.id = p.request
                        where r.id = $1 and r.kind = 'skip' and p.state = 'replaying'
                          and p.request_index < r.chosen
                        order by p.request_index limit $3";
        let given_up = self
            .rows(given_up, &[&id, &NAMED_CHARACTERS_MAX, &NAMED_MAX])
            .await?;
        self.change(include_str!("set_aside/settle.sql"), &[&id])
            .await?;
        self.change(include_str!("set_aside/finish.sql"), &[&id])
            .await?;
        let counts = "select published, skipped, returned from {schema}.request where id = $1";
        let counts = self.rows(counts, &[&id]).await?;
        let count = |index| counts.first().map_or(Ok(0), |row| unsigned(row, index));
        let keys = whole(include_str!("set_aside/keys.sql"));
        let keys = self.rows(&keys, &[&id]).await?;
        Ok(FinishedRequest {
            is_redelivery: false,
            published: count(0)?,
            skipped: count(1)?,
            skipped_messages: given_up.iter().map(skipped).collect::<Result<_, _>>()?,
            returned: count(2)?,
            keys: keys.iter().map(key_after).collect::<Result<_, _>>()?,
        })
    }
}
