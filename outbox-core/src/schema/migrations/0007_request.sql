-- What operators ask of a relay: to publish messages that were set aside, to give them up, or to publish
-- once more what had been published.
--
-- A request is one row, and with it goes a logical message into the log, in the same transaction. So
-- the relay meets it between two messages of the outbox, at a position that its checkpoint covers:
-- it is carried out once, and nothing overtakes what it brings back. The rows that it concerns
-- carry its id.
create table {schema}.request (
    id           uuid        primary key default gen_random_uuid(),
    relay        text        not null,
    kind         text        not null,
    chosen       bigint      not null,
    destination  text,
    edited       boolean     not null default false,
    type         text,
    content_type text,
    payload      bytea,
    headers      jsonb,
    xid          xid8        not null default pg_current_xact_id() unique,
    actor        text        not null default session_user,
    role         text        not null default session_user,
    note         text,
    requested_at timestamptz not null default clock_timestamp(),

    state        text        not null default 'requested',
    system_id    text,
    commit_lsn   pg_lsn,
    index        bigint,
    taken        bigint,
    published    bigint      not null default 0,
    skipped      bigint      not null default 0,
    returned     bigint      not null default 0,
    finished_at  timestamptz,

    constraint request_kind_is_known check (kind in ('replay', 'skip', 'redeliver')),
    constraint request_state_is_known check (state in ('requested', 'begun', 'done')),
    constraint request_chooses_some check (chosen between 0 and 1000000),
    constraint request_edits_one_message
        check (not edited or chosen = 1 and type is not null and content_type is not null
               and headers is not null),
    constraint request_skips_as_it_is check (kind <> 'skip' or destination is null and not edited),
    constraint request_redelivers_as_it_was check (kind <> 'redeliver' or not edited)
);

-- What a relay finishes when it becomes active.
create index request_begun on {schema}.request (relay) where state = 'begun';

create function {schema}.emit_request() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $outbox_body$
begin
    perform pg_logical_emit_message(
        true,
        'outbox.request.' || new.relay,
        json_build_object('format', 1, 'id', new.id)::text
    );
    return null;
end
$outbox_body$;

create trigger request_goes_into_the_log after insert on {schema}.request
    for each row execute function {schema}.emit_request();

comment on table {schema}.request is
    'What operators ask of a relay; each row is also a message in the log.';
comment on column {schema}.request.chosen is
    'How many rows of parked, or of redelivery, it names; what waits behind them comes on top.';
comment on column {schema}.request.destination is
    'Where the chosen messages go instead of their own destination.';
comment on column {schema}.request.edited is
    'Whether type, content_type, payload and headers take the place of the chosen message''s own.';
comment on column {schema}.request.xid is
    'Its transaction, in which there is no other: what it brings back comes last there.';
comment on column {schema}.request.actor is 'Who asked, as they say.';
comment on column {schema}.request.role is 'Who asked, as the server knows them.';
comment on column {schema}.request.note is 'Why.';
comment on column {schema}.request.state is
    'requested, begun (its position is noted) or done.';
comment on column {schema}.request.taken is
    'How many messages it came to concern: chosen, and those behind them.';
comment on column {schema}.request.returned is
    'How many messages wait again: refused again, or behind one that was. Or were left out of a redelivery.';
