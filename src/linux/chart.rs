//! Charts as tables, and their text in the protocol of external plugins.
//!
//! A subject lists its charts in a `const` table of [`Chart`]s. A [`Layout`] knows which collected value each dimension
//! takes; [`Charts`] are the charts of one thing (the machine, a disk, an interface): values are [`put`](Charts::put)
//! by the name they have in the kernel's file, and [`write`](Charts::write) turns them into lines.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

/// The module of charts that come from no file: what a label says instead of nothing.
const NO_MODULE: &str = "[none]";
/// A label that we found out ourselves.
const AUTOMATIC: u8 = 1;

/// How a chart is drawn.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Line,
    Area,
    Stacked,
}

impl Style {
    fn word(self) -> &'static str {
        match self {
            Style::Line => "line",
            Style::Area => "area",
            Style::Stacked => "stacked",
        }
    }
}

/// When a chart comes to exist. A chart without any value is never written.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    /// As soon as there are values.
    Always,
    /// With the first value that is not zero; from then on always. What a machine does not use is not shown.
    NonZero,
    /// With the chart before it in the table.
    WithPrevious,
}

/// How collected values become samples.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Absolute,
    Incremental,
    /// Its share of what all dimensions of the row grew by.
    ShareOfGrowth,
}

impl Algorithm {
    fn word(self) -> &'static str {
        match self {
            Algorithm::Absolute => "absolute",
            Algorithm::Incremental => "incremental",
            Algorithm::ShareOfGrowth => "percentage-of-incremental-row",
        }
    }
}

/// A dimension of a chart in a table.
pub(super) struct Dimension {
    id: &'static str,
    name: &'static str,
    /// The collected value it takes.
    from: &'static str,
    algorithm: Algorithm,
    multiplier: i64,
    divisor: i64,
    /// Its values are counted in units whose size only the machine knows: pages, blocks.
    in_units: bool,
    is_hidden: bool,
    /// Without a value it is no dimension; others are 0 then.
    is_optional: bool,
}

const fn dimension(id: &'static str, algorithm: Algorithm) -> Dimension {
    Dimension {
        id,
        name: id,
        from: id,
        algorithm,
        multiplier: 1,
        divisor: 1,
        in_units: false,
        is_hidden: false,
        is_optional: false,
    }
}

pub(super) const fn absolute(id: &'static str) -> Dimension {
    dimension(id, Algorithm::Absolute)
}

pub(super) const fn incremental(id: &'static str) -> Dimension {
    dimension(id, Algorithm::Incremental)
}

pub(super) const fn share_of_growth(id: &'static str) -> Dimension {
    dimension(id, Algorithm::ShareOfGrowth)
}

impl Dimension {
    pub(super) const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(super) const fn from(mut self, key: &'static str) -> Self {
        self.from = key;
        self
    }

    pub(super) const fn times(mut self, multiplier: i64) -> Self {
        self.multiplier = multiplier;
        self
    }

    pub(super) const fn over(mut self, divisor: i64) -> Self {
        self.divisor = divisor;
        self
    }

    /// Drawn downwards, as what goes out is.
    pub(super) const fn negative(mut self) -> Self {
        self.multiplier = -self.multiplier;
        self
    }

