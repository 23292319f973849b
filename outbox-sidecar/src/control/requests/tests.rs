//! What a relay makes of requests, on a real server.

mod redelivering;
mod settling;
mod support;
mod taking;
