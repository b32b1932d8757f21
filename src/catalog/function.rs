//! A function: something that a child can be asked to do, and answers with a document.

use std::collections::{BTreeMap, BTreeSet};

use ecow::EcoString;

/// One function, under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub help: EcoString,
    pub tags: EcoString,
    /// How long the child may take, in seconds.
    pub timeout_s: u32,
    pub access: Access,
    pub priority: i64,
    /// Of the host; else of some of its charts.
    pub is_global: bool,
    /// The ids of the charts that it was offered with; none of a global one.
    pub charts: BTreeSet<EcoString>,
}

impl Function {
    /// Whether another one says the same of itself, whatever charts the two are of.
    pub fn is_described_as(&self, other: &Function) -> bool {
        let Function { help, tags, timeout_s, access, priority, is_global, charts: _ } = other;
        (&self.help, &self.tags) == (help, tags)
            && (self.timeout_s, self.access, self.priority, self.is_global)
                == (*timeout_s, *access, *priority, *is_global)
    }
}

/// The functions of a host by their names.
pub type Functions = BTreeMap<EcoString, Function>;

/// Bits of who may call a function: 1 signed in, 2 of the same space, 4 of a paid space, 8 anonymous data, 16 sensitive
/// data, from 32 on configuration. Children before 1.45 ask for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Access(pub u64);

impl Access {
    /// What every visitor of the dashboard has.
    pub const VISITOR: Access = Access(8);

    /// Whether somebody with these bits may call what needs `needed`.
    pub fn permits(self, needed: Access) -> bool {
        needed.0 & !self.0 == 0
    }
}

/// `0x13`, as lines have it.
impl std::fmt::Display for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:#x}", self.0)
    }
}

/// The function that a call names: what stands before its arguments, which begin at a space.
pub fn called<'f>(functions: &'f Functions, call: &str) -> Option<&'f Function> {
    let ends = std::iter::once(call.len()).chain(call.rmatch_indices(' ').map(|(at, _)| at));
    ends.map(|end| call[..end].trim_end()).find_map(|name| functions.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_a_call_begins_with_is_called() {
        let function = |timeout_s| Function {
            help: EcoString::new(),
            tags: EcoString::new(),
            timeout_s,
            access: Access::default(),
            priority: 0,
            is_global: true,
            charts: BTreeSet::new(),
        };
        let functions: Functions =
            [("top", 1), ("top of all", 2), ("x", 3)].map(|(name, s)| (name.into(), function(s))).into();
        for (call, found) in [
            ("top", Some(1)),
            ("top  by:cpu", Some(1)),
            ("top of", Some(1)),
            ("top of all the rest", Some(2)),
            ("x", Some(3)),
            ("xy", None),
            ("to p", None),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(called(&functions, call).map(|function| function.timeout_s), found, "{call:?}");
        }
    }

    #[test]
    fn a_visitor_may_call_what_needs_no_more_than_anonymous_data() {
        for (needed, permitted) in [(0, true), (8, true), (0x13, false), (24, false), (1 << 40, false)] {
            assert_eq!(Access::VISITOR.permits(Access(needed)), permitted, "{needed:#x}");
        }
    }
}
