-- What is left of the keys of a request holds them back from its first message on.
with keys as (
    {freed_keys}
), next as (
    select n.*
    from keys as k cross join lateral (
        {first where (commit_lsn, index) > (k.commit_lsn, k.index)}
    ) as n
)
update {schema}.parked as p
set blocks_key = true
from next as n
where (p.relay, p.system_id, p.commit_lsn, p.index)
      = (n.relay, n.system_id, n.commit_lsn, n.index)
