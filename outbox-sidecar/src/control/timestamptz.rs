use std::error::Error;

use bytes::{BufMut, BytesMut};
use outbox_core::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A time as PostgreSQL sends and takes it, to the microsecond and with its infinities: arithmetic in
/// SQL knows none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamptz(pub(crate) Timestamp);

impl ToSql for Timestamptz {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0.as_postgresql_us());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamptz {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let us = i64::from_be_bytes(bytes.try_into()?);
        Ok(Self(Timestamp::from_postgresql_us(us)))
    }

    accepts!(TIMESTAMPTZ);
}
