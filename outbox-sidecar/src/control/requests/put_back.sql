-- Messages that were refused again wait, and hold their key back if that is in order at all.
update {schema}.parked as p
set state = 'waiting', attempts = p.attempts + 1, reason = g.reason, error = g.error,
    blocks_key = p.blocks_key or exists (
        select from {schema}.parked as b
        where b.key = p.key and b.destination = p.destination
          and (b.relay, b.system_id) = (p.relay, p.system_id)
          and b.state in ('waiting', 'replaying') and b.blocks_key
          and (b.commit_lsn, b.index) <= (p.commit_lsn, p.index)
    )
from unnest($2::int8[], $3::text[], $4::text[]) as g (number, reason, error)
where p.request = $1 and p.request_index = g.number and p.state = 'replaying'
