-- What merely waits behind the messages of a request, in their keys, up to what was refused itself, or
-- was chosen and must wait, or belongs to a later request.
with keys as (
    {freed_keys}
), bounded as (
    select k.*, e.commit_lsn as end_lsn, e.index as end_index
    from keys as k left join lateral (
        {first where (commit_lsn, index) > (k.commit_lsn, k.index)
            and (state = 'replaying' or reason <> 'key-blocked' or request = $1)}
    ) as e on true
), followers as (
    select p.relay, p.system_id, p.commit_lsn, p.index
    from bounded as k join {schema}.parked as p
      on p.key = k.key and p.destination = k.destination
     and (p.relay, p.system_id) = (k.relay, k.system_id)
     and p.state in ('waiting', 'replaying') and p.state = 'waiting'
     and (p.commit_lsn, p.index) > (k.commit_lsn, k.index)
     and (k.end_lsn is null or (p.commit_lsn, p.index) < (k.end_lsn, k.end_index))
    order by p.commit_lsn, p.index
    limit $2
), numbered as (
    select f.*, row_number() over (order by f.commit_lsn, f.index) - 1 as number
    from followers as f
)
update {schema}.parked as p
set state = 'replaying', request = r.id, request_index = r.chosen + n.number,
    replays = p.replays + 1, actor = r.actor, note = r.note
from numbered as n, {schema}.request as r
where r.id = $1
  and (p.relay, p.system_id, p.commit_lsn, p.index)
      = (n.relay, n.system_id, n.commit_lsn, n.index)
