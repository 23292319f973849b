//! What a server's answers, addresses and the files beside them may do to their readers.

use std::path::Path;

use super::authentication::{Channel, Credentials};
use super::password_file::find;
use super::service::section;
use super::wire::READ_BYTES;
use super::{Address, Login, Surroundings, Wire};
use crate::hostile;

const DOING: &str = "asking";

/// Messages that answer a command are rows or an error, and the stream's end is an end.
pub(crate) fn answers(input: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    hostile::bounded_with_buffer(READ_BYTES as u64, input, |input| {
        runtime.block_on(async {
            let mut wire = Wire::new(tokio::io::join(input, tokio::io::sink()));
            let _ = wire.rows("select", DOING).await;
            drop(wire);
            let mut wire = Wire::new(tokio::io::join(input, tokio::io::sink()));
            while let Ok(bytes) = wire.read_more().await {
                assert!(bytes > 0);
                while let Ok(Some(_)) = wire.frame(DOING) {
                    let _ = wire.next_buffered(DOING);
                    if wire.frame(DOING).is_ok_and(|tag| tag.is_some()) {
                        wire.skip_frame();
                    }
                }
            }
        });
    });
}

/// A URL or a string of keywords is an address or an error.
pub(crate) fn address(input: &[u8]) {
    let surroundings = Surroundings::default();
    hostile::bounded_text(input, |text| Address::read(text, &surroundings));
}

/// `pg_service.conf` has settings of a service, none or an error.
pub(crate) fn services(input: &[u8]) {
    hostile::bounded_text(input, |text| section(text, "two", Path::new("f")));
}

/// `.pgpass` has a password for a server or none.
pub(crate) fn passwords(input: &[u8]) {
    let address = known_address();
    let host = address.as_ref().and_then(|address| address.hosts().first());
    hostile::bounded_text(input, |text| find(text, host?, "d", "u"));
}

/// Where a server is that says what it likes.
pub(crate) fn known_address() -> Option<Address> {
    Address::read("postgres://u:p@db:5433/d", &Surroundings::default()).ok()
}

/// A login with a password, over TLS or without.
pub(crate) fn login(end_point: Option<Vec<u8>>) -> Login {
    Login {
        credentials: Credentials {
            user: "u".to_owned(),
            password: Some(b"p".to_vec()),
            channel_binding: Default::default(),
        },
        channel: match end_point {
            None => Channel::Open,
            end_point => Channel::Encrypted { end_point },
        },
    }
}
