-- The keys that a request concerned, and where the first message of each stands that still waits.
select k.destination, k.key, b.commit_lsn::text, b.index
from (
    select distinct relay, system_id, destination, key
    from {schema}.parked
    where request = $1 and key is not null
) as k left join lateral (
    select f.commit_lsn, f.index
    from (
        select commit_lsn, index
        from {schema}.parked
        where key = k.key and destination = k.destination
          and (relay, system_id) = (k.relay, k.system_id)
          and state in ('waiting', 'replaying') and blocks_key
        offset 0
    ) as f
    order by f.commit_lsn, f.index limit 1
) as b on true
