-- What became of a request.
update {schema}.request as r
set state = 'done', finished_at = clock_timestamp(), published = c.published, skipped = c.skipped,
    returned = greatest(coalesce(r.taken, r.chosen) - c.published - c.skipped, 0)
from (
    select count(*) filter (where state = 'replayed') as published,
           count(*) filter (where state = 'skipped') as skipped
    from {schema}.parked
    where request = $1
) as c
where r.id = $1 and r.state <> 'done'
