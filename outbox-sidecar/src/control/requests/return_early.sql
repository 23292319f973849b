-- Chosen messages that stand behind one of their key that waits, for nobody or for a later request:
-- they wait on.
with keys as (
    select distinct p.relay, p.system_id, p.destination, p.key
    from {schema}.parked as p
    where p.request = $1 and p.state = 'replaying' and p.key is not null
), blocked as (
    select k.*, b.commit_lsn, b.index
    from keys as k cross join lateral (
        select f.commit_lsn, f.index
        from (
            select commit_lsn, index
            from {schema}.parked
            where key = k.key and destination = k.destination
              and (relay, system_id) = (k.relay, k.system_id)
              and state in ('waiting', 'replaying') and blocks_key
            offset 0 -- by its key: planned as one, the whole table would be read in its order
        ) as f
        order by f.commit_lsn, f.index limit 1
    ) as b
), earlier as (
    select k.relay, k.system_id, k.destination, k.key, e.commit_lsn, e.index
    from blocked as k cross join lateral (
        select f.commit_lsn, f.index
        from (
            select commit_lsn, index
            from {schema}.parked
            where key = k.key and destination = k.destination
              and (relay, system_id) = (k.relay, k.system_id)
              and state in ('waiting', 'replaying') and request is distinct from $1
              and (commit_lsn, index) >= (k.commit_lsn, k.index)
            offset 0
        ) as f
        order by f.commit_lsn, f.index limit 1
    ) as e
)
update {schema}.parked as p
set state = 'waiting'
from earlier as e
where p.request = $1 and p.state = 'replaying'
  and p.key = e.key and p.destination = e.destination
  and (p.commit_lsn, p.index) > (e.commit_lsn, e.index)
