//! What callers of other languages type.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::database::Database;

/// What a call stored.
#[derive(Debug, PartialEq)]
struct Stored {
    key: Option<String>,
    content_type: String,
    payload: Option<Vec<u8>>,
    headers: String,
}

async fn try_sql(connection: &mut PgConnection, sql: &str) -> Result<Stored, sqlx::Error> {
    sqlx::raw_sql("truncate outbox.message")
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("select key, content_type, payload, headers::text from outbox.message")
        .fetch_one(connection)
        .await?;
    Ok(Stored {
        key: row.get(0),
        content_type: row.get(1),
        payload: row.get(2),
        headers: row.get(3),
    })
}

/// Calls with `payload`, and expects `content_type` and `bytes`.
async fn assert_payload(
    connection: &mut PgConnection,
    payload: &str,
    content_type: &str,
    bytes: Option<&[u8]>,
) {
    let sql = format!(
        "select outbox.enqueue(destination => 'd', type => 't', key => 'k', \
         payload => {payload}, headers => '{{\"tenant\": \"7\"}}')"
    );
    let expected = Stored {
        key: Some("k".to_owned()),
        content_type: content_type.to_owned(),
        payload: bytes.map(<[u8]>::to_vec),
        headers: r#"{"tenant": "7"}"#.to_owned(),
    };
    let stored = try_sql(connection, &sql).await.unwrap();
    assert_eq!(stored, expected, "{payload}");
}

#[tokio::test]
async fn every_kind_of_payload_finds_its_overload() {
    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain; charset=utf-8";
    let database = Database::migrated().await;
    let c = &mut database.sqlx().await;
    assert_payload(c, r#"'{"a":1}'::jsonb"#, JSON, Some(br#"{"a": 1}"#)).await;
    assert_payload(c, "jsonb_build_object('a', 1)", JSON, Some(br#"{"a": 1}"#)).await;
    assert_payload(c, "json_build_object('a', 1)", JSON, Some(br#"{"a" : 1}"#)).await;
    assert_payload(c, "row_to_json(row(1))", JSON, Some(br#"{"f1":1}"#)).await;
    assert_payload(c, "'text'::text", TEXT, Some(b"text")).await;
    assert_payload(c, "'text'::varchar(9)", TEXT, Some(b"text")).await;
    assert_payload(
        c,
        r"'\x00ff'::bytea",
        "application/octet-stream",
        Some(&[0, 255]),
    )
    .await;
    assert_payload(c, "null", TEXT, None).await;
    assert_payload(c, "null::jsonb", JSON, None).await;
    // Without a type: as it is written, byte for byte.
    assert_payload(
        c,
        r#"'{"a":"\n \\ ä"}'"#,
        TEXT,
        Some(r#"{"a":"\n \\ ä"}"#.as_bytes()),
    )
    .await;
}

#[tokio::test]
async fn positions_defaults_and_content_type() {
    let database = Database::migrated().await;
    let connection = &mut database.sqlx().await;
    let positional = "select outbox.enqueue('d', 't', '{}')";
    let stored = try_sql(connection, positional).await.unwrap();
    assert_eq!((stored.key, stored.headers.as_str()), (None, "{}"));
    let said = "select outbox.enqueue(destination => 'd', type => 't', payload => '<a/>', \
                headers => null, content_type => 'application/xml')";
    let stored = try_sql(connection, said).await.unwrap();
    assert_eq!(
        (stored.content_type.as_str(), stored.headers.as_str()),
        ("application/xml", "{}")
    );
    // A call always names an overload by its payload.
    let error = try_sql(
        connection,
        "select outbox.enqueue(destination => 'd', type => 't')",
    )
    .await
    .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42883");
}

#[tokio::test]
async fn prepared_parameters_without_types_are_text() {
    let database = Database::migrated().await;
    let client = database.tokio_postgres().await;
    let statement = client
        .prepare(
            "select outbox.enqueue(destination => $1, type => $2, key => $3, payload => $4, \
             headers => $5)",
        )
        .await
        .unwrap();
    let types: Vec<_> = statement.params().iter().map(|ty| ty.name()).collect();
    assert_eq!(types, ["text", "text", "text", "text", "jsonb"]);
}

#[tokio::test]
async fn plain_insert_with_defaults_is_valid() {
    let database = Database::migrated().await;
    let connection = &mut database.sqlx().await;
    let insert = "insert into outbox.message (destination, type, payload) values ('d', 't', 'x')";
    let stored = try_sql(connection, insert).await.unwrap();
    let expected = Stored {
        key: None,
        content_type: "application/octet-stream".to_owned(),
        payload: Some(b"x".to_vec()),
        headers: "{}".to_owned(),
    };
    assert_eq!(stored, expected);
}

/// Why every example uses the function or `convert_to`.
#[tokio::test]
async fn json_literal_in_a_bytea_column_is_a_trap() {
    let database = Database::migrated().await;
    let connection = &mut database.sqlx().await;
    let insert = |payload: &str| {
        format!(
            "insert into outbox.message (destination, type, payload) values ('d', 't', {payload})"
        )
    };
    // An escaped newline of JSON is no escape of bytea: refused.
    let error = try_sql(connection, &insert(r#"'{"a":"1\n2"}'"#))
        .await
        .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "22P02");
    // A doubled backslash is one: silently another payload.
    let stored = try_sql(connection, &insert(r#"'{"a":"C:\\dir"}'"#))
        .await
        .unwrap();
    assert_eq!(stored.payload.unwrap(), br#"{"a":"C:\dir"}"#);
    // Both ways that keep it.
    for kept in [
        insert(r#"convert_to('{"a":"C:\\dir\n"}', 'UTF8')"#),
        r#"select outbox.enqueue('d', 't', '{"a":"C:\\dir\n"}')"#.to_owned(),
    ] {
        let stored = try_sql(connection, &kept).await.unwrap();
        assert_eq!(stored.payload.unwrap(), br#"{"a":"C:\\dir\n"}"#, "{kept}");
    }
}

#[tokio::test]
async fn what_no_relay_could_publish_is_refused() {
    let database = Database::migrated().await;
    let connection = &mut database.sqlx().await;
    let headers = |headers: &str| {
        format!(
            "insert into outbox.message (destination, type, headers) values ('d', 't', {headers})"
        )
    };
    for refused in [
        headers("'[]'"),
        headers("'null'"),
        headers(r#"'{"a": 1}'"#),
        headers(r#"'{"a": ["b"]}'"#),
        headers(r#"'{"a": null}'"#),
        headers(r#"'{"a": "b", "c": {}}'"#),
        "insert into outbox.message (destination, type) values ('', 't')".to_owned(),
        r#"select outbox.enqueue('d', 't', '', headers => '{"outbox-id": "1"}')"#.to_owned(),
        r#"select outbox.enqueue('d', 't', '', headers => '{"content-type": "1"}')"#.to_owned(),
        "select outbox.enqueue('d', 't', '', headers => '[1]')".to_owned(),
    ] {
        let error = try_sql(connection, &refused).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "23514", "{refused}");
    }
    let kept = headers(r#"'{"traceparent": "00-1-2-01", "x": "outbox-id"}'"#);
    try_sql(connection, &kept).await.unwrap();
}