    pub(super) const fn in_units(mut self) -> Self {
        self.in_units = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    pub(super) const fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// A chart in a table. In `id` and `context` a `*` stands for the instance (a disk's name); a family `*` is the instance's family.
pub(super) struct Chart {
    id: &'static str,
    title: &'static str,
    units: &'static str,
    family: &'static str,
    context: &'static str,
    style: Style,
    priority: u32,
    /// Cores and the like: each instance's number is added to the priority.
    is_numbered: bool,
    is_detail: bool,
    when: When,
    dimensions: &'static [Dimension],
}

pub(super) const fn chart(
    id: &'static str,
    title: &'static str,
    units: &'static str,
    family: &'static str,
    priority: u32,
) -> Chart {
    Chart {
        id,
        title,
        units,
        family,
        context: id,
        style: Style::Line,
        priority,
        is_numbered: false,
        is_detail: false,
        when: When::Always,
        dimensions: &[],
    }
}

impl Chart {
    pub(super) const fn context(mut self, context: &'static str) -> Self {
        self.context = context;
        self
    }

    pub(super) const fn area(mut self) -> Self {
        self.style = Style::Area;
        self
    }

    pub(super) const fn stacked(mut self) -> Self {
        self.style = Style::Stacked;
        self
    }

    pub(super) const fn numbered(mut self) -> Self {
        self.is_numbered = true;
        self
    }

    pub(super) const fn detail(mut self) -> Self {
        self.is_detail = true;
        self
    }

    pub(super) const fn if_not_zero(mut self) -> Self {
        self.when = When::NonZero;
        self
    }

    pub(super) const fn with_previous(mut self) -> Self {
        self.when = When::WithPrevious;
        self
    }

    pub(super) const fn dimensions(mut self, dimensions: &'static [Dimension]) -> Self {
        self.dimensions = dimensions;
        self
    }
}

/// A table of charts, and where the values of their dimensions are.
pub(super) struct Layout {
    plugin: &'static str,
    module: &'static str,
    charts: &'static [Chart],
    /// A place for each collected value that some dimension takes.
    places: HashMap<&'static [u8], usize, FixedState>,
    /// The place of each dimension's value, chart after chart.
    sources: Vec<usize>,
}

impl Layout {
    pub(super) fn new(plugin: &'static str, module: &'static str, charts: &'static [Chart]) -> Arc<Self> {
        let mut places = HashMap::default();
        let dimensions = charts.iter().flat_map(|chart| chart.dimensions);
        let sources = dimensions
            .map(|dimension| {
                let next = places.len();
                *places.entry(dimension.from.as_bytes()).or_insert(next)
            })
            .collect();
        Arc::new(Self { plugin, module, charts, places, sources })
    }
}

/// What tells the charts of one disk from those of another. The machine's own charts have the default.
#[derive(Clone, Default)]
pub(super) struct Instance {
    /// Stands for the `*` in ids.
    pub(super) id: String,
    /// Another name of the same, for people; empty if there is none.
    pub(super) name: String,
    pub(super) family: String,
    pub(super) number: u32,
    /// How much a value counts of dimensions that are `in_units`.
    pub(super) unit: i64,
    pub(super) labels: Vec<(&'static str, String)>,
}

/// Where the text goes, and which interval it is about.
pub(super) struct Lines<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) elapsed_us: u64,
    pub(super) update_every_s: u32,
}

/// What is known of a chart since it came to exist.
#[derive(Clone, Copy, Default)]
struct Shown {
    exists: bool,
    /// Time since its last row; none before the first.
    since_us: Option<u64>,
}

/// The charts of one thing, with their values of now.
pub(super) struct Charts {
    layout: Arc<Layout>,
    instance: Instance,
    values: Vec<Option<i64>>,
    shown: Vec<Shown>,
    /// Which dimensions are defined, chart after chart.
    defined: Vec<bool>,
}

impl Charts {
    pub(super) fn new(layout: &Arc<Layout>, instance: Instance) -> Self {
        Self {
            layout: layout.clone(),
            instance,
            values: vec![None; layout.places.len()],
            shown: vec![Shown::default(); layout.charts.len()],
            defined: vec![false; layout.sources.len()],
        }
    }

