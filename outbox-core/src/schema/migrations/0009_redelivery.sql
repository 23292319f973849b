-- Messages that were published, and are to be published once more: a consumer lost its data.
--
-- They are copies, made in the transaction of the request that they belong to: their partition may be
-- dropped before the relay comes to it. What is published is deleted here by the relay; what was
-- left out stays, with the reason, until somebody deletes it.
create table {schema}.redelivery (
    request      uuid        not null references {schema}.request (id),
    number       bigint      not null,
    id           uuid        not null,
    destination  text        not null,
    key          text,
    type         text        not null,
    content_type text        not null,
    payload      bytea,
    headers      jsonb       not null,
    created_at   timestamptz not null,
    reason       text,
    error        text,
    primary key (request, number),
    constraint redelivery_is_in_order_of_its_request check (number between 0 and 2147483647),
    constraint redelivery_is_left_out_for_a_reason check ((reason is null) = (error is null))
);

-- By it is found what was set aside, and so never published.
create index parked_message on {schema}.parked (id);

comment on table {schema}.redelivery is
    'Messages to be published once more, and those of them that were left out.';
comment on column {schema}.redelivery.number is 'Its number within its request, from 0.';
comment on column {schema}.redelivery.destination is
    'Where it was published; it goes where its request says, if that says so.';
comment on column {schema}.redelivery.reason is
    'Why it was left out: refused, or set aside and so never published.';
