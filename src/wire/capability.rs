//! [`Capabilities`]: what two agents agreed to send each other, one bit a feature.
//!
//! The number travels as a decimal in the request's `ver` and in the prompt's `version=`. Up to 5 it is an old
//! protocol version and stands for a fixed set, above that it is the set itself.
//!
//! ```text
//!  child: all it can ----ver----> parent: its own ∩ offered, one compression ----version=----> child: ∩ again
//! ```
//!
//! The parent never switches on what the child did not offer, so leaving a bit out makes a child fall back, not fail.

use std::fmt;
use std::ops::BitOr;

/// A set of protocol features.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u32);

/// Bit names as operators know them from Netdata's logs and stream paths, lowest bit first.
const NAMES: [(Capabilities, &str); 25] = [
    (Capabilities::V1, "V1"),
    (Capabilities::V2, "V2"),
    (Capabilities::VN, "VN"),
    (Capabilities::VCAPS, "VCAPS"),
    (Capabilities::HLABELS, "HLABELS"),
    (Capabilities::CLAIM, "CLAIM"),
    (Capabilities::CLABELS, "CLABELS"),
    (Capabilities::LZ4, "LZ4"),
    (Capabilities::FUNCTIONS, "FUNCTIONS"),
    (Capabilities::REPLICATION, "REPLICATION"),
    (Capabilities::BINARY, "BINARY"),
    (Capabilities::INTERPOLATED, "INTERPOLATED"),
    (Capabilities::IEEE754, "IEEE754"),
    (Capabilities::DATA_WITH_ML, "DATA_WITH_ML"),
    (Capabilities::SLOTS, "SLOTS"),
    (Capabilities::ZSTD, "ZSTD"),
    (Capabilities::GZIP, "GZIP"),
    (Capabilities::BROTLI, "BROTLI"),
    (Capabilities::PROGRESS, "PROGRESS"),
    (Capabilities::DYNCFG, "DYNCFG"),
    (Capabilities::NODE_ID, "NODEID"),
    (Capabilities::PATHS, "PATHS"),
    (Capabilities::ML_MODELS, "MLMODELS"),
    (Capabilities::FLOAT_BASELINE, "FLOATBASELINE"),
    (Capabilities::FUNCTION_DEL, "FUNCDEL"),
];

impl Capabilities {
    pub const NONE: Capabilities = Capabilities(0);
    /// The oldest protocol.
    pub const V1: Capabilities = Capabilities(1 << 3);
    /// V1 and host labels.
    pub const V2: Capabilities = Capabilities(1 << 4);
    /// The numeric versions 3 to 5.
    pub const VN: Capabilities = Capabilities(1 << 5);
    /// The number is a set of capabilities.
    pub const VCAPS: Capabilities = Capabilities(1 << 6);
    /// `LABEL`, `OVERWRITE`.
    pub const HLABELS: Capabilities = Capabilities(1 << 7);
    /// `CLAIMED_ID`.
    pub const CLAIM: Capabilities = Capabilities(1 << 8);
    /// `CLABEL`, `CLABEL_COMMIT`.
    pub const CLABELS: Capabilities = Capabilities(1 << 9);
    /// LZ4 packets.
    pub const LZ4: Capabilities = Capabilities(1 << 10);
    /// `FUNCTION*`, both ways.
    pub const FUNCTIONS: Capabilities = Capabilities(1 << 11);
    /// `CHART_DEFINITION_END`, `REPLAY_CHART` and the lines with an R in front.
    pub const REPLICATION: Capabilities = Capabilities(1 << 12);
    /// Compressed packets may end inside a line.
    pub const BINARY: Capabilities = Capabilities(1 << 13);
    /// `BEGIN2`, `SET2`, `END2` in place of `BEGIN`, `SET`, `END`.
    pub const INTERPOLATED: Capabilities = Capabilities(1 << 14);
    /// Base64 numbers in v2 and replication lines.
    pub const IEEE754: Capabilities = Capabilities(1 << 15);
    /// Anomaly bits computed by the child; not offered since 2.1.
    pub const DATA_WITH_ML: Capabilities = Capabilities(1 << 16);
    /// `SLOT:n` words.
    pub const SLOTS: Capabilities = Capabilities(1 << 18);
    /// ZSTD packets.
    pub const ZSTD: Capabilities = Capabilities(1 << 19);
    /// GZIP packets.
    pub const GZIP: Capabilities = Capabilities(1 << 20);
    /// BROTLI packets.
    pub const BROTLI: Capabilities = Capabilities(1 << 21);
    /// `FUNCTION_PROGRESS`, both ways.
    pub const PROGRESS: Capabilities = Capabilities(1 << 22);
    /// The function `config` is announced.
    pub const DYNCFG: Capabilities = Capabilities(1 << 23);
    /// The parent sends `NODE_ID`.
    pub const NODE_ID: Capabilities = Capabilities(1 << 24);
    /// `JSON STREAM_PATH`, both ways.
    pub const PATHS: Capabilities = Capabilities(1 << 25);
    /// `JSON ML_MODEL`; the child's anomaly flags are to be trusted.
    pub const ML_MODELS: Capabilities = Capabilities(1 << 26);
    /// Collected values of `type=float` dimensions are doubles.
    pub const FLOAT_BASELINE: Capabilities = Capabilities(1 << 27);
    /// `FUNCTION_DEL`.
    pub const FUNCTION_DEL: Capabilities = Capabilities(1 << 28);

