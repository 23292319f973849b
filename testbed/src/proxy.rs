//! Proxies that stand between a program and its servers, and misbehave on request.

mod tcp;

pub use tcp::TcpProxy;
