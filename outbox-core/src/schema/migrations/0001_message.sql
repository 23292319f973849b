-- The outbox. One row is one message, read by relays from the write-ahead log only.
--
-- No primary key: a relay needs none (it publishes inserts only), it would cost a tenth of the
-- write-ahead log of each enqueue, and an id enqueued twice is published twice by contract.
--
-- The checks refuse what no broker could ever take, while the caller can still be told.
create table {schema}.message (
    id           uuid        not null default gen_random_uuid(),
    destination  text        not null,
    key          text,
    type         text        not null,
    content_type text        not null default 'application/octet-stream',
    payload      bytea,
    headers      jsonb       not null default '{}',
    created_at   timestamptz not null default now(),
    constraint message_destination_is_1_to_249_bytes
        check (octet_length(destination) between 1 and 249),
    constraint message_type_is_1_to_255_bytes
        check (octet_length(type) between 1 and 255),
    constraint message_content_type_is_1_to_255_bytes
        check (octet_length(content_type) between 1 and 255),
    constraint message_headers_are_an_object_of_strings
        check (
            headers = '{}'
            or (
                jsonb_typeof(headers) = 'object'
                and not jsonb_path_exists(
                    headers,
                    '$.keyvalue() ? (@.value.type() != "string"
                                     || @.key like_regex "^(outbox-|content-type$|$)" flag "i")'
                )
            )
        ),
    constraint message_created_at_is_finite check (isfinite(created_at))
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
