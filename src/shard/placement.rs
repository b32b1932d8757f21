//! Which shard owns which host.

use uuid::Uuid;

/// One core's share of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The shard that owns the host of this machine GUID, out of `shards`: always the same one for the same count, so that
/// a host has one writer whichever way its child comes back.
pub fn owner(machine_guid: &Uuid, shards: usize) -> ShardId {
    let (high, low) = machine_guid.as_u64_pair();
    // GUIDs may be made from clocks and counters: mix before the bits are used (the finalizer of SplitMix64).
    let mut mixed = high ^ low.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    ShardId((mixed % shards.max(1) as u64) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_consecutive_guids_spread_evenly() {
        let mut counts = [0; 8];
        for number in 0..8000u128 {
            counts[owner(&Uuid::from_u128(0xA000_0000_0000_4000_8000_0000_0000_0000 + number), 8).index()] +=
                1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
