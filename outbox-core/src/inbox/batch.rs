use std::collections::HashSet;

use uuid::Uuid;

use super::Acceptance;
use crate::MessageId;

/// The ids as they are inserted: each once, and every transaction in the same order, so that no two
/// of them wait for each other in a circle.
pub(super) fn in_order(message_ids: &[MessageId]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = message_ids.iter().copied().map(Uuid::from).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The answer for each id of a batch, from the ids that the database took.
pub(super) fn answers(message_ids: &[MessageId], mut taken: HashSet<Uuid>) -> Vec<Acceptance> {
    message_ids
        .iter()
        .map(|id| Acceptance::of(taken.remove(&Uuid::from(*id))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> MessageId {
        MessageId::from_bytes([number; 16])
    }

    #[test]
    fn each_id_is_inserted_once_and_in_order() {
        let ids = in_order(&[id(3), id(1), id(3), id(2)]);
        assert_eq!(ids, [id(1), id(2), id(3)].map(Uuid::from));
    }

    #[test]
    fn an_id_counts_where_it_stands_first() {
        let taken = HashSet::from([id(3).into(), id(1).into()]);
        let answers = answers(&[id(3), id(1), id(3), id(2)], taken);
        let accepted = answers.iter().map(|answer| *answer == Acceptance::Accepted);
        assert_eq!(accepted.collect::<Vec<_>>(), [true, true, false, false]);
    }
}
