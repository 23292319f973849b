-- Makes the missing daily partitions (UTC) from today to days_ahead days ahead, and moves the rows
-- that the default partition caught into partitions of their own.
--
-- A day that begins more than an hour from now gets its partition by ATTACH alone, which enqueues
-- do not notice (CREATE TABLE ... PARTITION OF would lock the parent exclusively). For every other
-- day a row may be on its way into the default partition right now: PostgreSQL would refuse it once
-- the partition is attached, and the business transaction with it. So the parent is locked first:
-- enqueues wait, for 200 ms at most until the lock is had and then for the move, and go where they
-- belong. When the lock is not to be had, the day is left for the next call.
--
-- A moved row is not published again: it is inserted into a table that is not a partition yet, and
-- logical decoding judges each change by the catalogs as they were at that change. An INSERT
-- through the parent would be one more message.
--
-- default_rows_max bounds the move. Days with more rows are left and counted in default_rows_left;
-- a call with a higher limit moves them.
create function {schema}.maintain_partitions(
    days_ahead       integer default 7,
    default_rows_max bigint  default 10000,
    out partitions_created integer,
    out partitions_ahead   integer,
    out default_rows_moved bigint,
    out default_rows_left  bigint
)
returns record
language plpgsql
security definer
set search_path = {schema}, pg_temp
set timezone = 'UTC'
set lock_timeout = '30s'
as $outbox_body$
declare
    today          date := clock_timestamp()::date;
    day            date;
    rows_found     bigint;
    may_be_in_use  boolean;
    rows_moved     bigint;
    partition_name text;
begin
    if days_ahead is null or days_ahead not between 0 and 366 then
        raise exception 'days_ahead must be 0 to 366, not %', coalesce(days_ahead::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if default_rows_max is null or default_rows_max < 0 then
        raise exception 'default_rows_max must be 0 or more, not %',
            coalesce(default_rows_max::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;

    partitions_created := 0;
    default_rows_moved := 0;

    -- One maintainer at a time; a second one finds nothing left to do.
    perform pg_advisory_xact_lock(
        hashtextextended('outbox partitions of ' || 'message'::regclass::oid, 0));
    -- While a lock is waited for, enqueues queue up behind.
    perform set_config('lock_timeout', '200ms', true);

    for day, rows_found, may_be_in_use in
        select wanted.day,
               coalesce(caught.rows_found, 0),
               caught.rows_found is not null
                   or wanted.day::timestamptz < clock_timestamp() + interval '1 hour'
        from (
            select today + ahead as day from generate_series(0, days_ahead) as ahead
            union
            select distinct created_at::date from message_default where isfinite(created_at)
        ) as wanted
        left join (
            select created_at::date as day, count(*) as rows_found
            from message_default
            group by 1
        ) as caught using (day)
        -- A lock lasts until the end of the transaction: first what needs none on the parent.
        order by 3, 1
    loop
        partition_name := 'message_' || to_char(day, 'YYYYMMDD');
        continue when to_regclass(partition_name) is not null;
        continue when rows_found > default_rows_max - default_rows_moved;

        begin
            if may_be_in_use then
                lock table only message in access exclusive mode;
            end if;
            execute format('create table %I (like message including all)', partition_name);
            execute format(
                'with caught as (
                     delete from message_default where created_at >= %2$L and created_at < %3$L
                     returning *
                 )
                 insert into %1$I select * from caught',
                partition_name, day::timestamptz, (day + 1)::timestamptz);
            get diagnostics rows_moved = row_count;
            execute format(
                'alter table message attach partition %I for values from (%L) to (%L)',
                partition_name, day::timestamptz, (day + 1)::timestamptz);

            partitions_created := partitions_created + 1;
            default_rows_moved := default_rows_moved + rows_moved;
        exception
            -- Busy (someone holds the default partition), a range that a partition of the
            -- operator's own covers, a date at the end of time, or a foreign publication that
            -- publishes deletes: none of these may stop the other days.
            when lock_not_available
                or invalid_object_definition
                or datetime_field_overflow
                or object_not_in_prerequisite_state then
                raise warning 'no outbox partition made for %: %', day, sqlerrm;
        end;
    end loop;

    select count(*) into partitions_ahead
    from generate_series(1, 366) as ahead
    where not exists (
        select from generate_series(1, ahead) as earlier
        where to_regclass('message_' || to_char(today + earlier, 'YYYYMMDD')) is null
    );
    select count(*) into default_rows_left from message_default;
end
$outbox_body$;

comment on function {schema}.maintain_partitions(integer, bigint) is
    'Makes partitions ahead and empties the default one; call it daily.';
revoke execute on function {schema}.maintain_partitions(integer, bigint) from public;
