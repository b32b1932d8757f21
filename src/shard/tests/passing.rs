//! A host through a proxy whose parent agreed on what the child did: lines and packets go on as they are, whatever happens
//! in between.

use std::fmt::Write;

use dbengine::{Samples, TimeRange};
use proptest::prelude::*;

use super::*;
use crate::config::{LinkOptions, ParentKey, SendPolicy, sending};
use crate::sender::choice::Choice;
use crate::sender::{Answered, PastWish};
use crate::wire::capture::Capture;
use crate::wire::compression::Compressor;

const HOST: u128 = 7;
/// What the child offers: it has no past to ask for.
pub(super) const CHILD: Capabilities = Capabilities::OURS.without(Capabilities::REPLICATION);

/// A chart as the child knows it.
struct Chart {
    slot: usize,
    dimensions: usize,
}

/// A child that writes v2, or v1.
struct Child {
    agreed: Capabilities,
    charts: Vec<Chart>,
    compressor: Option<Compressor>,
    text: String,
}

impl Child {
    fn new(agreed: Capabilities, charts: usize) -> Self {
        let chart = |index: usize| Chart { slot: 2 * index + 5, dimensions: 1 + index % 12 };
        let mut child = Self {
            agreed,
            charts: (0..charts).map(chart).collect(),
            compressor: Compressor::new(agreed),
            text: String::new(),
        };
        (0..charts).for_each(|chart| child.define(chart));
        child
    }

    fn slot(&self, slot: usize) -> String {
        if self.agreed.contains(Capabilities::SLOTS) { format!("SLOT:{slot} ") } else { String::new() }
    }

    fn define(&mut self, index: usize) {
        let Chart { slot, dimensions } = self.charts[index];
        let slot = self.slot(slot);
        writeln!(
            self.text,
            "CHART {slot}\"t.c{index}\" \"\" \"a title\" \"units\" \"family\" \"t.c\" \"line\" {index} 1 \"\" \"p\" \"m\""
        )
        .expect("memory");
        for dimension in 0..dimensions {
            let slot = self.slot(dimensions - dimension);
            let id = format!("dimension{dimension}");
            writeln!(self.text, "DIMENSION {slot}\"{id}\" \"\" \"absolute\" 1 1 \"\"").expect("memory");
        }
    }

    fn collect(&mut self, index: usize, time: i64, variable: Option<i64>) {
        let Chart { slot, dimensions } = self.charts[index];
        let is_second = self.agreed.contains(Capabilities::INTERPOLATED);
        let slot = self.slot(slot);
        let begin = match is_second {
            true => format!("BEGIN2 {slot}'t.c{index}' 1 {time} #"),
            false => format!("BEGIN \"t.c{index}\" 1000000"),
        };
        writeln!(self.text, "{begin}").expect("memory");
        if let Some(value) = variable {
            writeln!(self.text, "VARIABLE CHART of_the_chart = {value}").expect("memory");
        }
        for dimension in 0..dimensions {
            let value = time % 1000 + (dimension * index) as i64;
            let slot = self.slot(dimensions - dimension);
            let set = match is_second {
                true => format!("SET2 {slot}'dimension{dimension}' {value} # A"),
                false => format!("SET \"dimension{dimension}\" = {value}"),
            };
            writeln!(self.text, "{set}").expect("memory");
        }
        self.text.push_str(if is_second { "END2\n" } else { "END\n" });
    }

    /// What it has written since, as it travels.
    fn take(&mut self) -> Vec<u8> {
        let text = std::mem::take(&mut self.text).into_bytes();
        let Some(compressor) = &mut self.compressor else { return text };
        let mut bytes = Vec::new();
        compressor.encode(&text, &mut bytes);
        bytes
    }
}

/// A proxy and its parent.
pub(super) struct Chain {
    pub(super) proxy: Story,
    pub(super) parent: Story,
    child: ConnectionId,
    /// The link as the proxy knows it, and as the parent does.
    link: Option<(ConnectionId, ConnectionId)>,
    links: u32,
    pub(super) now_us: i64,
}

