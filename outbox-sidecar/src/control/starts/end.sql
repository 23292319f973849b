-- The process that holds the relay ends, or lets go, of its own will.
with soon as (select set_config('synchronous_commit', 'off', true))
update {schema}.relay as r
set ended_orderly = true,
    tried_by = case when $6 then '{}' else array_remove(r.tried_by, $5::uuid) end
from soon
where {claim} and r.started_by = $5::uuid
