use tokio_postgres::Error;

use super::Look;

/// PostgreSQL's own default of `logical_decoding_work_mem`. With less, transactions are written to the
/// server's disk while they are decoded that need not be.
const DECODING_KIBIBYTES_MIN: i64 = 64 * 1024;

impl Look<'_> {
    /// What the server keeps for the slot, in its log and in memory.
    pub(super) async fn log_limits(&mut self) -> Result<(), Error> {
        let sql = "select name, setting::int8, \
                          pg_catalog.current_setting(name), \
                          case unit when 'MB' then 1048576 when 'kB' then 1024 else 1 end::int8 \
                   from pg_catalog.pg_settings where name = any ($1)";
        let names = [
            "max_slot_wal_keep_size",
            "max_wal_size",
            "logical_decoding_work_mem",
            "idle_replication_slot_timeout",
        ];
        let rows = self.client.query(sql, &[&names.as_slice()]).await?;
        let mut limits = Limits::default();
        for row in rows {
            let limit = Limit {
                number: row.try_get(1)?,
                text: row.try_get(2)?,
                unit_bytes: row.try_get(3)?,
            };
            match row.try_get::<_, String>(0)?.as_str() {
                "max_slot_wal_keep_size" => limits.slot = limit,
                "max_wal_size" => limits.log = limit,
                "logical_decoding_work_mem" => limits.decoding = limit,
                _ => limits.idle = limit,
            }
        }
        self.kept_for_slots(&limits);
        self.decoding(&limits.decoding).await
    }

    fn kept_for_slots(&mut self, limits: &Limits) {
        let subject = "max_slot_wal_keep_size";
        let (slot, log) = (&limits.slot, &limits.log);
        if slot.number < 0 {
            self.findings.warning(
                subject,
                "without limit: while the relay or the broker is away, log piles up until the disk \
                 of the database is full",
                "alter system set max_slot_wal_keep_size = '100GB'; by what the disk can hold, and \
                 alert on outbox_slot_safe_wal_bytes",
            );
        } else if slot.bytes() < log.bytes() {
            self.findings.warning(
                subject,
                format!(
                    "{}, less than max_wal_size ({}): a short outage of the broker loses the slot",
                    slot.text, log.text
                ),
                "raise it to what the disk can hold, and alert on outbox_slot_safe_wal_bytes",
            );
        } else {
            self.findings.ok(subject, &slot.text);
        }
        if limits.idle.number > 0 {
            self.findings.warning(
                "idle_replication_slot_timeout",
                format!(
                    "a relay that is away for {} loses its slot",
                    limits.idle.text
                ),
                "alter system set idle_replication_slot_timeout = 0; or longer than any outage",
            );
        }
    }

    /// Transactions beyond this are written to disk, and read back at their commit.
    async fn decoding(&mut self, limit: &Limit) -> Result<(), Error> {
        let sql = "select spill_txns, pg_catalog.pg_size_pretty(spill_bytes) \
                   from pg_catalog.pg_stat_replication_slots where slot_name = $1";
        let slot = self.settings.slot();
        let spilled = match self.client.query_opt(sql, &[&slot]).await? {
            Some(row) => match row.try_get::<_, Option<i64>>(0)?.unwrap_or(0) {
                0 => "nothing was written to disk for it yet".to_owned(),
                count => format!(
                    "{count} larger transactions were written to disk for it, {} in all",
                    row.try_get::<_, Option<String>>(1)?.unwrap_or_default()
                ),
            },
            None => "the slot does not exist".to_owned(),
        };
        let (subject, text) = ("logical_decoding_work_mem", &limit.text);
        if limit.number < DECODING_KIBIBYTES_MIN {
            self.findings.warning(
                subject,
                format!("{text}, less than the default of 64MB; {spilled}"),
                "alter system set logical_decoding_work_mem = '64MB'; or for the relay alone: \
                 options='-c logical_decoding_work_mem=64MB' in postgres.url",
            );
        } else {
            self.findings.ok(subject, format!("{text}; {spilled}"));
        }
        Ok(())
    }
}

/// Settings that an older server does not have stand at zero.
#[derive(Debug, Default)]
struct Limits {
    slot: Limit,
    log: Limit,
    decoding: Limit,
    idle: Limit,
}

#[derive(Debug, Default)]
struct Limit {
    number: i64,
    text: String,
    unit_bytes: i64,
}

impl Limit {
    const fn bytes(&self) -> i64 {
        self.number.saturating_mul(self.unit_bytes)
    }
}