    /// Charts of the machine itself.
    pub(super) fn of_machine(
        plugin: &'static str,
        module: &'static str,
        charts: &'static [Chart],
        unit: i64,
    ) -> Self {
        Self::new(&Layout::new(plugin, module, charts), Instance { unit, ..Instance::default() })
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// How much a value of dimensions that are `in_units` counts; before they are first written.
    pub(super) fn set_unit(&mut self, unit: i64) {
        self.instance.unit = unit;
    }

    /// Hands in a collected value; one that no dimension takes is ignored.
    pub(super) fn put(&mut self, key: impl AsRef<[u8]>, value: impl Into<Collected>) {
        if let Some(&place) = self.layout.places.get(key.as_ref()) {
            self.values[place] = Some(value.into().0);
        }
    }

    /// Adds to a value, for those that are a sum.
    pub(super) fn add(&mut self, key: impl AsRef<[u8]>, value: impl Into<Collected>) {
        if let Some(&place) = self.layout.places.get(key.as_ref()) {
            let sum = self.values[place].unwrap_or(0).wrapping_add(value.into().0);
            self.values[place] = Some(sum);
        }
    }

    /// A value that was handed in for the row to come.
    pub(super) fn get(&self, key: &str) -> Option<i64> {
        self.layout.places.get(key.as_bytes()).and_then(|&place| self.values[place])
    }

    /// Writes a row of each chart that has values, after its definition if it is new. The values are gone then.
    pub(super) fn write(&mut self, lines: &mut Lines<'_>) {
        let layout = self.layout.clone();
        let mut first = 0;
        let mut previous_exists = false;
        for (chart, at) in layout.charts.iter().zip(0..) {
            let range = first..first + chart.dimensions.len();
            first = range.end;
            let values = layout.sources[range.clone()].iter().map(|&place| self.values[place]);
            let shown = &mut self.shown[at];
            shown.since_us = shown.since_us.map(|since| since.saturating_add(lines.elapsed_us));
            let wanted = match chart.when {
                When::Always => true,
                When::NonZero => values.clone().flatten().any(|value| value != 0),
                When::WithPrevious => previous_exists,
            };
            shown.exists |= wanted;
            previous_exists = shown.exists;
            if !shown.exists || !values.clone().any(|value| value.is_some()) {
                continue;
            }
            let mut is_news = false;
            for ((dimension, value), defined) in
                chart.dimensions.iter().zip(values.clone()).zip(&mut self.defined[range.clone()])
            {
                is_news |= !*defined && (value.is_some() || !dimension.is_optional);
                *defined |= value.is_some() || !dimension.is_optional;
            }
            if is_news {
                define(lines, &layout, chart, &self.instance, &self.defined[range.clone()], "");
            }
            begin(lines.out, chart, &self.instance, self.shown[at].since_us);
            for ((dimension, value), defined) in chart.dimensions.iter().zip(values).zip(&self.defined[range])
            {
                if *defined && (value.is_some() || !dimension.is_optional) {
                    set(lines.out, dimension.id, value.unwrap_or(0));
                }
            }
            lines.out.extend_from_slice(b"END\n");
            self.shown[at].since_us = Some(0);
        }
        self.values.fill(None);
    }

    /// Whether this chart of the table exists by now.
    pub(super) fn exists(&self, id: &str) -> bool {
        let place = self.layout.charts.iter().position(|chart| chart.id == id);
        place.is_some_and(|place| self.shown[place].exists)
    }

    /// Says of all charts that they are no longer collected: the thing is gone.
    pub(super) fn retire(&mut self, lines: &mut Lines<'_>) {
        let mut first = 0;
        for (chart, shown) in self.layout.charts.iter().zip(&mut self.shown) {
            let range = first..first + chart.dimensions.len();
            first = range.end;
            if shown.since_us.is_some() {
                define(lines, &self.layout, chart, &self.instance, &self.defined[range.clone()], "obsolete");
            }
            *shown = Shown::default();
            self.defined[range].fill(false);
        }
        self.values.fill(None);
    }
}

/// A collected value: the kernel counts in 64 bits without a sign, the protocol has one.
pub(super) struct Collected(i64);

impl From<i64> for Collected {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

impl From<u64> for Collected {
    fn from(value: u64) -> Self {
        Self(value.cast_signed())
    }
}

impl From<bool> for Collected {
    fn from(value: bool) -> Self {
        Self(i64::from(value))
    }
}

/// `text` with the instance in place of `*`, as it stands in ids.
fn put_id(out: &mut Vec<u8>, text: &str, instance: &Instance) {
    match text.split_once('*') {
        Some((before, after)) => {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(instance.id.as_bytes());
            out.extend_from_slice(after.as_bytes());
        }
        None => out.extend_from_slice(text.as_bytes()),
    }
}

/// A word in quotes. Mount points and devices are named by others: what would end the word or the line is replaced.
fn put_quoted(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b" \"");
    out.extend(text.bytes().map(|byte| match byte {
        b'"' => b'\'',
        b'\\' => b'/',
        0..b' ' | 0x7f => b' ',
        other => other,
    }));
    out.push(b'"');
}

fn put_number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn begin(out: &mut Vec<u8>, chart: &Chart, instance: &Instance, since_us: Option<u64>) {
    out.extend_from_slice(b"BEGIN \"");
    put_id(out, chart.id, instance);
    out.push(b'"');
    // Of the first row the time is not known: whoever reads measures it.
    put_number(out, since_us.unwrap_or(0));
    out.push(b'\n');
}

fn set(out: &mut Vec<u8>, dimension: &str, value: i64) {
    out.extend_from_slice(b"SET");
    put_quoted(out, dimension);
    out.extend_from_slice(b" =");
    put_number(out, value);
    out.push(b'\n');
}

/// What stands in front of a chart's dimensions. `obsolete` is that word, or nothing.
#[cold]
fn put_head(
    lines: &mut Lines<'_>,
    (plugin, module): (&str, &str),
    chart: &Chart,
    instance: &Instance,
    obsolete: &str,
) {
    let out = &mut *lines.out;
    let id = chart.id.replacen('*', &instance.id, 1);
    let family = if chart.family == "*" { &instance.family } else { chart.family };
    out.extend_from_slice(b"CHART");
    let context = chart.context.replacen('*', &instance.id, 1);
    for word in [&id, &instance.name, chart.title, chart.units, family, &context, chart.style.word()] {
        put_quoted(out, word);
    }
    put_number(out, chart.priority + if chart.is_numbered { instance.number } else { 0 });
    put_number(out, lines.update_every_s);
    let options = [obsolete, if chart.is_detail { "detail" } else { "" }].join(" ");
    for word in [options.trim(), plugin, module] {
        put_quoted(out, word);
    }
    out.push(b'\n');
    let own = [
        ("_collect_plugin", plugin),
        ("_collect_module", if module.is_empty() { NO_MODULE } else { module }),
    ];
    let labels = instance.labels.iter().map(|(key, value)| (*key, value.as_str()));
    for (key, value) in own.into_iter().chain(labels) {
        out.extend_from_slice(b"CLABEL");
        put_quoted(out, key);
        put_quoted(out, value);
        put_number(out, AUTOMATIC);
        out.push(b'\n');
    }
    out.extend_from_slice(b"CLABEL_COMMIT\n");
}

#[cold]
fn define(
    lines: &mut Lines<'_>,
    layout: &Layout,
    chart: &Chart,
    instance: &Instance,
    defined: &[bool],
    obsolete: &str,
) {
    put_head(lines, (layout.plugin, layout.module), chart, instance, obsolete);
    for (dimension, _) in chart.dimensions.iter().zip(defined).filter(|(_, defined)| **defined) {
        put_dimension(lines.out, (dimension.id, dimension.name), dimension, instance.unit, "");
    }
}

/// `name` is an id and a name: those of `dimension`, or of one that is like it.
fn put_dimension(out: &mut Vec<u8>, name: (&str, &str), dimension: &Dimension, unit: i64, obsolete: &str) {
    out.extend_from_slice(b"DIMENSION");
    for word in [name.0, name.1, dimension.algorithm.word()] {
        put_quoted(out, word);
    }
    let unit = if dimension.in_units { unit } else { 1 };
    put_number(out, dimension.multiplier.saturating_mul(unit));
    put_number(out, dimension.divisor);
    put_quoted(out, if dimension.is_hidden { "hidden" } else { obsolete });
    out.push(b'\n');
}

/// A dimension of a [`Growing`] chart.
struct Grown {
    id: String,
    name: String,
    value: Option<i64>,
}

/// A chart whose dimensions the kernel names: interrupts, services. All are like the one in its table, and one that gets
/// no value for a row is gone.
pub(super) struct Growing {
    origin: (&'static str, &'static str),
    chart: &'static Chart,
    instance: Instance,
    dimensions: Vec<Grown>,
    /// Where the next value is looked for first: they come in the same order each time.
    expected: usize,
    is_news: bool,
    since_us: Option<u64>,
}

impl Growing {
    /// `origin` is the plugin and its module.
    pub(super) fn new(
        origin: (&'static str, &'static str),
        chart: &'static Chart,
        instance: Instance,
    ) -> Self {
        Self { origin, chart, instance, dimensions: Vec::new(), expected: 0, is_news: false, since_us: None }
    }

