select f.relay, f.system_id, f.commit_lsn, f.index
from (
    select relay, system_id, commit_lsn, index
    from {schema}.parked
    where key = k.key and destination = k.destination
      and (relay, system_id) = (k.relay, k.system_id)
      and state in ('waiting', 'replaying') and {condition}
    offset 0 -- by its key: planned as one, the whole table would be read in its order
) as f
order by f.commit_lsn, f.index limit 1
