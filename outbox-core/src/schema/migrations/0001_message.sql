-- The outbox. One row is one message, read by relays from the write-ahead log only.
--
-- No primary key: a relay needs none (it publishes inserts only), it would cost a tenth of the
-- write-ahead log of each enqueue, and an id enqueued twice is published twice by contract.
create table {schema}.message (
    id           uuid        not null default gen_random_uuid(),
    destination  text        not null,
    key          text,
    type         text        not null,
    content_type text        not null default 'application/octet-stream',
    payload      bytea,
    headers      jsonb       not null default '{}',
    created_at   timestamptz not null default now(),
    -- One check for both, because each one costs every INSERT about a microsecond, and only what no
    -- sink could ever publish: a relay isolates the rest.
    constraint message_has_a_destination_and_headers_of_strings
        check (destination <> ''
               and headers @@ 'strict $.type() == "object"
                                      && !exists($.* ? (@.type() != "string"))')
) partition by range (created_at);

comment on table {schema}.message is
    'Transactional outbox: insert here in the transaction of the business change.';
comment on column {schema}.message.destination is 'Topic, queue or stream.';
comment on column {schema}.message.key is 'Messages of one key keep their order; null has none.';
comment on column {schema}.message.payload is 'Null is a tombstone.';
comment on column {schema}.message.headers is
    'Object of strings; names beginning with outbox- and content-type are reserved.';

-- Catches what no other partition takes, so that no enqueue fails for a missing partition.
-- Rows in it are an alarm; maintain_partitions moves them.
create table {schema}.message_default partition of {schema}.message default;
