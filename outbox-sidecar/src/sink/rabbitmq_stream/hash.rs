//! The hash by which official clients choose a super stream's partition.

/// What they all begin with.
const SEED: u32 = 104_729;

/// The place of a key's partition among so many; `None` when there are none.
///
/// As `HashRoutingStrategy` and its like do: murmur3 of the key's UTF-8 bytes, unsigned, modulo
/// the number of partitions.
pub(super) fn partition_of(key: &str, partitions: usize) -> Option<usize> {
    let hash = usize::try_from(murmur3_32(key.as_bytes(), SEED)).ok()?;
    hash.checked_rem(partitions)
}

/// MurmurHash3, x86, 32 bits: <https://github.com/aappleby/smhasher>.
fn murmur3_32(data: &[u8], seed: u32) -> u32 {
    let mix = |block: u32| {
        block
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut hash = seed;
    let (blocks, tail) = data.as_chunks::<4>();
    for block in blocks {
        hash = (hash ^ mix(u32::from_le_bytes(*block)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev();
        hash ^= mix(rest.fold(0, |word, byte| word << 8 | u32::from(*byte)));
    }
    // The algorithm's length has 32 bits.
    hash ^= data.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_murmur3() {
        for (text, seed, expected) in [
            ("", 0, 0),
            ("", 1, 0x514E_28B7),
            ("aaaa", 0x9747_b28c, 0x5A97_808A),
            ("aaa", 0x9747_b28c, 0x283E_0130),
            ("aa", 0x9747_b28c, 0x5D21_1726),
            ("a", 0x9747_b28c, 0x7FA0_9EA6),
            ("Hello, world!", 0x9747_b28c, 0x2488_4CBA),
            (
                "The quick brown fox jumps over the lazy dog",
                0x9747_b28c,
                0x2FA8_26CD,
            ),
        ] {
            assert_eq!(murmur3_32(text.as_bytes(), seed), expected, "{text:?}");
        }
    }

    #[test]
    fn no_partition_of_none() {
        assert_eq!(partition_of("key", 0), None);
        assert_eq!(partition_of("key", 1), Some(0));
    }
}
