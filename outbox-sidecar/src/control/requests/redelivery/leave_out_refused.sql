-- Messages that were refused are left out, and stay with what the broker said.
update {schema}.redelivery as d
set reason = g.reason, error = g.error
from unnest($2::int8[], $3::text[], $4::text[]) as g (number, reason, error)
where d.request = $1 and d.number = g.number and d.reason is null
