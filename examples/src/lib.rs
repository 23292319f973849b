//! What several of the examples, the demo and their tests share; the examples themselves are the
//! programs in `src/bin/`.

mod handling;
mod json_client;
mod stop;

pub use handling::{HandlingError, until_handled};
pub use json_client::{JsonClient, JsonClientError};
pub use stop::Stop;
