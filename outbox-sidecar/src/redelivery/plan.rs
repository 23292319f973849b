use super::RedeliveryError;
use super::selection::{CHOOSING_MAX, Order, Selection};
use crate::operator::{Extent, Session, Values, count};

const DOING: &str = "counting messages of outbox.message";

/// What a selection means, before anything is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What is to be published once more, by where it was published.
    pub(crate) chosen: Extent,
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
         limit {} + 1",
        Extent::NAMED_MAX
    );
    let rows = session
        .rows_for(CHOOSING_MAX, DOING, &sql, &values.as_parameters())
        .await?;
    let mut plan = Plan {
        chosen: Extent::default(),
        set_aside: 0,
        order,
    };
    if let Some((total, destinations)) = rows.split_first() {
        plan.chosen = Extent::read(total, DOING)?;
        plan.chosen.add_destinations(destinations, DOING)?;
        plan.set_aside = count(total, "set_aside", DOING)?;
    }
    Ok(plan)
}
