-- Messages that the broker refused for themselves, and those that wait behind one in their key.
--
-- A relay sets a message aside here before its checkpoint passes it, and never deletes a row: what
-- becomes of it is an operator's decision, and stays on record.
--
-- The texts may be of any length, since that may be what the broker refused: no index holds them.
create table {schema}.parked (
    relay         text        not null,
    system_id     text        not null,
    timeline      integer     not null,
    commit_lsn    pg_lsn      not null,
    index         bigint      not null,
    xid           bigint      not null,
    commit_time   timestamptz not null,
    id            uuid        not null,
    destination   text        not null,
    key           text,
    type          text        not null,
    content_type  text        not null,
    payload       bytea,
    headers       jsonb       not null,
    created_at    timestamptz not null,
    reason        text        not null,
    error         text        not null,
    attempts      integer     not null,
    blocks_key    boolean     not null,
    state         text        not null default 'waiting',
    parked_at     timestamptz not null default clock_timestamp(),
    actor         text,
    note          text,
    request       uuid        references {schema}.request (id),
    request_index bigint,
    replays       integer     not null default 0,
    settled_at    timestamptz,
    primary key (relay, system_id, commit_lsn, index),
    constraint parked_state_is_known
        check (state in ('waiting', 'replaying', 'replayed', 'skipped')),
    constraint parked_is_in_order_of_its_request
        check ((request is null) = (request_index is null)
               and (request_index is null or request_index between 0 and 2147483647)),
    constraint parked_counts_replays check (replays between 0 and 1000000000),
    constraint parked_goes_by_request
        check (state = 'waiting' or request is not null),
    constraint parked_without_a_key_blocks_none check (key is not null or not blocks_key)
);

-- Counts what a relay wrote here and in request: its checkpoint says how often, and a database that
-- knows of less was set back.
alter table {schema}.relay add column stuck_writes bigint not null default 0;

-- How processes that held a relay began and ended. One that is killed, or that a message kills, does
-- not say that it ends: the next finds that here, and what was tried then. Written when a relay
-- becomes active and when it ends, and for each batch only after two ends without a word.
alter table {schema}.relay
    add column started_by        uuid,
    add column started_system_id text,
    add column started_lsn       pg_lsn,
    add column started_index     bigint,
    add column started_sequence  bigint,
    add column ended_orderly     boolean not null default true,
    add column unclean_ends      integer not null default 0,
    add column tried_lsn         pg_lsn,
    add column tried_index       bigint,
    add column tried_id          uuid,
    add column tried_messages    bigint,
    add column tried_by          uuid[]  not null default '{}';

-- What a relay reads when it becomes active: one row a key, however many wait behind it.
create index parked_blocking on {schema}.parked (relay, system_id)
    where blocks_key and state in ('waiting', 'replaying');

-- How many wait, and why.
create index parked_open on {schema}.parked (relay, reason, parked_at)
    where state in ('waiting', 'replaying');

-- What an operator may choose from, in order.
create index parked_waiting on {schema}.parked (relay, system_id, commit_lsn, index)
    where state = 'waiting';

-- The messages of one request, in the order in which they are published.
create unique index parked_request on {schema}.parked (request, request_index)
    where request is not null;

-- The messages of one key; a hash may be of a text of any length.
create index parked_key on {schema}.parked using hash (key) where state in ('waiting', 'replaying');

-- A message that waits goes by a request, and by no other way: without its row later messages of its
-- key would overtake what waits behind it.
create function {schema}.keep_what_waits() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $outbox_body$
declare
    waits boolean := tg_op = 'DELETE';
begin
    if tg_op = 'TRUNCATE' then
        execute format('select exists (select from %I.%I where state in (''waiting'', ''replaying''))',
                       tg_table_schema, tg_table_name)
        into waits;
    end if;
    if waits then
        raise exception 'messages that wait are not to be deleted from %.%', tg_table_schema, tg_table_name
            using errcode = 'restrict_violation',
                  hint = 'publish them by "outbox-sidecar stuck replay", or give them up by '
                         '"outbox-sidecar stuck skip"; their rows may be deleted then, once those of '
                         'message are gone';
    end if;
    return old;
end
$outbox_body$;

create trigger parked_waits before delete on {schema}.parked
    for each row when (old.state in ('waiting', 'replaying'))
    execute function {schema}.keep_what_waits();
create trigger parked_waits_as_a_whole before truncate on {schema}.parked
    for each statement execute function {schema}.keep_what_waits();

comment on table {schema}.parked is
    'Messages set aside by relays: refused by the broker, or waiting behind one in their key.';
comment on column {schema}.parked.index is 'Its number within its transaction, from 0.';
comment on column {schema}.parked.attempts is 'How often the broker refused it.';
comment on column {schema}.parked.blocks_key is
    'The first message of its key that waits: later ones wait behind it.';
comment on column {schema}.parked.actor is 'Who asked for what became of it, or will.';
comment on column {schema}.parked.request is 'The last request that concerned it.';
comment on column {schema}.parked.request_index is 'Its number within that request, from 0.';
comment on column {schema}.parked.replays is 'How often its replay was asked for.';
comment on column {schema}.parked.settled_at is 'When it was replayed or skipped.';
comment on column {schema}.parked.state is 'waiting, replaying, replayed or skipped.';
comment on column {schema}.relay.started_by is 'The process that held the relay last, by a number of its own.';
comment on column {schema}.relay.started_lsn is 'The frontier from which it went on.';
comment on column {schema}.relay.started_sequence is
    'The number of the checkpoint that it found: one that got no further than a few did not run well.';
comment on column {schema}.relay.ended_orderly is 'Whether it said that it ends.';
comment on column {schema}.relay.unclean_ends is
    'How many processes in a row ended without a word before it.';
comment on column {schema}.relay.tried_id is
    'The first message of what was tried last, after such ends.';
comment on column {schema}.relay.tried_messages is 'How many messages were tried together.';
comment on column {schema}.relay.tried_by is
    'The processes that tried it and have not said since that they live.';
