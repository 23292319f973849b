//! Rights of the relay's role that are missing.

use super::Planted;

pub(super) const RIGHTS: &[Planted] = &[
    Planted {
        plant: &["alter role ROLE noreplication"],
        line: ("error", "role"),
        says: "has no REPLICATION attribute",
        mend: &["alter role ROLE replication"],
    },
    Planted {
        plant: &["revoke pg_read_all_stats from ROLE"],
        line: ("warning", "role"),
        says: "cannot see whether another relay's walsender still lives",
        mend: &["grant pg_read_all_stats to ROLE"],
    },
    Planted {
        plant: &["revoke update on outbox.relay from ROLE"],
        line: ("error", "privileges"),
        says: "no right to update (epoch, ",
        mend: &["grant update on outbox.relay to ROLE"],
    },
    Planted {
        plant: &["revoke update (reason) on outbox.redelivery from ROLE"],
        line: ("error", "privileges"),
        says: "no right to update (reason) on \"outbox\".redelivery",
        mend: &["grant update (reason) on outbox.redelivery to ROLE"],
    },
    Planted {
        plant: &["revoke insert on outbox.parked from ROLE"],
        line: ("error", "privileges"),
        says: "no right to insert (relay, ",
        mend: &["grant insert on outbox.parked to ROLE"],
    },
    Planted {
        plant: &["revoke usage on schema outbox from ROLE"],
        line: ("error", "table"),
        says: "may not use the schema",
        mend: &["grant usage on schema outbox to ROLE"],
    },
    Planted {
        plant: &[
            "revoke execute on function outbox.maintain_partitions(integer, bigint) from ROLE",
        ],
        line: ("error", "privileges"),
        says: "may not make partitions",
        mend: &["grant execute on function outbox.maintain_partitions(integer, bigint) to ROLE"],
    },
    Planted {
        plant: &["alter role ROLE set default_transaction_read_only = on"],
        line: ("error", "server"),
        says: "transactions are read-only",
        mend: &["alter role ROLE reset default_transaction_read_only"],
    },
];
