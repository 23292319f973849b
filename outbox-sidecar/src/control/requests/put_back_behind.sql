-- What stands behind one of those in its key waits, too.
update {schema}.parked as p
set state = 'waiting'
from {schema}.parked as refused
where refused.request = $1 and refused.request_index = any($2::int8[])
  and refused.state = 'waiting' and refused.blocks_key
  and p.request = $1 and p.state = 'replaying'
  and p.key = refused.key and p.destination = refused.destination
  and (p.commit_lsn, p.index) > (refused.commit_lsn, refused.index)
