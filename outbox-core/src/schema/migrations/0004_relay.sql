-- One row a relay: what init did, who may write for it, and why it is held.
create table {schema}.relay (
    name                    text        primary key,
    slot                    text,
    publication             text,
    destinations            text[],
    shard                   text,
    sink                    text,
    delivery                text,
    epoch                   bigint      not null default 0,
    system_id               text,
    timeline                integer,
    consistent_point        pg_lsn,
    backlog_settled_at      timestamptz,
    genesis_written_at      timestamptz,
    publication_fingerprint text,
    held_exit_code          integer,
    held_reason             text,
    held_at                 timestamptz,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    constraint relay_held_as_a_whole
        check ((held_exit_code is null) = (held_reason is null)
           and (held_exit_code is null) = (held_at is null))
);

comment on table {schema}.relay is 'One row a relay, written by init, run and recover.';
comment on column {schema}.relay.epoch is
    'Grows with each activation: what an older activation writes is refused.';
comment on column {schema}.relay.consistent_point is
    'Where the slot began: everything committed later is in its stream.';
comment on column {schema}.relay.genesis_written_at is
    'Set once the first checkpoint is durable: from then on a missing one is an error.';
comment on column {schema}.relay.held_reason is
    'Why the relay publishes nothing until recover clears it.';