    /// The four bits that say how the two sides speak about all others.
    const VERSIONS: Capabilities = Capabilities(Self::V1.0 | Self::V2.0 | Self::VN.0 | Self::VCAPS.0);
    /// The four kinds of packets, of which at most one is agreed.
    pub const COMPRESSIONS: Capabilities =
        Capabilities(Self::LZ4.0 | Self::ZSTD.0 | Self::GZIP.0 | Self::BROTLI.0);

    /// What this implementation can do.
    pub const OURS: Capabilities = Capabilities(
        Self::VERSIONS.0
            | Self::HLABELS.0
            | Self::CLAIM.0
            | Self::CLABELS.0
            | Self::LZ4.0
            | Self::FUNCTIONS.0
            | Self::REPLICATION.0
            | Self::BINARY.0
            | Self::INTERPOLATED.0
            | Self::IEEE754.0
            | Self::SLOTS.0
            | Self::ZSTD.0
            | Self::GZIP.0
            | Self::BROTLI.0
            | Self::PROGRESS.0
            | Self::NODE_ID.0
            | Self::PATHS.0
            | Self::FUNCTION_DEL.0,
    );

    pub const fn from_bits(bits: u32) -> Capabilities {
        Capabilities(bits)
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What a `ver` parameter or the number of a `version=` prompt stands for; of the version bits only the strongest.
    pub const fn from_version(version: u32) -> Capabilities {
        match version {
            0 | 1 => Self::V1,
            2 => Self::V2.with(Self::HLABELS),
            3 => Self::VN.with(Self::HLABELS).with(Self::CLAIM),
            4 => Self::VN.with(Self::HLABELS).with(Self::CLAIM).with(Self::CLABELS),
            5 => Self::VN.with(Self::HLABELS).with(Self::CLAIM).with(Self::CLABELS).with(Self::LZ4),
            bits => Capabilities(bits).with_one_version(),
        }
    }

    const fn with_one_version(self) -> Capabilities {
        if self.contains(Self::VCAPS) {
            self.without(Self::V1.with(Self::V2).with(Self::VN))
        } else if self.contains(Self::VN) {
            self.without(Self::V1.with(Self::V2))
        } else if self.contains(Self::V2) {
            self.without(Self::V1)
        } else {
            self
        }
    }

    /// The inverse of [`from_version`](Self::from_version): the number that tells the other side of this set.
    pub const fn version(self) -> u32 {
        if self.contains(Self::VCAPS) {
            self.0
        } else if self.contains(Self::VN) {
            if self.contains(Self::LZ4) {
                5
            } else if self.contains(Self::CLABELS) {
                4
            } else {
                3
            }
        } else if self.contains(Self::V2) {
            2
        } else {
            1
        }
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in this set.
    pub const fn intersects(self, other: Capabilities) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    pub const fn intersection(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }

    /// The compression of an agreed set, which has at most one.
    pub fn compression(self) -> Option<Compression> {
        Compression::CHILD_ORDER.into_iter().find(|compression| self.contains(compression.capability()))
    }

    /// The names of the bits, lowest first; a bit without a name is left out.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| *name)
    }
}

/// What a parent with the set `own` agrees to when a child offers `offered` (as of [`Capabilities::from_version`]).
///
/// At most one compression survives, the first of `order` that both have; an empty `order` is no compression. A child
/// calls this with what the parent answered and [`Compression::CHILD_ORDER`].
///
/// The result is what the child will understand, which matters below VCAPS: the number 4 always means CLAIM too.
pub fn negotiate(offered: Capabilities, own: Capabilities, order: &[Compression]) -> Capabilities {
    let common = offered.intersection(own);
    let chosen = order.iter().map(|compression| compression.capability()).find(|bit| common.contains(*bit));
    let mut agreed = common.without(Capabilities::COMPRESSIONS).with(chosen.unwrap_or_default());
    if !agreed.contains(Capabilities::INTERPOLATED) {
        agreed = agreed.without(Capabilities::ML_MODELS);
    }
    Capabilities::from_version(agreed.version())
}

impl BitOr for Capabilities {
    type Output = Capabilities;

