use std::error::Error;
use std::time::Duration;

use super::Inbox;
use crate::schema::{Connection, Script};

/// How long an id is remembered unless somebody says otherwise: 15 days, longer than Kafka keeps a
/// record by its defaults (seven days, and seven more until its segment is full).
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);

/// No id is forgotten sooner: one hour. It stops slips, no more; what is right for a broker is longer.
/// The database refuses less, too.
pub const RETENTION_MIN: Duration = Duration::from_secs(3600);

/// How many ids one call of [`Inbox::forget`] forgets at most.
pub const FORGET_ROWS_MAX: u64 = 1_000_000;

/// How many are forgotten in one transaction: some tens of milliseconds.
const BATCH_ROWS_MAX: u64 = 10_000;

/// Why nothing more was forgotten. What was forgotten before the error stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// A message that is delivered again after so short a time would be acted on again. No SQL ran.
    #[error(
        "the inbox must remember for {} s at least, not {} s: what is forgotten and delivered again \
         is acted on again",
        RETENTION_MIN.as_secs(),
        older_than.as_secs()
    )]
    TooSoon {
        /// The age given.
        older_than: Duration,
    },
    /// The database refused or could not be reached.
    ///
    /// The source is the driver's own error, `sqlx::Error` or `tokio_postgres::Error`.
    #[error("the database did not forget what the inbox has held for long")]
    Database {
        /// The driver's error.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Inbox {
    /// Forgets, for every consumer and oldest first, what was accepted longer than `older_than` ago,
    /// and returns how many ids that were. Once it returns [`FORGET_ROWS_MAX`], there may be more:
    /// call it again.
    ///
    /// Each 10 000 ids are a transaction of their own, unless one is open on the connection. Any
    /// number of instances may call it at once, and accepts go on meanwhile. The role needs
    /// [`inbox_keeper_role`](crate::schema::grants::inbox_keeper_role).
    ///
    /// **What is forgotten and delivered again is acted on again**: `older_than` must be longer than
    /// anything that delivers again may reach back, see `docs/inbox.md`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlx")]
    /// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// use outbox_core::{Inbox, inbox};
    ///
    /// let mut connection = pool.acquire().await?;
    /// let ids = Inbox::new().forget(&mut connection, inbox::RETENTION_DEFAULT).await?;
    /// println!("{ids} ids forgotten");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ForgetError`]: less than [`RETENTION_MIN`], or the database refused.
    pub async fn forget<C: Connection>(
        &self,
        mut connection: C,
        older_than: Duration,
    ) -> Result<u64, ForgetError> {
        if older_than < RETENTION_MIN {
            return Err(ForgetError::TooSoon { older_than });
        }
        let mut forgotten = 0;
        while forgotten < FORGET_ROWS_MAX {
            let rows = self.forget_batch(&mut connection, older_than).await?;
            forgotten += rows;
            if rows < BATCH_ROWS_MAX {
                break;
            }
        }
        Ok(forgotten)
    }

    async fn forget_batch<C: Script>(
        &self,
        connection: &mut C,
        older_than: Duration,
    ) -> Result<u64, ForgetError> {
        // Rounded up: never sooner than asked.
        let seconds = older_than
            .as_secs()
            .saturating_add(u64::from(older_than.subsec_nanos() > 0));
        let function = &self.statements.forget;
        let sql = format!("{function}(interval '{seconds} seconds', {BATCH_ROWS_MAX})::text");
        let rows = connection
            .run(sql)
            .await
            .map_err(|source| ForgetError::Database { source })?;
        match rows.first().map(Vec::as_slice) {
            Some([Some(count)]) => count.parse().map_err(|error| ForgetError::Database {
                source: Box::new(error),
            }),
            _ => Err(ForgetError::Database {
                source: format!("forget_inbox answered {rows:?}").into(),
            }),
        }
    }
}
