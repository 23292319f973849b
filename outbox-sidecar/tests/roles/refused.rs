//! What the roles may not do: the server refuses each.

use testbed::PostgresServer;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::Roles;

/// What neither role may do. `SLOT` is the relay's slot and publication, `SELF` the role itself, `OTHER`
/// another role, `TODAY` a daily partition, `EXTENSION` one that could be installed, `PID` a server process
/// of the administrator's.
const NEITHER: &[&str] = &[
    // The application's own, and the outbox.
    "select from business",
    "insert into business values (1)",
    "update business set id = 1",
    "delete from business",
    "truncate business",
    "alter table business add more int",
    "drop table business",
    "begin; lock table business in access share mode",
    "create trigger t before insert on business for each row execute function outbox.emit_request()",
    "create index on business (id)",
    "update outbox.message set payload = null",
    "delete from outbox.message",
    "truncate outbox.message",
    "begin; lock table outbox.message in access exclusive mode",
    "insert into outbox.TODAY (destination, type) values ('d', 't')",
    "select from outbox.TODAY",
    "insert into outbox.message_default (destination, type) values ('d', 't')",
    "alter table outbox.message add more int",
    "alter table outbox.message detach partition outbox.message_default",
    "alter table outbox.message disable trigger all",
    "alter table outbox.parked disable trigger all",
    "alter table outbox.message rename to other",
    "alter table outbox.message set schema public",
    "drop table outbox.message cascade",
    "drop table outbox.TODAY",
    "drop table outbox.parked cascade",
    "create policy p on outbox.message",
    "create rule r as on insert to outbox.message do instead nothing",
    "create trigger t before insert on outbox.message for each row execute function outbox.emit_request()",
    "create or replace function outbox.maintain_partitions(integer, bigint) returns record \
     language sql as 'select 1, 1, 1, 1'",
    "drop function outbox.emit_request() cascade",
    "drop schema outbox cascade",
    "alter schema outbox rename to other",
    "insert into outbox.relay (name) values ('other')",
    "update outbox.relay set genesis_written_at = null",
    "update outbox.relay set sink = 'stdout', destinations = '{}', name = 'other'",
    "delete from outbox.relay",
    "truncate outbox.relay",
    "insert into outbox.migration select * from outbox.migration",
    "update outbox.migration set version = 0",
    "delete from outbox.migration",
    "delete from outbox.parked",
    "truncate outbox.parked",
    "update outbox.parked set payload = '', destination = 'd', key = 'k', id = gen_random_uuid()",
    "insert into outbox.parked (relay, state) values ('r', 'skipped')",
    "insert into outbox.request (relay, kind, chosen, role) values ('r', 'replay', 1, 'somebody')",
    "update outbox.request set actor = 'somebody'",
    "delete from outbox.request",
    "update outbox.redelivery set payload = ''",
    "truncate outbox.redelivery",
    "select from outbox.inbox",
    "insert into outbox.inbox (consumer, message_id) values ('c', gen_random_uuid())",
    "delete from outbox.inbox",
    "select outbox.forget_inbox()",
    // Publications and subscriptions.
    "alter publication SLOT set (publish = 'insert, delete')",
    "alter publication SLOT owner to SELF",
    "alter publication SLOT add table business",
    "drop publication SLOT",
    "create publication mine",
    "create publication mine for all tables",
    "create subscription mine connection 'host=127.0.0.1' publication x with (connect = false)",
    // Things of its own.
    "create table mine (id int)",
    "create table outbox.mine (id int)",
    "create schema mine",
    "create function public.mine() returns int language sql as 'select 1'",
    "create role mine",
    "create database mine",
    "create extension EXTENSION",
    "create tablespace mine location '/tmp'",
    "create foreign data wrapper mine",
    "create event trigger mine on ddl_command_start execute function outbox.emit_request()",
    // More rights.
    "alter role SELF superuser",
    "alter role SELF bypassrls",
    "alter role SELF createrole",
    "alter role SELF createdb",
    "alter role OTHER password 'x'",
    "drop role OTHER",
    "grant OTHER to SELF",
    "grant pg_read_server_files to SELF",
    "grant pg_execute_server_program to SELF",
    "grant select on business to SELF",
    "set role postgres",
    "set role OTHER",
    "set session authorization postgres",
    "reassign owned by postgres to SELF",
    "drop owned by postgres",
    // The server, its secrets and its files.
    "select from pg_authid",
    "select from pg_user_mapping",
    "select subconninfo from pg_subscription",
    "select from pg_statistic",
    "select from pg_hba_file_rules",
    "select pg_read_file('postgresql.conf')",
    "select pg_read_binary_file('global/pg_control')",
    "select pg_ls_dir('.')",
    "select pg_ls_waldir()",
    "select pg_stat_file('postgresql.conf')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/mine')",
    "copy (select 1) to '/tmp/mine'",
    "copy (select 1) to program 'true'",
    "create temporary table lines (line text); copy lines from '/etc/passwd'",
    "create temporary table lines (line text); copy lines from program 'id'",
    "do language plpgsql $$ begin perform pg_read_file('PG_VERSION'); end $$",
    "load 'auto_explain'",
    "alter system set wal_level = 'minimal'",
    "alter database postgres set work_mem = '1GB'",
    "set session_replication_role = 'replica'",
    "set log_statement = 'none'",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_promote()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('mine')",
    "select pg_backup_start('mine')",
    "select pg_stat_reset()",
    "select pg_replication_origin_create('mine')",
    "select pg_cancel_backend(PID)",
    "select pg_terminate_backend(PID)",
    "checkpoint",
];

