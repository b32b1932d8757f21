//! The numbers by which a parent knows a chart and its dimensions.

use std::num::NonZeroU32;

use crate::wire::command::{Reference, Slot};

/// The slots of a chart, for parents that agreed to be told them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Slots {
    /// The places of the chart and of its dimensions.
    #[default]
    Places,
    /// Those that the child gave, so that its lines can go on as they are.
    Child {
        chart: Option<Slot>,
        /// By column; without any, the columns' places.
        dimensions: Box<[Option<Slot>]>,
    },
}

impl Slots {
    /// Those of a child; `dimensions` by column.
    pub fn of_child(chart: Option<Slot>, dimensions: Vec<Option<Slot>>) -> Self {
        let are_places = dimensions.iter().enumerate().all(|(column, slot)| *slot == place(column));
        let dimensions = if are_places { Vec::new() } else { dimensions };
        Self::Child { chart, dimensions: dimensions.into() }
    }

    /// Everything has a number of the child's.
    pub(super) fn are_complete(&self) -> bool {
        match self {
            Self::Places => false,
            Self::Child { chart, dimensions } => chart.is_some() && dimensions.iter().all(Option::is_some),
        }
    }

    /// The chart's own.
    pub(super) fn chart<'a>(&self, index: usize, id: &'a str) -> Reference<'a> {
        let slot = match self {
            Self::Places => place(index),
            Self::Child { chart, .. } => *chart,
        };
        Reference { slot, id: id.as_bytes() }
    }

    pub(super) fn dimension<'a>(&self, column: usize, id: &'a str) -> Reference<'a> {
        let slot = match self {
            Self::Child { dimensions, .. } if !dimensions.is_empty() => {
                dimensions.get(column).copied().flatten()
            }
            _ => place(column),
        };
        Reference { slot, id: id.as_bytes() }
    }
}

fn place(index: usize) -> Option<Slot> {
    u32::try_from(index + 1).ok().and_then(NonZeroU32::new).map(Slot)
}
