-- Messages that were refused again wait, and hold their key back if that is in order at all.
with given as (
    select * from unnest($2::int8[], $3::text[], $4::text[]) as g (number, reason, error)
), keys as (
    select distinct p.relay, p.system_id, p.destination, p.key
    from given as g join {schema}.parked as p on p.request = $1 and p.request_index = g.number
    where p.key is not null
), blocked as (
    select k.*, b.commit_lsn, b.index
    from keys as k cross join lateral ({first where blocks_key}) as b
), ordered as (
    select g.number
    from given as g
    join {schema}.parked as p on p.request = $1 and p.request_index = g.number
    join blocked as b on b.key = p.key and b.destination = p.destination
    where (b.commit_lsn, b.index) <= (p.commit_lsn, p.index)
)
update {schema}.parked as p
set state = 'waiting', attempts = p.attempts + 1, reason = g.reason, error = g.error,
    blocks_key = p.blocks_key or g.number in (select number from ordered)
from given as g
where p.request = $1 and p.request_index = g.number and p.state = 'replaying'
