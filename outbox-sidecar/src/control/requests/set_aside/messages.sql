-- The next messages of a request: so many, or so many bytes, one at least. What was chosen goes where,
-- and as, the request says; what waited behind it as it is, and not together with what goes elsewhere: the
-- one may be refused when the other is published already.
select l.number, l.commit_lsn, l.index, l.timeline, l.replays, l.id, l.destination, l.key, l.type,
       l.content_type, l.payload, l.headers, l.created_at, l.last_number, l.reason
from (
    select m.*, row_number() over (order by m.number) as place,
           sum(coalesce(octet_length(m.payload), 0)::bigint + octet_length(m.headers)
               + octet_length(m.destination) + coalesce(octet_length(m.key), 0)
               + octet_length(m.type) + octet_length(m.content_type)) over (order by m.number) as bytes
    from (
        select p.request_index as number, p.commit_lsn::text, p.index, p.timeline, p.replays, p.reason, p.id,
               case when p.request_index < r.chosen then coalesce(r.destination, p.destination)
                    else p.destination end as destination,
               p.key,
               case when p.request_index < r.chosen and r.edited then r.type
                    else p.type end as type,
               case when p.request_index < r.chosen and r.edited then r.content_type
                    else p.content_type end as content_type,
               case when p.request_index < r.chosen and r.edited then r.payload
                    else p.payload end as payload,
               case when p.request_index < r.chosen and r.edited then r.headers
                    else p.headers end::text as headers,
               p.created_at,
               (select max(request_index) from {schema}.parked
                where request = $1 and state = 'replaying') as last_number
        from {schema}.parked as p join {schema}.request as r on r.id = p.request
        where p.request = $1 and p.state = 'replaying' and p.request_index >= $2
          and not (r.kind = 'skip' and p.request_index < r.chosen)
          and (r.destination is null or $2 >= r.chosen or p.request_index < r.chosen)
        order by p.request_index
        limit $3
    ) as m
) as l
where l.place = 1 or l.bytes <= $4::int8
order by l.number
