-- A process lives: what it tried has not ended it. That is true whoever holds the relay by now.
with soon as (select set_config('synchronous_commit', 'off', true))
update {schema}.relay as r
set tried_by = array_remove(r.tried_by, $2::uuid)
from soon
where r.name = $1 and $2 = any (r.tried_by)
