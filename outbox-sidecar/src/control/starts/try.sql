-- Messages are tried now. A server that crashes may forget it: nobody waits for its disk.
with soon as (select set_config('synchronous_commit', 'off', true))
update {schema}.relay as r
set tried_by = case
        when (r.tried_lsn, r.tried_index, r.tried_id, r.tried_messages)
             = ($5::text::pg_lsn, $6::int8, $7::uuid, $9::int8)
            then array_remove(r.tried_by, $8)
        else '{}'
    end || $8::uuid,
    tried_lsn = $5::text::pg_lsn, tried_index = $6, tried_id = $7, tried_messages = $9
from soon
where {claim}
returning 1
