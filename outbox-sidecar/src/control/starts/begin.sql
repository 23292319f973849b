-- A process holds the relay from now on. The one before it counts as ended without a word if it did
-- not say so, is not this very process, and came no further than a few checkpoints. This process, if it
-- came further, has got past what ended those before it.
update {schema}.relay as r
set unclean_ends = case
        when r.ended_orderly or r.started_system_id <> $5 then 0
        when r.started_by = $8 and $9::int8 - r.started_sequence > $10::int8 then 0
        when r.started_by = $8 then r.unclean_ends
        when (r.started_lsn, r.started_index) = ($6::text::pg_lsn, $7::int8)
             or $9::int8 - r.started_sequence <= $10::int8
            then least(r.unclean_ends, 1000000) + 1
        else 1
    end,
    tried_by = case
        when r.started_system_id <> $5 then '{}'
        else array_remove(r.tried_by, $8)
    end,
    ended_orderly = false, started_by = $8, started_sequence = $9,
    started_system_id = $5, started_lsn = $6::text::pg_lsn, started_index = $7
where {claim}
returning r.unclean_ends, r.tried_lsn::text, r.tried_index, r.tried_id, cardinality(r.tried_by),
          r.tried_messages
