use super::SchemaName;
use super::name::quote_literal;

/// One version of the schema: what leads from the version before it to this one.
#[derive(Debug)]
pub(super) struct Migration {
    /// From 1, without gaps.
    pub(super) version: i32,
    /// What it brings, as the file is named.
    pub(super) name: &'static str,
    /// SQL in which `{schema}` stands for the quoted name.
    template: &'static str,
}

/// Every version this crate knows, in order. A released file never changes: its checksum is in
/// every database.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "message",
        template: include_str!("migrations/0001_message.sql"),
    },
    Migration {
        version: 2,
        name: "partitions",
        template: include_str!("migrations/0002_partitions.sql"),
    },
    Migration {
        version: 3,
        name: "enqueue",
        template: include_str!("migrations/0003_enqueue.sql"),
    },
    Migration {
        version: 4,
        name: "relay",
        template: include_str!("migrations/0004_relay.sql"),
    },
    Migration {
        version: 5,
        name: "checkpoint",
        template: include_str!("migrations/0005_checkpoint.sql"),
    },
    Migration {
        version: 6,
        name: "inbox",
        template: include_str!("migrations/0006_inbox.sql"),
    },
    Migration {
        version: 7,
        name: "request",
        template: include_str!("migrations/0007_request.sql"),
    },
    Migration {
        version: 8,
        name: "parked",
        template: include_str!("migrations/0008_parked.sql"),
    },
    Migration {
        version: 9,
        name: "redelivery",
        template: include_str!("migrations/0009_redelivery.sql"),
    },
];

impl Migration {
    /// Tells a file from a changed one; the schema's name does not enter into it.
    pub(super) fn checksum(&self) -> String {
        format!("{:08x}", crc32c::crc32c(self.template.as_bytes()))
    }

    /// The SQL that brings `schema` to this version and records it.
    ///
    /// The record comes first: its primary key stops whoever lost a race before anything else.
    pub(super) fn sql(&self, schema: &SchemaName) -> String {
        let quoted = schema.quoted();
        format!(
            "insert into {quoted}.migration (version, name, checksum) \
             values ({}, '{}', '{}');\n\n{}",
            self.version,
            self.name,
            self.checksum(),
            self.template.replace("{schema}", &quoted),
        )
    }
}

/// The schema itself and the table of applied versions.
///
/// CREATE SCHEMA IF NOT EXISTS would need the right to create schemas even where one was made for
/// us.
pub(super) fn foundation_sql(schema: &SchemaName) -> String {
    let quoted = schema.quoted();
    let quoted_literal = quote_literal(&quoted);
    format!(
        "do $outbox_body$\n\
         begin\n    \
             if to_regnamespace({quoted_literal}) is null then\n        \
                 create schema {quoted};\n    \
             end if;\n\
         end\n\
         $outbox_body$;\n\
         create table if not exists {quoted}.migration (\n    \
             version    integer     primary key,\n    \
             name       text        not null,\n    \
             checksum   text        not null,\n    \
             applied_at timestamptz not null default now()\n\
         );\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_no_gaps() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, version);
            assert!(
                migration
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
    }
}