impl Chain {
    pub(super) fn begin(mode: MemoryMode, child: Capabilities, parent: Capabilities) -> Self {
        let (mut proxy, mut upper) = (Story::begin(), Story::begin());
        proxy.capabilities = child;
        proxy.sending = Some(SendPolicy {
            destinations: sending::destinations("parent.example", 19_999).value.expect("a destination"),
            api_key: ParentKey("11111111-2222-3333-4444-555555555555".to_owned()),
            charts: sending::charts("*"),
            compression: true,
            link: LinkOptions::default(),
        });
        upper.capabilities = parent;
        proxy.compressions = &Compression::CHILD_ORDER;
        upper.compressions = &Compression::CHILD_ORDER;
        upper.config.database.mode = MemoryMode::Ram;
        let child = proxy.arrive_with(mode, START, 1, HOST);
        proxy.actions.clear();
        Self { proxy, parent: upper, child, link: None, links: 100, now_us: START }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let event = Event::Received { connection: self.child, bytes };
        self.proxy.shard.apply(self.now_us, event, &mut self.proxy.actions);
    }

    /// Lets both do what is due until neither has anything to say.
    pub(super) fn turn(&mut self) {
        loop {
            self.proxy.settle(self.now_us);
            self.parent.settle(self.now_us);
            let (mut up, mut down) = (Vec::new(), Vec::new());
            for action in std::mem::take(&mut self.proxy.actions) {
                match action {
                    Action::Connect { child, wish } => {
                        self.links += 1;
                        let link = ConnectionId { place: self.links, generation: self.links };
                        let event = Event::Connected {
                            child,
                            attempt: wish.attempt,
                            choice: Choice::only(),
                            outcome: Ok(link),
                        };
                        self.proxy.shard.apply(self.now_us, event, &mut self.proxy.actions);
                        self.proxy.actions.clear();
                        let behind = self.parent.arrive(self.now_us, self.links, HOST);
                        self.link = Some((link, behind));
                    }
                    Action::Send { connection, bytes } if self.is_link(connection) => up.push(bytes),
                    Action::Past(wish) => {
                        let event = Event::Past(Box::new(from_memory(wish)));
                        self.proxy.shard.apply(self.now_us, event, &mut self.proxy.actions);
                    }
                    _ => {}
                }
            }
            for action in std::mem::take(&mut self.parent.actions) {
                if let Action::Send { bytes, .. } = action {
                    down.push(bytes);
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
            let Some((link, behind)) = self.link else { return };
            for bytes in up {
                let event = Event::Received { connection: behind, bytes: &bytes };
                self.parent.shard.apply(self.now_us, event, &mut self.parent.actions);
            }
            for bytes in down {
                let event = Event::Received { connection: link, bytes: &bytes };
                self.proxy.shard.apply(self.now_us, event, &mut self.proxy.actions);
            }
        }
    }

    fn is_link(&self, connection: ConnectionId) -> bool {
        self.link.is_some_and(|(link, _)| link == connection)
    }

    fn cut(&mut self) {
        let Some((link, behind)) = self.link.take() else { return };
        let ended = |connection| Event::Ended { connection, reason: DisconnectReason::ClosedByChild };
        self.proxy.shard.apply(self.now_us, ended(link), &mut self.proxy.actions);
        self.parent.shard.apply(self.now_us, ended(behind), &mut self.parent.actions);
    }

    /// Lets a recorded child say everything again, in packets if `agreed` has a compression.
    fn replay(&mut self, capture: &Capture, agreed: Capabilities) {
        let mut compressor = Compressor::new(agreed);
        let lines = capture.lines();
        for together in lines.chunk_by(|one, next| one.0 == next.0) {
            let text: Vec<u8> = together.iter().flat_map(|(_, line)| line.iter().copied()).collect();
            let mut bytes = Vec::new();
            match &mut compressor {
                Some(compressor) => compressor.encode(&text, &mut bytes),
                None => bytes = text,
            }
            self.now_us = together[0].0;
            self.hear(&bytes);
            self.turn();
        }
        assert!(self.proxy.shard.connections() == 1, "the child says nothing that is wrong");
    }

    /// All that there is of the host's charts: id, rows of each dimension, variables.
    pub(super) fn told(story: &Story) -> Vec<String> {
        // A host that was away for long is forgotten.
        let Some(mirror) = story.shard.hosts.first() else { return Vec::new() };
        let mut all = Vec::new();
        for mirrored in mirror.charts() {
            let chart = &mirrored.chart;
            let rows = story.shard.engine.read(chart.group, TimeRange::ALL);
            for (column, dimension) in chart.dimensions.iter().enumerate() {
                let mut samples = Samples::default();
                rows.column(column, TimeRange::ALL, &mut samples);
                // What v1 replays has seven decimals.
                let points = samples.times.iter().zip(&samples.values);
                let points: Vec<_> = points.map(|(time, value)| format!("{time} {value:.4}")).collect();
                all.push(format!("{} {} {points:?}", chart.id, dimension.id));
            }
            all.push(format!("{} {:?}", chart.id, chart.variables));
        }
        let info = mirror.info();
        all.push(format!("{:?} {:?}", info.variables, info.labels.iter().collect::<Vec<_>>()));
        all.sort();
        all
    }

    pub(super) fn counters(&self) -> crate::sender::SendingCounters {
        self.proxy.shard.sending_counters().0
    }
}

/// What a thread that reads the disk says where there is none.
fn from_memory(wish: PastWish) -> Answered {
    match wish {
        PastWish::Oldest { link, .. } => Answered::Oldest { link, oldest: Vec::new() },
        PastWish::Rows { link, request, window, snapshot, columns } => {
            let span = TimeRange { first: UnixSeconds(window.after + 1), last: UnixSeconds(window.before) };
            let column = |column: usize| {
                let mut samples = Samples::default();
                snapshot.column(column, span, &mut samples);
                samples
            };
            Answered::Rows { link, request, window, columns: (0..columns).map(column).collect() }
        }
    }
}

/// What happens to a link, or to the child, beside its rows.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Nothing,
    LinkCut,
    /// The link is cut, and there is another one before the child goes on.
    LinkReplaced,
    /// A chart gets another dimension.
    Grown(usize),
    /// A chart gets another slot.
    Moved(usize),
    Variable(usize),
    HostVariable,
    Label,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => Just(Happening::Nothing),
        1 => Just(Happening::LinkCut),
        1 => Just(Happening::LinkReplaced),
        1 => (0usize..60).prop_map(Happening::Grown),
        1 => (0usize..60).prop_map(Happening::Moved),
        2 => (0usize..60).prop_map(Happening::Variable),
        2 => Just(Happening::HostVariable),
        1 => Just(Happening::Label),
    ]
}

