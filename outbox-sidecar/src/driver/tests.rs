//! A relay at work on a real PostgreSQL, into a broker in memory that refuses what a test names.

mod holding;
mod parking;
mod relay;
mod replaying;
