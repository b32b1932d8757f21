//! [`CatalogChange`]: how the catalog of one shard becomes what is stored of it.

use ecow::EcoString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::record::{self, ChartRecord, HostRecord, RecordError};

/// One change. Each says all of its subject, so that applying it again changes nothing, and the last one counts.
///
/// A change is also a note of the journal: its bytes are a record, as in [`record`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CatalogChange {
    /// The host is new, or is known anew.
    Host(HostRecord),
    /// The chart is new, or is known anew.
    Chart { host: Uuid, chart: ChartRecord },
    /// The chart of this id is gone.
    ForgetChart { host: Uuid, chart: EcoString },
    /// The host of this machine GUID is gone, and all of its charts.
    ForgetHost(Uuid),
    /// The chart lacks rows of these times, and only these, that its child may have: first and last, unix seconds.
    Missing { host: Uuid, chart: EcoString, spans: Vec<(i64, i64)> },
}

impl CatalogChange {
    /// Appends its bytes.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        record::encode(self, bytes);
    }

    /// The change of these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        record::decode(bytes)
    }
}
