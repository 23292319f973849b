-- What is left of the keys of a request holds them back from its first message on.
with keys as (
    select distinct on (p.destination, p.key)
           p.relay, p.system_id, p.destination, p.key, p.commit_lsn, p.index
    from {schema}.parked as p
    where p.request = $1 and p.state = 'replaying'
      and (p.destination, p.key) in (
          select b.destination, b.key from {schema}.parked as b
          where b.request = $1 and b.state = 'replaying' and b.blocks_key
      )
    order by p.destination, p.key, p.commit_lsn desc, p.index desc
), next as (
    select n.*
    from keys as k cross join lateral (
        select f.relay, f.system_id, f.commit_lsn, f.index
        from (
            select relay, system_id, commit_lsn, index
            from {schema}.parked
            where key = k.key and destination = k.destination
              and (relay, system_id) = (k.relay, k.system_id)
              and state in ('waiting', 'replaying')
              and (commit_lsn, index) > (k.commit_lsn, k.index)
            offset 0 -- by its key: planned as one, the whole table would be read in its order
        ) as f
        order by f.commit_lsn, f.index limit 1
    ) as n
)
update {schema}.parked as p
set blocks_key = true
from next as n
where (p.relay, p.system_id, p.commit_lsn, p.index)
      = (n.relay, n.system_id, n.commit_lsn, n.index)
