use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::support::Database;

/// Plays the relay's part: carries requests out, one after the other, until it is dropped.
pub(super) struct Relay(JoinHandle<()>);

/// What it does with a request: a statement about the chosen rows of request `$1`, which answers
/// with what it published, skipped and returned; `$2` is how many followers it takes along at most.
const CARRY_OUT: &str = "
    with due as (
        select r.id, r.kind from outbox.request as r
        where r.state = 'requested' order by r.xid limit 1
    ), refused as (
        select distinct p.destination, p.key from outbox.parked as p join due on p.request = due.id
        where p.error = 'refused for ever' and due.kind = 'replay'
    ), chosen as (
        select p.id as message, due.kind,
               refused.key is not null
                   or p.error = 'refused for ever' and due.kind = 'replay' as returns
        from outbox.parked as p join due on p.request = due.id and p.state = 'replaying'
             left join refused on (refused.destination, refused.key) = (p.destination, p.key)
    ), followers as (
        select message from (
            select f.id as message, row_number() over (partition by f.key order by f.commit_lsn, f.index) as n
            from outbox.parked as f
            where f.state = 'waiting' and f.reason = 'key-blocked'
              and f.key in (select p.key from chosen join outbox.parked as p on p.id = chosen.message
                            where not returns)) as f
        where n <= $1
    ), settled as (
        update outbox.parked as p
        set state = case when chosen.returns then 'waiting'
                         when chosen.kind = 'skip' then 'skipped' else 'replayed' end,
            attempts = p.attempts + chosen.returns::int, settled_at = now()
        from chosen where p.id = chosen.message
        returning p.state
    ), taken_along as (
        update outbox.parked as p
        set state = 'replayed', request = due.id, settled_at = now(),
            request_index = 100000 + (p.commit_lsn - '0/0'::pg_lsn)::int8 + p.index
        from followers, due where p.id = followers.message
        returning p.state
    ), outcomes as (
        select state from settled union all select state from taken_along
    )
    update outbox.request as r
    set state = 'done', finished_at = now(),
        published = (select count(*) from outcomes where state = 'replayed'),
        skipped = (select count(*) from outcomes where state = 'skipped'),
        returned = (select count(*) from outcomes where state = 'waiting')
    from due where r.id = due.id";

impl Relay {
    /// Takes so many messages along that merely wait.
    pub(super) async fn start(database: &Database, followers_max: i64) -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let client: Client = server
            .connect(server.superuser(), &database.name)
            .await
            .unwrap();
        Self(tokio::spawn(async move {
            loop {
                client.execute(CARRY_OUT, &[&followers_max]).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
