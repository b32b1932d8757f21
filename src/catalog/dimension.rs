//! A dimension: one line of a chart.

use ecow::EcoString;
use serde::{Deserialize, Serialize};

use super::store::record::DimensionRecord;
use crate::wire::command::Algorithm;

/// What a child says of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionFields {
    /// Unique in its chart, and what data lines name; as the child sent it, but valid UTF-8.
    pub id: EcoString,
    /// For people; the same as the id when the child gave none.
    pub name: EcoString,
    pub algorithm: Algorithm,
    /// Never 0.
    pub multiplier: i64,
    /// Never 0.
    pub divisor: i64,
    /// Not drawn unless asked for, but counted in percentages.
    pub hidden: bool,
    /// Its child stopped collecting it.
    pub obsolete: bool,
    /// Counter resets are not flagged.
    pub no_reset: bool,
}

/// A dimension as its child defined it: the same in 40 bytes, as a parent has them by the million. Its place in the chart
/// is its column in the chart's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DimensionRecord", into = "DimensionRecord")]
pub struct Dimension {
    pub id: EcoString,
    rare: Option<Box<Rare>>,
    /// Both, unless `rare` has them.
    multiplier: i32,
    divisor: i32,
    pub algorithm: Algorithm,
    pub hidden: bool,
    pub obsolete: bool,
    pub no_reset: bool,
}

/// What most dimensions have not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rare {
    /// One that is not the id.
    name: Option<EcoString>,
    /// Multiplier and divisor, if one of them is beyond 32 bits.
    scale: Option<(i64, i64)>,
}

impl Dimension {
    pub fn name(&self) -> &EcoString {
        self.rare.as_ref().and_then(|rare| rare.name.as_ref()).unwrap_or(&self.id)
    }

    /// Never 0.
    pub fn multiplier(&self) -> i64 {
        self.wide_scale().map_or(i64::from(self.multiplier), |(multiplier, _)| multiplier)
    }

    /// Never 0.
    pub fn divisor(&self) -> i64 {
        self.wide_scale().map_or(i64::from(self.divisor), |(_, divisor)| divisor)
    }

    #[cfg(test)]
    pub(crate) fn rename(&mut self, name: &str) {
        *self = DimensionFields { name: name.into(), ..self.clone().into() }.into();
    }

    fn wide_scale(&self) -> Option<(i64, i64)> {
        self.rare.as_ref()?.scale
    }
}

impl From<DimensionFields> for Dimension {
    fn from(fields: DimensionFields) -> Dimension {
        let DimensionFields { id, name, algorithm, multiplier, divisor, hidden, obsolete, no_reset } = fields;
        let name = (name != id).then_some(name);
        let (scale, multiplier, divisor) = match (i32::try_from(multiplier), i32::try_from(divisor)) {
            (Ok(multiplier), Ok(divisor)) => (None, multiplier, divisor),
            _ => (Some((multiplier, divisor)), 1, 1),
        };
        let rare = (name.is_some() || scale.is_some()).then(|| Box::new(Rare { name, scale }));
        Dimension { id, rare, multiplier, divisor, algorithm, hidden, obsolete, no_reset }
    }
}

impl From<Dimension> for DimensionFields {
    fn from(dimension: Dimension) -> DimensionFields {
        DimensionFields {
            name: dimension.name().clone(),
            multiplier: dimension.multiplier(),
            divisor: dimension.divisor(),
            id: dimension.id,
            algorithm: dimension.algorithm,
            hidden: dimension.hidden,
            obsolete: dimension.obsolete,
            no_reset: dimension.no_reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn most_are_small() {
        assert_eq!(size_of::<Dimension>(), 40);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            names in any::<[bool; 2]>(),
            multiplier in prop_oneof![any::<i64>(), -1000_i64..1000],
            divisor in prop_oneof![any::<i64>(), -1000_i64..1000],
            flags in any::<[bool; 3]>(),
        ) {
            let text = |long| EcoString::from(if long { "a name that is not inline" } else { "short" });
            let fields = DimensionFields {
                id: text(names[0]),
                name: text(names[1]),
                algorithm: Algorithm::Incremental,
                multiplier,
                divisor,
                hidden: flags[0],
                obsolete: flags[1],
                no_reset: flags[2],
            };
            prop_assert_eq!(DimensionFields::from(Dimension::from(fields.clone())), fields);
        }
    }
}
