//! What the roles have, to the last right: one too many fails here.

use testbed::PostgresServer;
use tokio_postgres::Client;

use super::Roles;

/// What a role is and belongs to.
const ATTRIBUTES: &str = "
    select concat_ws(' ',
        case when rolsuper then 'superuser' end, case when rolinherit then 'inherit' end,
        case when rolcreaterole then 'createrole' end, case when rolcreatedb then 'createdb' end,
        case when rolcanlogin then 'login' end, case when rolreplication then 'replication' end,
        case when rolbypassrls then 'bypassrls' end, rolconfig::text)
    from pg_roles where rolname = $1
    union all
    select 'member of ' || g.rolname || case when m.admin_option then ' with admin option' else '' end
    from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
    where r.rolname = $1
    union all
    select 'owns ' || d.classid::regclass || ' ' || d.objid
    from pg_shdepend d join pg_roles r on d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
    where r.rolname = $1 and d.deptype = 'o'";

/// What it may do with all that is not PostgreSQL's own, by whichever way it may: granted, inherited, or
/// everybody's.
const RIGHTS: &str = "
    with relation as (
        select c.oid, c.oid::regclass::text as name, c.relkind
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    ), on_table as (
        select r.oid, r.name, p.privilege from relation r
        cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references',
                                'trigger']) as p (privilege)
        where r.relkind in ('r', 'p', 'v', 'm', 'f') and has_table_privilege($1, r.oid, p.privilege)
    ), on_column as (
        select r.name, p.privilege, string_agg(a.attname, ', ' order by a.attname) as columns
        from relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
        cross join unnest(array['select', 'insert', 'update', 'references']) as p (privilege)
        where r.relkind in ('r', 'p', 'v', 'm', 'f')
          and has_column_privilege($1, r.oid, a.attnum, p.privilege)
          and not exists (select from on_table t where t.oid = r.oid and t.privilege = p.privilege)
        group by 1, 2
    )
    select privilege || ' ' || name from on_table
    union all
    select privilege || ' ' || name || ' (' || columns || ')' from on_column
    union all
    select p.privilege || ' sequence ' || r.name from relation r
    cross join unnest(array['usage', 'select', 'update']) as p (privilege)
    where r.relkind = 'S' and has_sequence_privilege($1, r.oid, p.privilege)
    union all
    select 'execute ' || f.oid::regprocedure from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and f.prorettype <> 'trigger'::regtype
      and has_function_privilege($1, f.oid, 'execute')
    union all
    select p.privilege || ' schema ' || n.nspname from pg_namespace n
    cross join unnest(array['usage', 'create']) as p (privilege)
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and has_schema_privilege($1, n.oid, p.privilege)
    union all
    select p.privilege || ' database' from unnest(array['connect', 'create', 'temporary']) as p (privilege)
    where has_database_privilege($1, current_database(), p.privilege)
    union all
    select 'create tablespace ' || spcname from pg_tablespace
    where has_tablespace_privilege($1, oid, 'create')
    union all
    select 'of its own on ' || d.classid::regclass || ' ' || d.objid
    from pg_shdepend d join pg_roles r on d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
    where r.rolname = $1 and d.deptype <> 'o'
      and not (d.deptype = 'a'
               and d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass,
                                 'pg_database'::regclass))
    order by 1";

/// What everybody has who may connect: PostgreSQL's defaults.
const EVERYBODYS: [&str; 3] = [
    "connect database",
    "temporary database",
    "usage schema public",
];

