//! What every sink must keep of its contract, against real servers: a new one is done when it passes
//! here, and through the relay in `tests/conformance.rs`.

mod checkpoints;
mod limited;
mod lines;
mod outlet;
mod seen;
mod trials;

use outlet::Outlet;

/// One module of tests for each kind of sink.
macro_rules! conforms {
    ($name:ident, $outlet:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn one_refused_message_is_named_and_holds_back_no_other() {
                trials::one_refused_among_good_ones(&$outlet);
            }

            #[test]
            fn payloads_of_every_size_and_none_at_all_arrive_as_they_are() {
                trials::payloads(&$outlet);
            }

            #[test]
            fn headers_of_all_kinds_arrive_as_they_are() {
                trials::headers(&$outlet);
            }

            #[test]
            fn each_of_many_destinations_gets_its_own() {
                trials::many_destinations(&$outlet);
            }

            #[test]
            fn a_later_holder_goes_on_where_the_checkpoint_stands() {
                trials::a_later_holder(&$outlet);
            }
        }
    };
}

conforms!(memory, Outlet::memory());
conforms!(stdout, Outlet::lines());
conforms!(kafka_exactly_once, Outlet::kafka());
conforms!(kafka_at_least_once, Outlet::kafka_at_least_once());
conforms!(rabbitmq_classic_queue, Outlet::queue("classic"));
conforms!(rabbitmq_quorum_queue, Outlet::queue("quorum"));
conforms!(rabbitmq_exchange, Outlet::exchange());
conforms!(rabbitmq_stream, Outlet::stream());
