use super::*;
use crate::database::Database;
use crate::load::{Protocol, small};
use crate::value::ChildSeries;
use mainstem::wire::Inbound;
use mainstem::wire::capability::{Compression, negotiate};
use mainstem::wire::command::{Command, Instruction};
use mainstem::wire::compression::Workspace;
use mainstem::wire::handshake::{Reply, StreamRequest};
use mainstem::wire::inbound::InboundError;
use mainstem::wire::instruction::encode_instruction;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of a chart's past a parent asks for before the chart is live, and at once after that.
const NEWEST_S: i64 = 5;
const STEP_S: i64 = 600;

/// By host, chart and second: the values.
type Stored = Rc<RefCell<BTreeMap<(String, String), BTreeMap<i64, Vec<f64>>>>>;

/// What a parent knows of a chart in one connection.
#[derive(Debug, Default)]
struct Chart {
    /// The gap that is left when the chart is live: after the first second, up to the other.
    gap: Option<(i64, i64)>,
    is_live: bool,
}

/// A parent that asks for the newest rows of a chart first, and for older ones when it is live.
struct Parent {
    host: String,
    stored: Stored,
    charts: BTreeMap<String, Chart>,
    /// The chart, and the second, that the following values are of.
    chart: String,
    second: i64,
    /// How many the chart that is being defined has.
    dimensions: usize,
    answer: Vec<u8>,
}

impl Parent {
    fn ask(&mut self, start_streaming: bool, after: i64, before: i64) {
        let chart = self.chart.as_bytes();
        encode_instruction(
            &Instruction::ReplayChart { chart, start_streaming, after, before },
            &mut self.answer,
        );
    }

    fn ask_for_the_gap(&mut self) {
        let gap = self.charts.get(&self.chart).and_then(|chart| chart.gap);
        if let Some((after, before)) = gap {
            self.ask(false, after, before.min(after + STEP_S));
        }
    }

    /// What it has beyond a missing second, or has a part of, it forgets; tells the last second that it has.
    fn forget_after_a_gap(&mut self, first: i64) -> i64 {
        let key = (self.host.clone(), self.chart.clone());
        let mut stored = self.stored.borrow_mut();
        let rows = stored.entry(key).or_default();
        let is_whole = |second: &i64| rows.get(second).is_some_and(|row| row.len() == self.dimensions);
        let begun = rows.first_key_value().map_or(first, |(second, _)| *second);
        let missing = (begun..).take_while(is_whole).last().unwrap_or(begun - 1);
        rows.retain(|second, _| *second <= missing);
        missing
    }

    fn row(&mut self, second: i64) {
        self.second = second;
        let key = (self.host.clone(), self.chart.clone());
        let before = self.stored.borrow_mut().entry(key).or_default().insert(second, Vec::new());
        assert_eq!(before, None, "{second} of {} comes twice", self.chart);
    }

    fn apply(&mut self, command: Command<'_>) {
        let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
        match command {
            Command::Chart(definition) => {
                (self.chart, self.dimensions) = (text(definition.chart.id), 0);
            }
            Command::Dimension(_) => self.dimensions += 1,
            Command::ChartDefinitionEnd { first, last, .. } => {
                let missing = self.forget_after_a_gap(first);
                let after = missing.max(last - NEWEST_S);
                let gap = (after > missing).then_some((missing, after));
                self.charts.insert(self.chart.clone(), Chart { gap, is_live: false });
                self.ask(true, after, last);
            }
            Command::ReplayBegin { chart, point: None } => self.chart = text(chart.id),
            Command::ReplayBegin { point: Some(point), .. } => self.row(point.end),
            Command::Begin2 { chart, end_time, .. } => {
                self.chart = text(chart.id);
                assert!(self.charts[&self.chart].is_live, "live before `true`");
                self.row(end_time);
            }
            Command::ReplaySet { value, .. } | Command::Set2 { value, .. } => {
                let key = (self.host.clone(), self.chart.clone());
                let mut stored = self.stored.borrow_mut();
                let row = stored.get_mut(&key).and_then(|rows| rows.get_mut(&self.second));
                row.expect("a row").push(value);
            }
            Command::ReplayEnd { start_streaming, before, .. } => {
                let chart = self.charts.get_mut(&self.chart).expect("defined");
                if start_streaming {
                    chart.is_live = true;
                } else {
                    chart.gap = chart.gap.map(|(_, end)| (before, end)).filter(|(from, end)| from < end);
                }
                self.ask_for_the_gap();
            }
            _ => {}
        }
    }