    fn bitor(self, other: Capabilities) -> Capabilities {
        self.with(other)
    }
}

/// `VCAPS HLABELS LZ4`; bits without a name as `BIT17`; the empty set as `none`.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Capabilities::NONE {
            return f.write_str("none");
        }
        let mut separator = "";
        for bit in (0..u32::BITS).map(|shift| Capabilities(1 << shift)).filter(|bit| self.contains(*bit)) {
            match NAMES.iter().find(|(named, _)| *named == bit) {
                Some((_, name)) => write!(f, "{separator}{name}")?,
                None => write!(f, "{separator}BIT{}", bit.0.trailing_zeros())?,
            }
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({self})")
    }
}

/// An algorithm for the packets from a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    Lz4,
    Zstd,
    Gzip,
    Brotli,
}

impl Compression {
    /// What a child picks when a parent left it a choice.
    pub const CHILD_ORDER: [Compression; 4] =
        [Compression::Zstd, Compression::Lz4, Compression::Brotli, Compression::Gzip];

    pub const fn capability(self) -> Capabilities {
        match self {
            Compression::Lz4 => Capabilities::LZ4,
            Compression::Zstd => Capabilities::ZSTD,
            Compression::Gzip => Capabilities::GZIP,
            Compression::Brotli => Capabilities::BROTLI,
        }
    }

    /// As `compression algorithms order` in stream.conf spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
            Compression::Brotli => "brotli",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: [Compression; 4] = Compression::CHILD_ORDER;
    /// 1.37.1 with LZ4: what it offers as a child, `ver=16376`.
    const NETDATA_1_37: Capabilities = Capabilities(16376);

    fn reply_to(offered: u32, own: Capabilities, order: &[Compression]) -> u32 {
        negotiate(Capabilities::from_version(offered), own, order).version()
    }

