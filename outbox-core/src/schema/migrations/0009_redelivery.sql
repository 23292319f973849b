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
    constraint redelivery_could_be_enqueued
        check (destination <> '' and isfinite(created_at)
               and headers @@ 'strict $.type() == "object"
                                      && !exists($.* ? (@.type() != "string"))'),
    constraint redelivery_is_left_out_for_a_reason check ((reason is null) = (error is null))
);

-- A request has the messages that it was written with, and no other.
create function {schema}.redeliver_what_is_asked_for_now() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $outbox_body$
declare
    of_others bigint;
begin
    execute format('select count(*) from added as a
                    where not exists (select from %I.request as r
                                      where r.id = a.request and r.kind = ''redeliver''
                                        and r.xid = pg_current_xact_id())', tg_table_schema)
    into of_others;
    if of_others > 0 then
        raise exception 'messages are redelivered with the request of their own transaction only'
            using errcode = 'restrict_violation';
    end if;
    return null;
end
$outbox_body$;

create trigger redelivery_goes_with_its_request after insert on {schema}.redelivery
    referencing new table as added
    for each statement execute function {schema}.redeliver_what_is_asked_for_now();

-- By it is found what was set aside, and so never published.
create index parked_message on {schema}.parked (id);

comment on table {schema}.redelivery is
    'Messages to be published once more, and those of them that were left out.';
comment on column {schema}.redelivery.number is 'Its number within its request, from 0.';
comment on column {schema}.redelivery.destination is
    'Where it was published; it goes where its request says, if that says so.';
comment on column {schema}.redelivery.reason is
    'Why it was left out: refused, or set aside and so never published.';
