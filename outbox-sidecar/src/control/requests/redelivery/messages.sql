-- The next messages of a redelivery: so many, or so many bytes, one at least. The columns are those of
-- the messages of a replay; where they stand in the commit order is not known.
select l.number, null::text, null::int8, null::int4, 1::int4, l.id, l.destination, l.key, l.type,
       l.content_type, l.payload, l.headers, l.created_at, l.last_number, ''::text
from (
    select m.*, row_number() over (order by m.number) as place,
           sum(coalesce(octet_length(m.payload), 0)::bigint + octet_length(m.headers)
               + octet_length(m.destination) + coalesce(octet_length(m.key), 0)
               + octet_length(m.type) + octet_length(m.content_type)) over (order by m.number) as bytes
    from (
        select d.number, d.id, coalesce(r.destination, d.destination) as destination, d.key, d.type,
               d.content_type, d.payload, d.headers::text as headers,
               d.created_at,
               (select max(number) from {schema}.redelivery
                where request = $1 and reason is null) as last_number
        from {schema}.redelivery as d join {schema}.request as r on r.id = d.request
        where d.request = $1 and d.reason is null and d.number >= $2
        order by d.number
        limit $3
    ) as m
) as l
where l.place = 1 or l.bytes <= $4::int8
order by l.number
