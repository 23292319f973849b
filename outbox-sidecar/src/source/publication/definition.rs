use outbox_core::schema::SchemaName;
use tokio_postgres::{Client, Error};

use crate::source::quote::quote_identifier;

/// The columns that a relay needs.
const COLUMNS: [&str; 8] = [
    "id",
    "destination",
    "key",
    "type",
    "content_type",
    "payload",
    "headers",
    "created_at",
];

/// What a publication publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    /// Its definition, spelled out the same way whatever server says it.
    pub(crate) definition: String,
    /// The numbers that the server gave to its rows in the catalogs, and to the transactions that wrote
    /// them: new ones with every alteration, also with one that takes another back.
    making: String,
    /// What makes it useless for a relay.
    pub(crate) fault: Option<String>,
}

impl Publication {
    /// The making, which begins with the publication's own number and a slash, and a hash of the definition.
    ///
    /// The server decodes each row with the publication as it was when that committed, and says nothing
    /// of those it leaves out. So a definition that is the same again proves nothing.
    pub(crate) fn fingerprint(&self) -> String {
        let definition = crc32c::crc32c(self.definition.as_bytes());
        format!("{} {definition:08x}", self.making)
    }
}

/// The statement that makes the publication. A partitioned table's rows appear under its own
/// name, and only inserts are published: no replica identity is needed.
pub(crate) fn create_statement(name: &str, schema: &SchemaName, filter: Option<&str>) -> String {
    let condition = filter.map_or_else(String::new, |filter| format!(" where ({filter})"));
    format!(
        "create publication {} for table {}.message{condition} \
         with (publish = 'insert', publish_via_partition_root = true)",
        quote_identifier(name),
        schema.quoted()
    )
}

/// Reads a publication; `None` when it does not exist.
pub(crate) async fn read_publication(
    client: &Client,
    name: &str,
    schema: &SchemaName,
) -> Result<Option<Publication>, Error> {
    const SQL: &str = "
        select p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
               (select count(*) from pg_catalog.pg_publication_namespace as n
                where n.pnpubid = p.oid),
               array(select format('%I.%I', s.nspname, c.relname)
                     from pg_catalog.pg_publication_rel as r
                     join pg_catalog.pg_class as c on c.oid = r.prrelid
                     join pg_catalog.pg_namespace as s on s.oid = c.relnamespace
                     where r.prpubid = p.oid order by 1),
               (select pg_catalog.pg_get_expr(r.prqual, r.prrelid)
                from pg_catalog.pg_publication_rel as r
                where r.prpubid = p.oid and r.prrelid = to_regclass($2)),
               array(select a.attname::text
                     from pg_catalog.pg_publication_rel as r
                     join pg_catalog.pg_attribute as a
                       on a.attrelid = r.prrelid and a.attnum > 0 and not a.attisdropped
                     where r.prpubid = p.oid and r.prrelid = to_regclass($2)
                       and (r.prattrs is null or a.attnum = any (r.prattrs::int2[]))
                     order by 1),
               (select format('%I.%I', s.nspname, c.relname)
                from pg_catalog.pg_class as c
                join pg_catalog.pg_namespace as s on s.oid = c.relnamespace
                where c.oid = to_regclass($2)),
               concat_ws(' ', p.oid || '/' || p.xmin,
                   (select string_agg(r.oid || '.' || r.xmin, ' ' order by r.oid)
                    from pg_catalog.pg_publication_rel as r where r.prpubid = p.oid))
        from pg_catalog.pg_publication as p where p.pubname = $1";
    let table = format!("{}.message", schema.quoted());
    let Some(row) = client.query_opt(SQL, &[&name, &table]).await? else {
        return Ok(None);
    };
    let all_tables: bool = row.try_get(0)?;
    let publishes: [bool; 4] = [
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
    ];
    let via_root: bool = row.try_get(5)?;
    let schemas: i64 = row.try_get(6)?;
    let tables: Vec<String> = row.try_get(7)?;
    let filter: Option<String> = row.try_get(8)?;
    let columns: Vec<String> = row.try_get(9)?;
    let outbox: Option<String> = row.try_get(10)?;
    let fault =
        if all_tables || schemas > 0 || tables.len() != 1 || tables.first() != outbox.as_ref() {
            Some(format!("it must publish {table} and nothing else"))
        } else if publishes != [true, false, false, false] {
            Some("it must publish inserts and nothing else: set (publish = 'insert')".to_owned())
        } else if !via_root {
            Some("it must be set (publish_via_partition_root = true)".to_owned())
        } else {
            let missing: Vec<_> = COLUMNS
                .into_iter()
                .filter(|name| !columns.iter().any(|have| have == name))
                .collect();
            (!missing.is_empty())
                .then(|| format!("it leaves out the column {}", missing.join(", ")))
        };
    // A column that no relay reads changes nothing: later versions of the table may have more.
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|name| columns.iter().any(|have| have == name))
        .collect();
    let definition = format!(
        "all={all_tables} schemas={schemas} publish={publishes:?} root={via_root} \
         tables={tables:?} where={filter:?} columns={columns:?}"
    );
    Ok(Some(Publication {
        definition,
        making: row.try_get(11)?,
        fault: fault.map(|fault| format!("publication {name} is unfit: {fault}")),
    }))
}
