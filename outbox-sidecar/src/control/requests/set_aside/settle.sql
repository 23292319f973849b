-- What is still being replayed was published, or was to be skipped.
update {schema}.parked as p
set state = case when r.kind = 'skip' and p.request_index < r.chosen then 'skipped'
                 else 'replayed' end,
    settled_at = clock_timestamp()
from {schema}.request as r
where r.id = $1 and p.request = r.id and p.state = 'replaying'
