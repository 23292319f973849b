-- The inbox: what a consumer has acted on, so that it acts once on a message that comes again.
--
-- One plain table, because its primary key is what makes two transactions with one id meet, at every
-- isolation level. Range partitions by received_at would make forgetting cheap, but a unique index of
-- a partitioned table must hold the partition key: an id could be accepted once in each partition,
-- and a look into the others before the INSERT misses what the snapshot of a repeatable read
-- transaction does not show. Hash partitions would keep the key, but make forgetting no cheaper.
-- So rows are forgotten by deleting, oldest first, in bounded batches; ids of version 7 and times both
-- grow, so both indexes are written at their right edge and emptied from their left.
--
-- The collation is C: equal is what is the same bytes, whatever the operating system's next update
-- thinks of texts.
create table {schema}.inbox (
    consumer    text        collate "C" not null,
    message_id  uuid        not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (consumer, message_id),
    constraint inbox_consumer_has_a_name check (octet_length(consumer) between 1 and 255)
);

create index inbox_by_age on {schema}.inbox (received_at);

comment on table {schema}.inbox is
    'What each consumer has acted on: insert here in the transaction of the business change.';
comment on column {schema}.inbox.consumer is 'Who acts: one name for all instances of a consumer.';
comment on column {schema}.inbox.received_at is 'When it was accepted; forget_inbox goes by it.';

-- Forgets, oldest first, at most rows_max of what was accepted longer than older_than ago, and answers
-- how many: call it until it answers less than rows_max, each call in a transaction of its own.
--
-- What is forgotten and delivered again is acted on again. So the age has a floor that no caller can
-- go below, and a default that is longer than Kafka keeps a record by its own defaults (seven days,
-- and seven more until its segment is full); docs/inbox.md says how to find the right one. Callers at
-- once share the work. An accept never waits for it, except for one of the very id that is being
-- forgotten.
create function {schema}.forget_inbox(
    older_than interval default '15 days',
    rows_max   bigint   default 10000
) returns bigint
language plpgsql
security definer
set search_path = {schema}, pg_temp
as $outbox_body$
declare
    rows_forgotten bigint;
begin
    if older_than is null or older_than < interval '1 hour' then
        raise exception 'older_than must be 1 hour or more, not %',
            coalesce(older_than::text, 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'What is forgotten and delivered again is acted on again.';
    end if;
    if rows_max is null or rows_max < 1 then
        raise exception 'rows_max must be 1 or more, not %', coalesce(rows_max::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;

    delete from inbox
    where ctid = any (array(
        select ctid from inbox
        where received_at < clock_timestamp() - older_than
        order by received_at
        limit rows_max
        for update skip locked
    ));
    get diagnostics rows_forgotten = row_count;
    return rows_forgotten;
end
$outbox_body$;

comment on function {schema}.forget_inbox(interval, bigint) is
    'Forgets what was accepted long ago; call it daily.';
revoke execute on function {schema}.forget_inbox(interval, bigint) from public;
