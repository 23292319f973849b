//! One test for each rule of the relay, named after it.

mod active_rules;
mod altered;
mod batching;
mod becoming_active;
mod careful;
mod comparing;
mod ending;
mod gone;
mod halving;
mod idle;
mod lingering;
mod makings;
mod no_request;
mod overlap;
mod parking;
mod recovering;
mod refused_again;
mod refused_values;
mod replaying;
mod requests;
mod scenario;
mod standing_by;
