use proptest::prelude::*;
use testbed::mutation;

use super::messages::{COLUMNS, OUTBOX_OID, change, decode, decoder, recorded, relation};
use crate::source::pgoutput::hostile;

/// How an attacker or a broken wire may alter a message.
#[derive(Clone, Debug)]
enum Mutation {
    Set { place: usize, byte: u8 },
    Flip { place: usize, bit: u8 },
    Cut { at: usize },
    Insert { place: usize, byte: u8 },
    Remove { place: usize },
    Grow { place: usize, bytes: Vec<u8> },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = 0..256_usize;
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(place, byte)| Mutation::Set { place, byte }),
        (place.clone(), 0..8_u8).prop_map(|(place, bit)| Mutation::Flip { place, bit }),
        place.clone().prop_map(|at| Mutation::Cut { at }),
        (place.clone(), any::<u8>()).prop_map(|(place, byte)| Mutation::Insert { place, byte }),
        place.clone().prop_map(|place| Mutation::Remove { place }),
        (place, prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(place, bytes)| Mutation::Grow { place, bytes }),
    ]
}

fn mutate(content: &mut Vec<u8>, mutation: Mutation) {
    let length = content.len();
    match mutation {
        _ if length == 0 => {}
        Mutation::Set { place, byte } => content[place % length] = byte,
        Mutation::Flip { place, bit } => content[place % length] ^= 1 << bit,
        Mutation::Cut { at } => content.truncate(at % length),
        Mutation::Insert { place, byte } => content.insert(place % length, byte),
        Mutation::Remove { place } => drop(content.remove(place % length)),
        Mutation::Grow { place, bytes } => {
            let place = place % length;
            drop(content.splice(place..place, bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_an_event_or_an_error(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8),
    ) {
        let mut decoder = decoder();
        for content in contents {
            let _ = decode(&mut decoder, &content);
            let _ = decode(&mut decoder, &change(&content));
        }
    }

    /// Decoding goes on after errors here, though the stream would end: whatever a broken message
    /// leaves behind must not hurt the next one.
    #[test]
    fn an_altered_stream_is_events_or_errors(
        mutations in prop::collection::vec((0..11_usize, mutation()), 1..12),
    ) {
        let mut contents = recorded();
        for (message, mutation) in mutations {
            mutate(&mut contents[message], mutation);
        }
        let mut decoder = decoder();
        for content in &contents {
            let _ = decode(&mut decoder, content);
        }
    }

    #[test]
    fn every_prefix_of_a_message_is_refused_or_means_less(at in 0..400_usize, which in 0..11_usize) {
        let content = &recorded()[which];
        let cut = &content[..at.min(content.len())];
        let mut whole = decoder();
        let mut decoder = decoder();
        for before in &recorded()[..which] {
            let _ = decode(&mut decoder, before);
            let _ = decode(&mut whole, before);
        }
        if let Ok(Some(event)) = decode(&mut decoder, cut) {
            prop_assert_eq!(decode(&mut whole, content).unwrap(), Some(event));
        }
    }
}

#[test]
fn recorded_messages_with_seeded_mutations_are_events_or_errors() {
    let table = relation(OUTBOX_OID, "outbox", "message", &COLUMNS);
    assert_eq!(table, hostile::RELATION);
    mutation::replay("pgoutput", &recorded(), hostile::change);
}
