-- enqueue for every language: call it in the transaction of the business change.
--
--     select outbox.enqueue(destination => 'orders', type => 'OrderPlaced', key => '42',
--                           payload => jsonb_build_object('total', 12), headers => '{"tenant":"7"}')
--
-- The overloads differ in the payload's type only. A literal without a type is taken as text and
-- stored as it is written, in UTF-8, whereas a literal given to a bytea column would have its
-- backslashes interpreted. payload has no default, so that a call always names one overload; null
-- is a tombstone.
--
-- They run with the rights of the caller: INSERT on the table is what permits enqueueing. The id is
-- made before the INSERT, because RETURNING would need SELECT too.
create function {schema}.enqueue(
    destination text, type text, payload bytea, key text default null,
    headers jsonb default '{}', content_type text default 'application/octet-stream'
) returns uuid
language plpgsql
as $outbox_body$
declare
    message_id constant uuid := pg_catalog.gen_random_uuid();
begin
    if headers @? '$.keyvalue() ? (@.key starts with "outbox-" || @.key == "content-type")' then
        raise exception 'outbox headers beginning with "outbox-", and "content-type", are reserved'
            using errcode = 'check_violation',
                  hint = 'Give the content type by the argument content_type.';
    end if;
    insert into {schema}.message (id, destination, key, type, content_type, payload, headers)
    values (message_id, $1, $4, $2, $6, $3, coalesce($5, '{}'));
    return message_id;
end
$outbox_body$;

-- The planner puts the bodies of these in place of their calls.
create function {schema}.enqueue(
    destination text, type text, payload jsonb, key text default null,
    headers jsonb default '{}', content_type text default 'application/json'
) returns uuid
return {schema}.enqueue($1, $2, convert_to($3::text, 'UTF8'), $4, $5, $6);

create function {schema}.enqueue(
    destination text, type text, payload json, key text default null,
    headers jsonb default '{}', content_type text default 'application/json'
) returns uuid
return {schema}.enqueue($1, $2, convert_to($3::text, 'UTF8'), $4, $5, $6);

create function {schema}.enqueue(
    destination text, type text, payload text, key text default null,
    headers jsonb default '{}', content_type text default 'text/plain; charset=utf-8'
) returns uuid
return {schema}.enqueue($1, $2, convert_to($3, 'UTF8'), $4, $5, $6);

revoke execute on function {schema}.enqueue(text, text, bytea, text, jsonb, text) from public;
revoke execute on function {schema}.enqueue(text, text, jsonb, text, jsonb, text) from public;
revoke execute on function {schema}.enqueue(text, text, json, text, jsonb, text) from public;
revoke execute on function {schema}.enqueue(text, text, text, text, jsonb, text) from public;
