-- All that waits in the keys of a request: an operator who chooses among it has done so, or waits.
select count(*)
from (
    select
    from {schema}.parked as p
    where p.state in ('waiting', 'replaying')
      and p.key in (select o.key from {schema}.parked as o where o.request = $1)
      and (p.relay, p.system_id, p.destination) in (
          select o.relay, o.system_id, o.destination
          from {schema}.parked as o where o.request = $1
      )
    order by p.commit_lsn, p.index
    for update
) as locked
