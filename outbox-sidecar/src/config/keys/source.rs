//! Which relay this is, and where it reads.

use super::super::key::Key;

pub(super) const KEYS: &[Key] = &[
    Key::text(
        "relay.name",
        "1 to 50 lower-case letters, digits and _ (slots allow no others)",
        "names slot, publication and all else: [Names](#names)",
    ),
    Key::list(
        "relay.destinations",
        "at least one pattern, such as \"*\" or \"policy-*\"",
        "destinations this relay carries, `*` standing for any text; they become the publication's row \
         filter. A change needs a new set-up: `remove --yes`, then `init`",
    )
    .or("*"),
    Key::text(
        "relay.shard",
        "i/n with i below n, and n at most 1024, such as 0/1",
        "carries the keys that hash to `i` of `n`, each shard being a relay with a name of its own. Rows \
         without a key spread over all shards by their id. Changing `n` for running relays is not \
         supported yet",
    )
    .or("0/1"),
    Key::text(
        "postgres.url",
        "a PostgreSQL URL such as postgres://relay@db/app",
        "libpq URL or keywords: [PostgreSQL](#postgresql). Required, unless `PGHOST`, `PGHOSTADDR` or \
         `PGSERVICE` is set",
    )
    .secret(),
    Key::text(
        "postgres.url_file",
        "a file that holds such a URL",
        "in the place of the URL",
    ),
    Key::text(
        "postgres.password_file",
        "a file that holds the password",
        "read anew for each connection; wins over all other passwords",
    ),
    Key::text(
        "postgres.schema",
        "the name of a schema",
        "where the outbox lies",
    )
    .or("outbox"),
    Key::truth(
        "postgres.failover_slot",
        "makes the slot a failover slot where the server has them (17 and later)",
    )
    .or("true"),
];
