//! What can be seen from outside.

use super::super::key::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::text(
        "http.listen",
        "an address and port, such as 127.0.0.1:9464",
        "health, metrics, status",
    )
    .or("127.0.0.1:9464"),
    Key::choice(
        "http.ready",
        &["member", "active"],
        "`member`: ready when started, active or standing by, also while a server is away. `active`: ready \
         only when active",
    )
    .or("member"),
    Key::later(
        "http.token_file",
        Kind::Text,
        "",
        "leave it empty: nothing can be changed over HTTP",
        "nothing can be changed over HTTP, so that no token is needed yet",
    ),
    Key::choice(
        "log.level",
        &["error", "warn", "info", "debug", "trace"],
        "the least of what is logged, on standard error",
    )
    .or("info"),
    Key::choice(
        "log.format",
        &["json", "text"],
        "one object a line, or lines for people",
    )
    .or("json"),
];
