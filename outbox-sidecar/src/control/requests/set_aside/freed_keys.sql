select distinct on (p.destination, p.key)
       p.relay, p.system_id, p.destination, p.key, p.commit_lsn, p.index
from {schema}.parked as p
where p.request = $1 and p.state = 'replaying'
  and (p.destination, p.key) in (
      select b.destination, b.key from {schema}.parked as b
      where b.request = $1 and b.state = 'replaying' and b.blocks_key
  )
order by p.destination, p.key, p.commit_lsn desc, p.index desc
