use super::RedeliveryError;
use super::selection::{CHOOSING_MAX, Order, Selection};
use crate::stuck::{Session, Values, column, count};

const DOING: &str = "counting messages of outbox.message";

/// So many destinations are named; all are counted.
const NAMED_MAX: usize = 10;

/// What a selection means, before anything is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Messages that are to be published once more.
    pub(crate) chosen: u64,
    /// The bytes of their payloads.
    pub(crate) payload_bytes: u64,
    pub(crate) keys: u64,
    /// Where most of them were published.
    pub(crate) destinations: Vec<(String, u64)>,
    pub(crate) destination_count: u64,
    /// Messages that fit and were never published: they wait in `outbox.parked`, or were given up there.
    pub(crate) set_aside: u64,
    pub(crate) order: Order,
}

/// Counts the messages where they lie, and changes nothing.
///
/// # Errors
/// [`RedeliveryError::Database`].
pub(crate) async fn preview(
    session: &Session,
    selection: &Selection,
    order: Order,
) -> Result<Plan, RedeliveryError> {
    let mut values = Values::default();
    values.add(session.relay().to_owned());
    let chosen = selection.sql(order, &mut values);
    count_in(session, &format!("({chosen})"), values, order).await
}

impl Plan {
    /// Counts the messages that were put by.
    ///
    /// # Errors
    /// [`RedeliveryError::Database`].
    pub(crate) async fn of_chosen(
        session: &Session,
        order: Order,
    ) -> Result<Self, RedeliveryError> {
        let chosen = "pg_temp.outbox_chosen";
        count_in(session, chosen, Values::default(), order).await
    }
}

async fn count_in(
    session: &Session,
    chosen: &str,
    values: Values,
    order: Order,
) -> Result<Plan, RedeliveryError> {
    let is_chosen = "not c.is_set_aside";
    let sql = format!(
        "select left(c.destination, 250) as destination,
                count(*) filter (where {is_chosen}) as messages,
                count(*) filter (where c.is_set_aside) as set_aside,
                coalesce(sum(octet_length(c.payload)) filter (where {is_chosen}), 0)::int8
                    as payload_bytes,
                (count(distinct (c.destination, c.key))
                    filter (where {is_chosen} and c.key is not null))::int8 as keys,
                count(*) over () - 1 as destinations
         from {chosen} as c
         group by grouping sets ((), (c.destination))
         having grouping(c.destination) = 1 or count(*) filter (where {is_chosen}) > 0
         order by grouping(c.destination) desc, messages desc, c.destination
         limit {NAMED_MAX} + 1"
    );
    let rows = session
        .rows_for(CHOOSING_MAX, DOING, &sql, &values.as_parameters())
        .await?;
    let mut plan = Plan {
        chosen: 0,
        payload_bytes: 0,
        keys: 0,
        destinations: Vec::new(),
        destination_count: 0,
        set_aside: 0,
        order,
    };
    let Some((total, destinations)) = rows.split_first() else {
        return Ok(plan);
    };
    plan.chosen = count(total, "messages", DOING)?;
    plan.payload_bytes = count(total, "payload_bytes", DOING)?;
    plan.keys = count(total, "keys", DOING)?;
    plan.set_aside = count(total, "set_aside", DOING)?;
    plan.destination_count = count(total, "destinations", DOING)?;
    for row in destinations {
        let destination = column(row, "destination", DOING)?;
        plan.destinations
            .push((destination, count(row, "messages", DOING)?));
    }
    Ok(plan)
}
