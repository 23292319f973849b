-- What was not left out was published.
with published as (
    delete from {schema}.redelivery as d
    using {schema}.request as r
    where r.id = $1 and r.state <> 'done' and d.request = r.id and d.reason is null
    returning d.number
), counted as (
    select count(*) as published from published
)
update {schema}.request as r
set state = 'done', finished_at = clock_timestamp(), published = c.published,
    returned = greatest(coalesce(r.taken, r.chosen) - c.published, 0)
from counted as c
where r.id = $1 and r.state <> 'done'
