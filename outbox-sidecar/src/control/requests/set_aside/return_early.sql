-- Chosen messages that stand behind one of their key that waits, for nobody or for a later request:
-- they wait on.
with keys as (
    select distinct p.relay, p.system_id, p.destination, p.key
    from {schema}.parked as p
    where p.request = $1 and p.state = 'replaying' and p.key is not null
), blocked as (
    select k.*, b.commit_lsn, b.index
    from keys as k cross join lateral ({first where blocks_key}) as b
), earlier as (
    select k.relay, k.system_id, k.destination, k.key, e.commit_lsn, e.index
    from blocked as k cross join lateral (
        {first where request is distinct from $1
            and (commit_lsn, index) >= (k.commit_lsn, k.index)}
    ) as e
)
update {schema}.parked as p
set state = 'waiting'
from earlier as e
where p.request = $1 and p.state = 'replaying'
  and p.key = e.key and p.destination = e.destination
  and (p.commit_lsn, p.index) > (e.commit_lsn, e.index)
