//! What exists: hosts, their charts, the dimensions of those, and their labels.
//!
//! Descriptions are immutable and shared: the shard that owns a host changes its own copy and publishes a
//! [`HostSnapshot`] of it; readers on other cores keep whatever snapshot they hold. Nothing here says what was
//! measured; that is in the engine, under the [`GroupId`](dbengine::GroupId) that a chart carries.
//!
//! What is to survive a restart goes to the [`CatalogStore`] as [`CatalogChange`]s, in batches, and comes back as records
//! when the parent starts.

pub mod call;

pub mod chart;

pub mod dimension;

pub mod function;

pub mod host;

pub mod label;

pub mod missing;

pub mod store;

pub use chart::Chart;
pub use dimension::{Dimension, DimensionFields};
pub use host::{HostInfo, HostNews, HostSnapshot, HostState};
pub use label::{Label, Labels};
pub use missing::Missing;
pub use store::change::CatalogChange;
pub use store::record::{ChartRecord, HostRecord};
pub use store::{CatalogStore, MissingTimes, StoreError};