    pub(super) fn put(&mut self, id: &[u8], name: &[u8], value: impl Into<Collected>) {
        let is_it = |grown: &Grown| grown.id.as_bytes() == id;
        let at = if self.dimensions.get(self.expected).is_some_and(is_it) {
            self.expected
        } else {
            self.dimensions.iter().position(is_it).unwrap_or_else(|| {
                let (id, name) = (clean(id), clean(name));
                self.dimensions.push(Grown { id, name, value: None });
                self.is_news = true;
                self.dimensions.len() - 1
            })
        };
        let grown = &mut self.dimensions[at];
        grown.value = Some(value.into().0);
        if grown.name.as_bytes() != name && grown.name != clean(name) {
            grown.name = clean(name);
            self.is_news = true;
        }
        self.expected = at + 1;
    }

    pub(super) fn write(&mut self, lines: &mut Lines<'_>) {
        self.since_us = self.since_us.map(|since| since.saturating_add(lines.elapsed_us));
        if self.is_news || self.dimensions.iter().any(|grown| grown.value.is_none()) {
            self.define(lines, "");
        }
        self.is_news = false;
        self.expected = 0;
        if self.dimensions.is_empty() {
            return;
        }
        begin(lines.out, self.chart, &self.instance, self.since_us);
        self.since_us = Some(0);
        for grown in &mut self.dimensions {
            set(lines.out, &grown.id, grown.value.take().unwrap_or(0));
        }
        lines.out.extend_from_slice(b"END\n");
    }

    /// Says that the chart is no longer collected.
    pub(super) fn retire(&mut self, lines: &mut Lines<'_>) {
        if self.since_us.take().is_some() {
            self.define(lines, "obsolete");
        }
        self.dimensions.clear();
    }

    #[cold]
    fn define(&mut self, lines: &mut Lines<'_>, obsolete: &str) {
        put_head(lines, self.origin, self.chart, &self.instance, obsolete);
        for grown in &self.dimensions {
            let obsolete = if grown.value.is_none() { "obsolete" } else { "" };
            let unit = self.instance.unit;
            put_dimension(lines.out, (&grown.id, &grown.name), &self.chart.dimensions[0], unit, obsolete);
        }
        self.dimensions.retain(|grown| grown.value.is_some());
    }
}

/// Text of the kernel as it can stand in quotes.
fn clean(word: &[u8]) -> String {
    let mut out = Vec::with_capacity(word.len() + 3);
    put_quoted(&mut out, &String::from_utf8_lossy(word));
    String::from_utf8_lossy(&out[2..out.len() - 1]).into_owned()
}
