//! Control groups.
use super::Subject;
use super::chart::Lines;
use super::text::Reader;
pub(super) struct Cgroups;
impl Cgroups {
    pub(super) fn new(_: &Reader) -> Self {
        Self
    }
}
impl Subject for Cgroups {
    fn collect(&mut self, _: &mut Reader, _: &mut Lines<'_>) {}
}