/// What services may.
const NOT_THE_RELAY: &[&str] = &[
    "insert into outbox.message (destination, type) values ('d', 't')",
    "select outbox.enqueue('d', 't', 'text')",
];

/// What the relay may.
const NOT_THE_APP: &[&str] = &[
    "select from outbox.message",
    "select from outbox.message_default",
    "select from outbox.relay",
    "update outbox.relay set epoch = 1",
    "select from outbox.parked",
    "update outbox.parked set state = 'skipped'",
    "select from outbox.request",
    "insert into outbox.request (relay, kind, chosen) values ('r', 'replay', 1)",
    "select from outbox.redelivery",
    "delete from outbox.redelivery",
    "select outbox.maintain_partitions()",
    "insert into outbox.message (destination, type) values ('d', 't') returning id",
    "select pg_create_logical_replication_slot('mine', 'pgoutput')",
    "select pg_drop_replication_slot('SLOT')",
    "select pg_replication_slot_advance('SLOT', '0/1')",
    "select pg_logical_slot_get_changes('SLOT', null, null)",
    "select pg_logical_slot_peek_binary_changes('SLOT', null, null)",
];

/// Each of these is refused for want of a right, and for nothing else.
async fn refused(client: &Client, statements: impl Iterator<Item = String>) {
    let mut allowed = Vec::new();
    for statement in statements {
        let failed = client.batch_execute(&statement).await.err();
        let code = failed.as_ref().and_then(tokio_postgres::Error::code);
        if code != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            allowed.push((statement, failed.map(|error| format!("{error:?}"))));
        }
        client
            .batch_execute("rollback; reset all; drop table if exists pg_temp.lines")
            .await
            .unwrap();
    }
    assert!(allowed.is_empty(), "{allowed:#?}");
}

#[tokio::test]
async fn the_server_refuses_whatever_the_roles_do_not_need() {
    let postgres = PostgresServer::start().await.unwrap();
    let roles = Roles::on(&postgres).await;
    let admin = roles.admin().await;
    let business = "create table business (id int); create role other; create database elsewhere;
                    revoke connect on database elsewhere from public";
    for statement in business.split(';') {
        admin.batch_execute(statement).await.unwrap();
    }
    let one = async |sql: &str| -> String { admin.query_one(sql, &[]).await.unwrap().get(0) };
    let today =
        one("select relname::text from pg_class where relname like 'message_2%' limit 1").await;
    let extension = one("select name::text from pg_available_extensions
                         where installed_version is null order by name limit 1")
    .await;
    let pid = one("select pg_backend_pid()::text").await;

    let relay = (&roles.relay, roles.as_relay().await, NOT_THE_RELAY);
    let app = (&roles.app, roles.as_app().await, NOT_THE_APP);
    for (role, client, more) in [relay, app] {
        let statements = NEITHER.iter().chain(more).map(|statement| {
            statement
                .replace("SLOT", &roles.scenario.slot())
                .replace("SELF", role)
                .replace("OTHER", "other")
                .replace("TODAY", &today)
                .replace("EXTENSION", &extension)
                .replace("PID", &pid)
        });
        refused(&client, statements).await;
        let elsewhere = postgres.url(role, "elsewhere");
        let connecting = tokio_postgres::connect(&elsewhere, tokio_postgres::NoTls).await;
        let error = connecting.map(drop).unwrap_err();
        let denied = Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(error.code(), denied, "{role}: {error:?}");
    }
    println!(
        "{} statements",
        NEITHER.len() * 2 + NOT_THE_RELAY.len() + NOT_THE_APP.len()
    );

    // Nothing of the service's can read the log.
    let url = format!("postgres.url={}", roles.url(&roles.app));
    let checked = roles.scenario.command(&["check", "--set", &url], &[]).await;
    assert_eq!(checked.code, Some(3), "{}", checked.stdout);
    let lacks = format!("{} has no REPLICATION attribute", roles.app);
    assert!(checked.stdout.contains(&lacks), "{}", checked.stdout);
}
