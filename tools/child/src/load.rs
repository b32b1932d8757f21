//! [`Load`]: how many children, with what, how often; and the name of everything they have.

use mainstem::wire::capability::Capabilities;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::database::Database;
use crate::value::{ChildSeries, Column, Kind, MICROSECONDS, Values, mix};

/// Which generation of children is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Collected values, from which the parent makes samples: Netdata 1.33 to 1.38.
    V1,
    /// Finished samples: Netdata 1.39 and later.
    V2,
}

/// What the children offer to compress with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Lz4,
    Zstd,
    Gzip,
    Brotli,
    None,
}

/// A load, the same whenever it is run: `[load]` of a [`Workload`](crate::Workload).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    pub children: usize,
    /// Charts of a child.
    pub charts: usize,
    /// Dimensions of a chart.
    pub dimensions: usize,
    /// Seconds between two samples.
    pub update_every: u32,
    pub protocol: Protocol,
    pub compression: Compression,
    pub values: Values,
    /// Of [`Values::Capture`], what was read.
    #[serde(skip)]
    pub columns: &'static [Column],
    /// `None`: the children have no past, and begin where they connect.
    pub database: Option<Database>,
    /// What host names begin with. Machine GUIDs follow from the names.
    pub name: String,
    /// Another seed, other values.
    pub seed: u64,
}

impl Default for Load {
    /// One child of a thousand dimensions.
    fn default() -> Load {
        Load {
            children: 1,
            charts: 100,
            dimensions: 10,
            update_every: 1,
            protocol: Protocol::V2,
            compression: Compression::Lz4,
            values: Values::Mixed,
            columns: &[],
            database: None,
            name: "child".into(),
            seed: 1,
        }
    }
}

impl Load {
    /// How the dimension at a position behaves, counted over all charts of a child.
    pub fn kind(&self, position: u64) -> Kind {
        match self.values {
            Values::Mixed => Kind::of(self.seed, position),
            Values::Constant => Kind::Constant,
            Values::Integers => Kind::Integer,
            Values::Gauges => Kind::Percent,
            Values::Counters => Kind::Counter,
            Values::Capture(_) => {
                Kind::Recorded(&self.columns[(position % self.columns.len() as u64) as usize])
            }
        }
    }

    /// All series of a child.
    pub fn series(&self, child: usize) -> ChildSeries {
        ChildSeries::new(self.seed, child as u64)
    }

    /// Samples a second when all children stream.
    pub fn samples_per_second(&self) -> f64 {
        self.metrics() as f64 / f64::from(self.update_every)
    }

    /// Dimensions of all children.
    pub fn metrics(&self) -> usize {
        self.children * self.charts * self.dimensions
    }

    /// What the children offer.
    pub fn offered(&self) -> Capabilities {
        let ready_made = Capabilities::INTERPOLATED | Capabilities::IEEE754 | Capabilities::SLOTS;
        let offered = match self.protocol {
            Protocol::V1 => Capabilities::OURS.without(ready_made),
            Protocol::V2 => Capabilities::OURS,
        };
        let offered = offered.without(Capabilities::COMPRESSIONS);
        match self.compression {
            Compression::Lz4 => offered | Capabilities::LZ4,
            Compression::Zstd => offered | Capabilities::ZSTD,
            Compression::Gzip => offered | Capabilities::GZIP,
            Compression::Brotli => offered | Capabilities::BROTLI,
            Compression::None => offered,
        }
    }

    /// The host name of a child, counted from 0 here and from 1 in the name.
    pub fn hostname(&self, child: usize) -> String {
        format!("{}-{:04}", self.name, child + 1)
    }

    /// A child's machine GUID: always the same for a name and a number.
    pub fn machine_guid(&self, child: usize) -> Uuid {
        let fold = |state: u64, byte: u8| mix(state ^ u64::from(byte));
        let name = self.hostname(child).bytes().fold(0, fold);
        let bytes = [mix(name), mix(!name)].map(u64::to_be_bytes).concat();
        let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    pub fn chart_id(&self, chart: usize) -> String {
        format!("load.chart_{:04}", chart + 1)
    }

    /// Charts come in tens of a context, as the interfaces and disks of a machine do.
    pub fn context(&self, chart: usize) -> String {
        format!("load.context_{:03}", chart / 10 + 1)
    }

    pub fn dimension_id(&self, dimension: usize) -> String {
        format!("value_{:02}", dimension + 1)
    }

    /// Where a dimension stands among all of a child.
    pub fn position(&self, chart: usize, dimension: usize) -> u64 {
        (chart * self.dimensions + dimension) as u64
    }

    /// How long after a boundary a child sends, in microseconds. However many are connected, they are spread evenly.
    ///
    /// Never close to a boundary: which sample a v1 parent makes of a collection depends on the side it falls on.
    pub fn phase_us(&self, child: usize) -> i64 {
        const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
        let place = ((child + 1) as f64 * GOLDEN_RATIO).fract();
        ((0.05 + 0.8 * place) * f64::from(self.update_every) * MICROSECONDS as f64) as i64
    }
}

#[cfg(test)]
pub(crate) fn small(protocol: Protocol) -> Load {
    Load { children: 3, charts: 4, protocol, name: "test".into(), ..Load::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn machine_guids_are_stable_and_different() {
        let load = small(Protocol::V1);
        let all: HashSet<Uuid> = (0..5000).map(|child| load.machine_guid(child)).collect();
        assert_eq!(all.len(), 5000);
        assert_eq!(load.machine_guid(0).to_string(), "6b84f55a-2b62-40a4-878d-37cd890c85e3");
        assert_eq!(load.hostname(0), "test-0001");
        let other = Load { name: "other".into(), ..load.clone() };
        assert_ne!(load.machine_guid(0), other.machine_guid(0));
    }

    #[test]
    fn children_are_spread_over_the_second_however_many_there_are() {
        let load = small(Protocol::V1);
        for count in [100, 1000, 5000] {
            let mut tenths = [0; 10];
            for child in 0..count {
                tenths[(load.phase_us(child) / 100_000) as usize] += 1;
            }
            assert!(tenths[1..8].iter().all(|found| (count / 12..=count / 6).contains(found)), "{tenths:?}");
            assert_eq!(tenths[9], 0);
        }
    }

    #[test]
    fn without_the_second_generation_nothing_of_it_is_offered() {
        assert!(small(Protocol::V2).offered().contains(Capabilities::INTERPOLATED));
        let first = small(Protocol::V1).offered();
        assert!(!first.intersects(Capabilities::INTERPOLATED | Capabilities::IEEE754 | Capabilities::SLOTS));
        let plain = Load { compression: Compression::None, ..small(Protocol::V1) };
        assert_eq!(plain.offered(), first.without(Capabilities::LZ4));
    }
}
