use tokio_postgres::Client;

use super::SetupError;

/// The oldest server with row filters.
pub(crate) const VERSION_MIN: i32 = 150_000;

/// The first server with failover slots.
const FAILOVER_VERSION_MIN: i32 = 170_000;

/// What the server can do for a relay.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerAbilities {
    pub(super) failover_slots: bool,
}

/// Makes sure that the server can feed a relay at all, before anything is made there.
pub(super) async fn require_fit_server(client: &Client) -> Result<ServerAbilities, SetupError> {
    let sql = "select pg_catalog.current_setting('server_version_num')::int, \
               pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery()";
    let failed = |source| SetupError::sql("asking the server what it can do", source);
    let row = client.query_one(sql, &[]).await.map_err(failed)?;
    let version: i32 = row.try_get(0).map_err(failed)?;
    let wal_level: String = row.try_get(1).map_err(failed)?;
    let in_recovery: bool = row.try_get(2).map_err(failed)?;
    if version < VERSION_MIN {
        return Err(SetupError::Unfit(format!(
            "PostgreSQL {} is too old: the relay needs 15 or later",
            version / 10_000
        )));
    }
    if in_recovery {
        return Err(SetupError::Unfit(
            "this server is a standby: name the primary in postgres.url".to_owned(),
        ));
    }
    if wal_level != "logical" {
        return Err(SetupError::Unfit(format!(
            "wal_level is {wal_level}, the relay needs logical: run `alter system set wal_level = \
             logical` and restart PostgreSQL"
        )));
    }
    Ok(ServerAbilities {
        failover_slots: version >= FAILOVER_VERSION_MIN,
    })
}