/// Plays it, and says what the proxy counted.
fn play(chain: &mut Chain, child: &mut Child, seconds: &[(Happening, f64)]) {
    for (second, (happening, cut)) in seconds.iter().enumerate() {
        chain.now_us += SECOND;
        let time = chain.now_us / SECOND;
        let mut variable = None;
        match *happening {
            Happening::Nothing | Happening::LinkCut | Happening::LinkReplaced => {}
            Happening::Grown(chart) => {
                child.charts[chart].dimensions += 1;
                child.define(chart);
            }
            Happening::Moved(chart) => {
                child.charts[chart].slot += 1000;
                child.define(chart);
            }
            Happening::Variable(chart) => variable = Some(chart),
            Happening::HostVariable => {
                writeln!(child.text, "VARIABLE HOST of_the_host = {second}").expect("memory");
            }
            Happening::Label => {
                let text = format!("LABEL \"l{second}\" = 1 \"v\"\nOVERWRITE labels\n");
                child.text.push_str(&text);
            }
        }
        for chart in 0..child.charts.len() {
            child.collect(chart, time, variable.filter(|which| *which == chart).map(|_| time));
        }
        let bytes = child.take();
        let (first, rest) = bytes.split_at((bytes.len() as f64 * cut) as usize);
        chain.hear(first);
        if matches!(happening, Happening::LinkCut | Happening::LinkReplaced) {
            chain.cut();
        }
        chain.turn();
        if matches!(happening, Happening::LinkReplaced) {
            chain.now_us += 8 * SECOND;
            chain.turn();
        }
        chain.hear(rest);
        chain.turn();
        assert!(chain.proxy.shard.connections() == 1, "the child says nothing that is wrong");
    }
    // What was asked for late, and links that begin anew.
    for _ in 0..40 {
        chain.now_us += SECOND;
        chain.turn();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_parent_has_what_the_proxy_has(
        seconds in proptest::collection::vec((happening(), 0.0..1.0f64), 10..60),
        with_slots in any::<bool>(),
        compression in prop::sample::select(vec![Capabilities::LZ4, Capabilities::ZSTD, Capabilities::NONE]),
    ) {
        let mut agreed = CHILD.without(Capabilities::COMPRESSIONS).with(compression);
        if !with_slots {
            agreed = agreed.without(Capabilities::SLOTS);
        }
        let mut chain = Chain::begin(MemoryMode::Ram, agreed, agreed.with(Capabilities::REPLICATION));
        let mut child = Child::new(agreed, 60);
        play(&mut chain, &mut child, &seconds);
        // A link that was cut comes back, the later the more of them ended soon: five minutes at the most.
        let begun_us = chain.now_us;
        while chain.link.is_none() {
            play(&mut chain, &mut child, &[(Happening::Nothing, 0.5)]);
            prop_assert!(chain.now_us - begun_us <= 350 * SECOND, "no link after {:?}", chain.counters());
        }
        // Charts are defined for it before their next rows.
        play(&mut chain, &mut child, &[(Happening::Nothing, 0.5); 15]);
        prop_assert_eq!(Chain::told(&chain.proxy), Chain::told(&chain.parent));
    }
}

#[test]
fn nearly_all_of_an_undisturbed_child_goes_on_as_packets() {
    let quiet = vec![(Happening::Nothing, 0.3); 60];
    for mode in [MemoryMode::None, MemoryMode::Ram] {
        let agreed = CHILD.without(Capabilities::ZSTD);
        let mut chain = Chain::begin(mode, agreed, agreed.with(Capabilities::REPLICATION));
        let mut child = Child::new(agreed, 120);
        play(&mut chain, &mut child, &quiet);
        let counters = chain.counters();
        assert!(counters.passed_rows > 120 * 50, "{counters:?}");
        // A second is two packets, of which the first end inside a line.
        assert!(counters.forwarded_packets > 100, "{counters:?}");
        let (proxy, parent) = (Chain::told(&chain.proxy), Chain::told(&chain.parent));
        assert_eq!(proxy.len(), parent.len());
        if mode == MemoryMode::Ram {
            assert_eq!(proxy, parent);
        }
    }
}

#[test]
fn collected_values_go_on_as_they_are_once_intervals_are_trusted() {
    let first =
        CHILD.without(Capabilities::INTERPOLATED).without(Capabilities::SLOTS).without(Capabilities::ZSTD);
    let mut chain = Chain::begin(MemoryMode::Ram, first, first.with(Capabilities::REPLICATION));
    let mut child = Child::new(first, 60);
    play(&mut chain, &mut child, &[(Happening::Nothing, 0.3); 60]);
    let counters = chain.counters();
    assert!(counters.passed_rows > 60 * 50 && counters.forwarded_packets > 50, "{counters:?}");
    assert_eq!(Chain::told(&chain.proxy), Chain::told(&chain.parent));
}

/// What of these is not the same, from the first character that is not.
pub(super) fn differences(one: &[String], other: &[String]) -> Vec<String> {
    let differ = |(one, other): (&String, &String)| {
        let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let part = |text: &str| {
            text.get(same.saturating_sub(30)..).unwrap_or_default()[..].chars().take(80).collect::<String>()
        };
        let id: String = one.chars().take(40).collect();
        (one != other).then(|| format!("{id}: {} is {}", part(one), part(other)))
    };
    let mut all: Vec<String> = one.iter().zip(other).filter_map(differ).collect();
    if one.len() != other.len() {
        all.push(format!("{} of them are {}", one.len(), other.len()));
    }
    all
}

#[test]
fn recorded_children_arrive_at_a_parent_behind_a_proxy() {
    for connection in ["01-v137-lz4.conn0", "02-v137-plain.conn0", "05-v2-plain.conn0", "12-v211-plain.conn0"]
    {
        let capture = Capture::load(connection);
        let recorded = capture.agreed();
        for compression in [Capabilities::NONE, Capabilities::LZ4] {
            let agreed = recorded.without(Capabilities::COMPRESSIONS).with(compression);
            // What is stored twice is to be comparable: nothing of the past is asked for.
            let child = agreed.without(Capabilities::REPLICATION);
            let mut chain = Chain::begin(MemoryMode::Ram, child, agreed.with(Capabilities::REPLICATION));
            chain.replay(&capture, child);
            let counters = chain.counters();
            assert!(counters.passed_rows > counters.rows / 2, "{connection}: {counters:?}");
            assert!(counters.rows > 100, "{connection}: {counters:?}");
            let (proxy, parent) = (Chain::told(&chain.proxy), Chain::told(&chain.parent));
            assert_eq!(differences(&proxy, &parent), Vec::<String>::new(), "{connection}");
        }
    }
}

#[test]
fn a_child_of_another_form_than_its_parent_is_told_in_our_words() {
    let agreed = CHILD.without(Capabilities::ZSTD);
    let parent = agreed.with(Capabilities::REPLICATION).without(Capabilities::SLOTS);
    let mut chain = Chain::begin(MemoryMode::Ram, agreed, parent);
    let mut child = Child::new(agreed, 60);
    play(&mut chain, &mut child, &[(Happening::Nothing, 0.3); 20]);
    let counters = chain.counters();
    assert_eq!((counters.passed_rows, counters.forwarded_packets), (0, 0));
    assert_eq!(Chain::told(&chain.proxy), Chain::told(&chain.parent));
}