    #[test]
    fn a_parent_answers_as_netdata_does() {
        // 2.9.0: every bit from 3 to 26 except 16 and 17.
        let netdata_2_9 = Capabilities((1 << 27) - 8).without(Capabilities(3 << 16));
        // 13248 and 14272 of the reference's "sets to implement".
        let first = Capabilities(13248);
        let first_lz4 = Capabilities(14272);
        let versions = Capabilities::V1 | Capabilities::V2 | Capabilities::VN;
        let cases = [
            (16376, NETDATA_1_37, 16320),
            (15352, NETDATA_1_37, 15296),
            (134_217_727, NETDATA_1_37, 16320),
            (64, NETDATA_1_37, 64),
            (0, NETDATA_1_37, 1),
            (1, NETDATA_1_37, 1),
            (2, NETDATA_1_37, 2),
            (3, NETDATA_1_37, 3),
            (4, NETDATA_1_37, 4),
            (5, NETDATA_1_37, 5),
            (6, NETDATA_1_37, 1),
            (7, NETDATA_1_37, 1),
            (8, NETDATA_1_37, 1),
            (134_217_727, netdata_2_9, 130_874_304),
            (66_912_248, first_lz4, 14272),
            (16376, first_lz4, 14272),
            (5, first | versions, 4),
            (16376, Capabilities::OURS, 14272 + 2048),
            (5, Capabilities::OURS, 5),
            (66_912_248, Capabilities::OURS, 848_832 + 2048 + (1 << 22) + (1 << 24) + (1 << 25)),
        ];
        for (offered, own, expected) in cases {
            assert_eq!(reply_to(offered, own, &ORDER), expected, "ver={offered}");
        }
    }

    #[test]
    fn at_most_one_compression_survives_and_the_order_decides() {
        let all = Capabilities::VCAPS | Capabilities::COMPRESSIONS;
        let agreed = |order: &[Compression]| negotiate(all, all, order).compression();
        assert_eq!(agreed(&[Compression::Lz4, Compression::Zstd]), Some(Compression::Lz4));
        assert_eq!(agreed(&[Compression::Gzip]), Some(Compression::Gzip));
        assert_eq!(agreed(&[]), None);
        assert_eq!(agreed(&ORDER), Some(Compression::Zstd));
        let old = Capabilities::OURS.without(Capabilities::ZSTD);
        assert_eq!(negotiate(all, old, &ORDER).compression(), Some(Compression::Lz4));
    }

    #[test]
    fn children_before_1_44_get_lz4_whatever_the_order() {
        let last = [Compression::Zstd, Compression::Brotli, Compression::Gzip, Compression::Lz4];
        for version in [5, 16376] {
            assert_eq!(
                negotiate(Capabilities::from_version(version), Capabilities::OURS, &last).compression(),
                Some(Compression::Lz4)
            );
            assert_eq!(
                negotiate(Capabilities::from_version(version), Capabilities::OURS, &[]).compression(),
                None
            );
        }
    }

    #[test]
    fn models_need_interpolated_data() {
        let models = Capabilities::VCAPS | Capabilities::ML_MODELS;
        assert_eq!(negotiate(models, models, &[]), Capabilities::VCAPS);
        let both = models | Capabilities::INTERPOLATED;
        assert_eq!(negotiate(both, both, &[]), both);
    }

    #[test]
    fn the_number_and_the_set_stand_for_each_other() {
        for version in [1, 2, 3, 4, 5, 64, 14272, 325_568, 130_874_304] {
            assert_eq!(Capabilities::from_version(version).version(), version);
        }
    }

    #[test]
    fn names_are_those_of_netdata() {
        assert_eq!(
            Capabilities(63_241_208).to_string(),
            "V1 V2 VN VCAPS HLABELS CLAIM CLABELS FUNCTIONS REPLICATION BINARY INTERPOLATED IEEE754 SLOTS \
             PROGRESS DYNCFG NODEID PATHS"
        );
        assert_eq!(
            Capabilities(16320).to_string(),
            "VCAPS HLABELS CLAIM CLABELS LZ4 FUNCTIONS REPLICATION BINARY"
        );
        assert_eq!(Capabilities(64 | 1 << 17).to_string(), "VCAPS BIT17");
        assert_eq!(Capabilities::NONE.to_string(), "none");
        assert_eq!(Capabilities(64 | 1 << 24).names().collect::<Vec<_>>(), ["VCAPS", "NODEID"]);
    }
}