async fn texts(client: &Client, sql: &str, role: &str) -> Vec<String> {
    let rows = client.query(sql, &[&role]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn has_exactly(client: &Client, role: &str, attributes: &[&str], rights: &[&str]) {
    assert_eq!(texts(client, ATTRIBUTES, role).await, attributes, "{role}");
    let mut expected: Vec<_> = rights.iter().chain(&EVERYBODYS).copied().collect();
    expected.sort_unstable();
    let mut found = texts(client, RIGHTS, role).await;
    found.sort_unstable();
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, expected, "{role}");
}

const RELAYS: [&str; 17] = [
    "usage schema outbox",
    "select outbox.message",
    "select outbox.message_default",
    "select outbox.migration",
    "select outbox.relay",
    "update outbox.relay (checkpoint, checkpoint_sequence, ended_orderly, epoch, held_at, held_exit_code, \
     held_reason, started_by, started_index, started_lsn, started_sequence, started_system_id, stuck_writes, \
     tried_by, tried_id, tried_index, tried_lsn, tried_messages, unclean_ends, updated_at)",
    "select outbox.parked",
    "insert outbox.parked (attempts, blocks_key, commit_lsn, commit_time, content_type, created_at, \
     destination, error, headers, id, index, key, payload, reason, relay, system_id, timeline, type, xid)",
    "update outbox.parked (actor, attempts, blocks_key, error, note, reason, replays, request, request_index, \
     settled_at, state)",
    "select outbox.request",
    "insert outbox.request (actor, chosen, content_type, destination, edited, headers, id, kind, note, \
     payload, relay, type)",
    "update outbox.request (commit_lsn, finished_at, index, published, returned, skipped, state, system_id, \
     taken)",
    "select outbox.redelivery",
    "insert outbox.redelivery (content_type, created_at, destination, headers, id, key, number, payload, \
     request, type)",
    "update outbox.redelivery (error, reason)",
    "delete outbox.redelivery",
    "execute outbox.maintain_partitions(integer,bigint)",
];

const APPS: [&str; 7] = [
    "usage schema outbox",
    "insert outbox.message",
    "select outbox.migration",
    "execute outbox.enqueue(text,text,bytea,text,jsonb,text)",
    "execute outbox.enqueue(text,text,json,text,jsonb,text)",
    "execute outbox.enqueue(text,text,jsonb,text,jsonb,text)",
    "execute outbox.enqueue(text,text,text,text,jsonb,text)",
];

#[tokio::test]
async fn init_gives_each_role_exactly_what_it_needs() {
    let postgres = PostgresServer::start().await.unwrap();
    let roles = Roles::on(&postgres).await;
    let admin = roles.admin().await;
    let business = "create table business (id int); create sequence numbers";
    admin.batch_execute(business).await.unwrap();
    let relay = ["inherit login replication", "member of pg_read_all_stats"];
    let app = ["inherit login"];
    for _ in 0..2 {
        has_exactly(&admin, &roles.relay, &relay, &RELAYS).await;
        has_exactly(&admin, &roles.app, &app, &APPS).await;
        // What an earlier build granted goes with the next init.
        let more = format!(
            "grant insert, update on outbox.relay, outbox.parked, outbox.request, outbox.redelivery to {}",
            roles.relay
        );
        admin.batch_execute(&more).await.unwrap();
        let again = [
            "--admin-url",
            &roles.admin_url,
            "--relay-role",
            &roles.relay,
        ];
        roles.scenario.init(&again).await;
    }

    // One right too many is seen, whoever has it.
    for (plant, mend) in [
        (
            "grant select on business to R",
            "revoke select on business from R",
        ),
        (
            "grant update (id) on business to R",
            "revoke update (id) on business from R",
        ),
        (
            "grant select on business to public",
            "revoke select on business from public",
        ),
        (
            "grant usage on sequence numbers to R",
            "revoke usage on sequence numbers from R",
        ),
        (
            "grant create on schema outbox to R",
            "revoke create on schema outbox from R",
        ),
    ] {
        let run = async |sql: &str| {
            let sql = sql.replace(" R", &format!(" {}", roles.relay));
            admin.batch_execute(&sql).await.unwrap();
        };
        let before = texts(&admin, RIGHTS, &roles.relay).await;
        run(plant).await;
        assert_eq!(
            texts(&admin, RIGHTS, &roles.relay).await.len(),
            before.len() + 1,
            "{plant}"
        );
        run(mend).await;
    }
}
