-- The keys that a request concerned, and where the first message of each stands that still waits.
select k.destination, k.key, b.commit_lsn::text, b.index
from (
    select distinct relay, system_id, destination, key
    from {schema}.parked
    where request = $1 and key is not null
) as k left join lateral (
    {first where blocks_key}
) as b on true
