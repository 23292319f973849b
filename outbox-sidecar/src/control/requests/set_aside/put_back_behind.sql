-- What stands behind the first of those in its key waits, too.
with refused as (
    select distinct on (destination, key) destination, key, commit_lsn, index
    from {schema}.parked
    where request = $1 and request_index = any($2::int8[])
      and state = 'waiting' and blocks_key
    order by destination, key, commit_lsn, index
)
update {schema}.parked as p
set state = 'waiting'
from refused as r
where p.request = $1 and p.state = 'replaying'
  and p.key = r.key and p.destination = r.destination
  and (p.commit_lsn, p.index) > (r.commit_lsn, r.index)
