-- Where relays keep their checkpoint whose broker has no place that is written with the messages.
alter table {schema}.relay
    add column checkpoint          text,
    add column checkpoint_sequence bigint,
    add constraint relay_checkpoint_as_a_whole
        check ((checkpoint is null) = (checkpoint_sequence is null));

comment on column {schema}.relay.checkpoint is
    'The newest checkpoint of a relay to RabbitMQ or stdout; null where the broker keeps it.';
comment on column {schema}.relay.checkpoint_sequence is
    'Its number: the next may only be written over it, and under the newest epoch.';