    /// One connection, to its end; so long a pause before every read.
    async fn serve(mut stream: TcpStream, stored: Stored, pause: Duration) -> std::io::Result<()> {
        let mut received = vec![0; 64 << 10];
        let count = stream.read(&mut received).await?;
        let line = received[..count].to_vec();
        let request = StreamRequest::parse(&line).expect("a request").expect("a whole one").0;
        let offered = Capabilities::from_version(request.ver);
        let agreed = negotiate(offered, Capabilities::OURS, &Compression::CHILD_ORDER);
        stream.write_all(&Reply::Accepted(agreed).encode()).await?;
        let mut inbound = Inbound::new(agreed.compression());
        let mut parent = Parent {
            host: request.hostname,
            stored,
            charts: BTreeMap::new(),
            chart: String::new(),
            second: 0,
            dimensions: 0,
            answer: Vec::new(),
        };
        let mut unread = Vec::new();
        loop {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let count = stream.read(&mut received).await?;
            if count == 0 {
                return Ok(());
            }
            unread.extend_from_slice(&received[..count]);
            let mut apply = |command: Command<'_>| {
                parent.apply(command);
                Ok::<(), InboundError<()>>(())
            };
            let taken =
                inbound.feed(&unread, &mut Workspace::default(), &mut apply).expect("text of the protocol");
            unread.drain(..taken);
            stream.write_all(&std::mem::take(&mut parent.answer)).await?;
        }
    }
}

/// A parent's address, where it answers until the runtime ends.
async fn listen(stored: &Stored, pause: Duration) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stored = Rc::clone(stored);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A cut is no error.
            drop(spawn_local(Parent::serve(stream, Rc::clone(&stored), pause)));
        }
    });
    Target { address, key: Uuid::nil(), tls: None }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

/// Whether all of a chart's rows are there.
fn is_whole(rows: &BTreeMap<i64, Vec<f64>>, mut seconds: std::ops::RangeInclusive<i64>, load: &Load) -> bool {
    seconds.all(|second| rows.get(&second).is_some_and(|row| row.len() == load.dimensions))
}

async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[test]
fn after_a_cut_every_second_is_there_once() {
    let load = Load {
        database: Some(Database { send_buffer_bytes: 16 << 10, ..Database::new(3600, 120) }),
        ..small(Protocol::V2)
    };
    let stored = Stored::default();
    let test = async {
        let target = listen(&stored, Duration::ZERO).await;
        let fleet = Fleet::start(load.clone(), target, Duration::ZERO);
        let span = |fleet: &Fleet| fleet.span(0).expect("it streams");
        wait_until("live charts", || fleet.is_streaming()).await;
        let first = span(&fleet);
        assert!(first.begins && first.samples);
        // While older rows are on their way.
        fleet.cut().await;
        assert!(!fleet.is_streaming());
        assert_eq!(fleet.span(0), None);
        sleep(Duration::from_millis(2200)).await;
        fleet.resume(Duration::ZERO);
        wait_until("live charts", || fleet.is_streaming()).await;
        let again = span(&fleet);
        assert_eq!(again.first, first.first, "what was offered before the cut is offered still");
        wait_until("two more seconds", || span(&fleet).last >= again.last + 2).await;
        let seconds = first.first..=again.last + 2;
        let is_there = |rows: &BTreeMap<i64, Vec<f64>>| is_whole(rows, seconds.clone(), &load);
        wait_until("all seconds", || stored.borrow().values().all(is_there)).await;
        let report = fleet.report();
        fleet.stop().await;
        (first, again.last + 2, report)
    };
    let (first, last, report) = run(test);

    let stored = stored.borrow();
    assert_eq!(stored.len(), load.children * load.charts);
    for child in 0..load.children {
        let series = ChildSeries::new(load.seed, child as u64);
        for chart in 0..load.charts {
            let rows = &stored[&(load.hostname(child), load.chart_id(chart))];
            // This parent asks for the first row, too.
            assert_eq!(rows.first_key_value().map(|(second, _)| *second), Some(first.first - 1));
            for second in first.first..=last {
                let values = rows.get(&second).unwrap_or_else(|| panic!("{second} is missing"));
                let expected = (0..load.dimensions)
                    .map(|dimension| series.at(load.position(chart, dimension)).stored(second));
                assert_eq!(*values, expected.collect::<Vec<_>>());
            }
        }
    }
    assert_eq!((report.accepted, report.reconnects), (6, 3));
    assert!(report.replay.requests >= report.replay.answers && report.replay.answers >= 2 * 12);
    assert!(report.replay.rows >= 12 * 120);
    assert!(report.replay.bytes > 0 && report.replay.until_live_seconds > 0.0);
    assert_eq!(report.replay.lost_rows, 0);
}

#[test]
fn a_slow_parent_gets_the_present_while_it_catches_up_on_the_past() {
    let database = Database::new(3600, 1200);
    let load = Load {
        children: 1,
        charts: 20,
        compression: crate::load::Compression::None,
        database: Some(database),
        ..small(Protocol::V2)
    };
    let stored = Stored::default();
    let report = run(async {
        let target = listen(&stored, Duration::from_millis(2)).await;
        let fleet = Fleet::start(load.clone(), target, Duration::ZERO);
        wait_until("live charts", || fleet.is_streaming()).await;
        let span = fleet.span(0).expect("it streams");
        let is_there = |rows: &BTreeMap<i64, Vec<f64>>| is_whole(rows, span.first..=span.last, &load);
        wait_until("all seconds", || stored.borrow().values().all(is_there)).await;
        let report = fleet.report();
        fleet.stop().await;
        report
    });
    assert!(report.ends.is_empty(), "{:?}", report.ends);
    assert!(report.replay.rows >= 20 * 1190);
    assert!(report.delayed_bytes > 0, "the parent was not slow");
    assert!(report.replay.live_lag_max_ms < 2000.0, "{}", report.replay.live_lag_max_ms);
}
