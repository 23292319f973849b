//! What the demo and the tests of the examples share; the examples themselves are the programs in
//! `src/bin/`.

mod json_client;

pub use json_client::{JsonClient, JsonClientError};
