//! What a relay makes of requests, on a real server.

mod settling;
mod support;
mod taking;
