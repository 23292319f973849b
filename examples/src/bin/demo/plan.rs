//! What a client asks for, drawn from the seed.

use serde_json::{Value, json};

/// Few enough that clients meet at the same customer, so that order matters.
const CUSTOMERS: u32 = 200;
const PRODUCTS: [&str; 4] = ["bicycle", "household", "liability", "travel"];
const BATCH_ORDERS: std::ops::RangeInclusive<u32> = 5..=60;
/// Above the service's limit for any customer.
const PREMIUM_CENTS_REFUSED: i64 = 1_000_000_000;
const PREMIUM_CENTS: std::ops::RangeInclusive<i64> = 100..=10_000;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// An order alone.
    Place(Value),
    /// Orders in one transaction.
    PlaceAll(Value),
    /// Cancels the open order of this client at this index.
    Cancel(usize),
    /// An order that the service enqueues, then refuses.
    RefusedPlace(Value),
    /// Orders of which the service refuses one, and so all.
    RefusedPlaceAll(Value),
}

/// The requests of one client, without an end.
#[derive(Debug)]
pub(crate) struct Plan {
    random: fastrand::Rng,
}

impl Plan {
    /// The requests of client `client`.
    pub(crate) fn new(seed: u64, client: u32) -> Self {
        // Neighbouring seeds yield unrelated streams only after a first draw.
        let mut random = fastrand::Rng::with_seed(seed ^ (u64::from(client) << 32));
        let random = random.fork();
        Self { random }
    }

    /// The next request of a client that has `open_orders` open ones.
    pub(crate) fn next(&mut self, open_orders: usize) -> Request {
        match self.random.u32(0..100) {
            0..8 => {
                let orders = self.random.u32(BATCH_ORDERS);
                Request::PlaceAll(self.batch(orders, None))
            }
            8..20 if open_orders > 0 => Request::Cancel(self.random.usize(0..open_orders)),
            20..25 => Request::RefusedPlace(self.order(PREMIUM_CENTS_REFUSED)),
            25..28 => {
                let orders = self.random.u32(BATCH_ORDERS);
                let refused = self.random.u32(0..orders);
                Request::RefusedPlaceAll(self.batch(orders, Some(refused)))
            }
            _ => {
                let premium = self.random.i64(PREMIUM_CENTS);
                Request::Place(self.order(premium))
            }
        }
    }

    fn batch(&mut self, orders: u32, refused: Option<u32>) -> Value {
        let order = |number| {
            let premium = self.random.i64(PREMIUM_CENTS);
            let refused = refused == Some(number);
            self.order(if refused {
                PREMIUM_CENTS_REFUSED
            } else {
                premium
            })
        };
        json!({ "orders": (0..orders).map(order).collect::<Vec<_>>() })
    }

    fn order(&mut self, premium_cents: i64) -> Value {
        let customer = format!("customer-{:04}", self.random.u32(0..CUSTOMERS));
        let product = self.random.choice(PRODUCTS).unwrap_or("bicycle");
        json!({ "customer": customer, "product": product, "premium_cents": premium_cents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_yields_the_same_requests_and_clients_differ() {
        let requests = |client| {
            let mut plan = Plan::new(7, client);
            (0..200).map(|_| plan.next(3)).collect::<Vec<_>>()
        };
        assert_eq!(requests(1), requests(1));
        assert_ne!(requests(1), requests(2));
    }

    #[test]
    fn every_kind_is_drawn_and_only_open_orders_are_cancelled() {
        let mut plan = Plan::new(7, 0);
        let mut kinds = [0; 5];
        for turn in 0..2000 {
            let open = turn % 3;
            let kind = match plan.next(open) {
                Request::Place(_) => 0,
                Request::PlaceAll(_) => 1,
                Request::Cancel(index) => {
                    assert!(index < open);
                    2
                }
                Request::RefusedPlace(_) => 3,
                Request::RefusedPlaceAll(_) => 4,
            };
            kinds[kind] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 20), "{kinds:?}");
    }
}
