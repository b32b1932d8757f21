//! The HTTP API: [`Api::handle`] takes a request to the handler it names. A handler turns the request into questions
//! for the shards and their answers into bytes, and decides nothing else.
//!
//! | path | handler |
//! |---|---|
//! | `/api/v1/…` | [`v1`], [`contexts`], [`data`], [`allmetrics`], [`functions`], [`weights`], [`alarms`], [`badge`], [`registry`] |
//! | `/netdata.conf` | the configuration in force |
//! | `/api/v2/nodes`, `/api/v2/nodes/forget` | [`nodes`]: how the hosts are, for operators |
//! | `/api/v2/…`, `/api/v3/…` | [`fleet`]: questions over many hosts at once |
//! | `/api/v3/stream_path` | who is between a host and us, as agents tell each other |
//! | `/api/v3/stream_info` | [`stream_info`]: asked by children of 2.1 and later before they connect |
//! | `/host/<name or GUID>/…` | the same for a mirrored host |
//! | `/metrics`, `/-/healthy` | our own figures, and whether all shards turn |
//! | `/`, `/host/<…>/`, `/compare` and the others of [`dashboard::VIEWS`] | the dashboard's page |
//! | `/assets/…` | what it loads |
//! | `/v1/…`, and every other name | [`files`]: a Netdata's dashboard and other files of its web directory |
//!
//! Source: HTTP API reference of Netdata 1.37.1, sections 1 and 2. Left out on purpose: its caching of what changes,
//! its decoding before splitting, its echo of the request in redirects.

mod access;

mod admission;

mod alarms;

mod allmetrics;

mod answer;

mod badge;

mod body;

mod contexts;

mod data;

mod dbengine_stats;

mod directory;

mod files;

mod fleet;

pub mod format;

mod functions;

mod members;

pub mod nodes;

mod object;

mod piecewise;

mod registry;

mod request;

mod storage;

mod stream_info;

mod v1;

mod weights;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use dbengine::{GroupKey, GroupSnapshot, TimeRange};
use flate2::Compression;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::catalog::{Chart, HostNews, HostSnapshot};
use crate::collecting::identity;
use crate::config::identity::ManagementKey;
use crate::config::{Config, Effective, Rights};
use crate::dashboard;
use crate::query::{Tier, Workspace};
use crate::runtime::clock::Clock;
use crate::runtime::{RegistryWish, breathe};
use crate::shard::message::{ChartGroup, GroupState, Message, Question};
use crate::shard::placement::ShardId;
use crate::telemetry::Telemetry;
use crate::wire::stream_path::StreamPath;
use access::AccessLine;
use admission::{Admission, RunningQuery};
use answer::{Answer, HTML, JSON, TEXT, escape_html};
pub use body::Body;
use directory::Directory;
use request::Target;
pub use storage::Storage;

/// Reading and decoding go on so long before other requests have their turn.
const TURN: Duration = Duration::from_millis(2);
/// How long a shard may take to answer before the client is told to come back.
const SHARD_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Charts that a shard is asked for the spans of in one message: finding them takes it, and us, some hundred microseconds.
const SPANS_AT_ONCE: usize = 1024;
const FORBIDDEN: &str = "You are not allowed to access this resource.";

/// The API of one parent, on the query shard's thread.
#[derive(Debug)]
pub struct Api {
    config: Arc<Config>,
    effective: watch::Receiver<Effective>,
    /// Who knows it may manage, if the address may.
    management_key: ManagementKey,
    directory: Directory,
    shards: Vec<mpsc::Sender<Message>>,
    storage: RefCell<Storage>,
    /// None when this parent is no registry.
    registry: Option<SyncSender<RegistryWish>>,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    scrapes: RefCell<allmetrics::Scrapes>,
    workspace: RefCell<Workspace>,
    admission: Admission,
    visitors: Rc<Cell<usize>>,
}

/// What the API answers with.
#[derive(Debug)]
pub struct Resources {
    pub config: Arc<Config>,
    /// What `/netdata.conf` shows.
    pub effective: watch::Receiver<Effective>,
    /// Our own.
    pub machine_guid: Uuid,
    pub management_key: ManagementKey,
    pub shards: Vec<mpsc::Sender<Message>>,
    pub storage: Storage,
    /// None when this parent is no registry.
    pub registry: Option<SyncSender<RegistryWish>>,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
}

/// Who asks, as far as the connection tells.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub peer: SocketAddr,
    pub rights: Rights,
    pub scheme: Scheme,
}

/// Whether a connection is encrypted, and whether it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    /// Not encrypted, where children need not be: browsers are sent to https.
    HttpOfChildren,
    /// Not encrypted, where all must be.
    HttpToHttps,
    Https,
}

/// A connection that is being served; dropping it is its end.
#[derive(Debug)]
pub struct Visitor {
    all: Rc<Cell<usize>>,
    telemetry: Arc<Telemetry>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.all.set(self.all.get() - 1);
        self.telemetry.http.clients.store(self.all.get() as u64, Relaxed);
    }
}

impl Api {
    pub fn new(resources: Resources) -> Self {
        let Resources { config, machine_guid, .. } = resources;
        let directory = Directory::new(identity::host_info(&config, machine_guid));
        let admission = Admission::new(config.queries.clone(), Arc::clone(&resources.telemetry));
        Self {
            config,
            effective: resources.effective,
            management_key: resources.management_key,
            directory,
            shards: resources.shards,
            storage: RefCell::new(resources.storage),
            registry: resources.registry,
            telemetry: resources.telemetry,
            clock: resources.clock,
            scrapes: RefCell::default(),
            workspace: RefCell::default(),
            admission,
            visitors: Rc::default(),
        }
    }

    /// There is something new of a host.
    pub fn hear(&self, news: HostNews) {
        match news {
            HostNews::Changed(snapshot) => self.directory.publish(snapshot),
            HostNews::Forgotten(host) => self.directory.forget(&host),
        }
    }

    /// A connection begins.
    pub fn enter(&self) -> Visitor {
        self.visitors.set(self.visitors.get() + 1);
        self.telemetry.http.clients.store(self.visitors.get() as u64, Relaxed);
        Visitor { all: Rc::clone(&self.visitors), telemetry: Arc::clone(&self.telemetry) }
    }

    /// Connections being served.
    pub fn visitors(&self) -> usize {
        self.visitors.get()
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>, client: Client) -> Response<Body> {
        let begun = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let mut line = AccessLine::new(client.peer, method, uri, Arc::clone(&self.telemetry));
        let answer = self.route(&request, client).await;
        let gzip = self.config.web.gzip.then(|| Compression::new(self.config.web.gzip_level));
        let mut response = answer.into_response(request.headers(), gzip).await;
        if self.config.web.respects_do_not_track {
            let headers = response.headers_mut();
            headers.entry(registry::TRACKING).or_insert(HeaderValue::from_static("N"));
        }
        line.answered(response.status());
        self.telemetry.http_requests.add(code_label(response.status()));
        self.telemetry.http.answered(begun.elapsed());
        response.map(|body| body.told_by(line))
    }

    async fn route(&self, request: &Request<Incoming>, client: Client) -> Answer {
        let Client { rights, scheme, .. } = client;
        // What a child asks before it connects is answered where it may connect.
        let is_childs = request.uri().path() == "/api/v3/stream_info";
        if scheme == Scheme::HttpToHttps || (scheme == Scheme::HttpOfChildren && !is_childs) {
            return to_https(request);
        }
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::POST if request.uri().path() == nodes::FORGET => {}
            Method::OPTIONS if !rights.intersects(Rights::ALL.without(Rights::STREAMING)) => {
                return Answer::error(StatusCode::FORBIDDEN, FORBIDDEN);
            }
            Method::OPTIONS => return options(),
            _ => return Answer::error(StatusCode::BAD_REQUEST, "I don't understand you...\r\n"),
        }
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let target = match Target::parse(target) {
            Ok(target) => target,
            Err(error) => return Answer::error(StatusCode::BAD_REQUEST, format!("{error}\r\n")),
        };
        let segments: Vec<&str> = target.segments.iter().map(String::as_str).collect();
        if let ["api", "v3", "stream_info"] = segments[..] {
            return stream_info::answer(self, &target).await;
        }
        if request.uri().path() == nodes::FORGET {
            return nodes::forget(self, request, &target, rights).await;
        }
        let Route { host, is_of_netdata, rest } = Route::of(&segments);
        let needed = needed_rights(rest, &target);
        if !rights.intersects(needed) {
            return Answer::error(StatusCode::FORBIDDEN, FORBIDDEN);
        }
        let found = match host {
            None => self.directory.localhost(),
            Some(name) => match self.directory.find(name) {
                Some(found) => found,
                None => {
                    let name = escape_html(name);
                    return Answer::html_error(
                        StatusCode::NOT_FOUND,
                        format!("This netdata does not maintain a database for host: {name}"),
                    );
                }
            },
        };
        match rest {
            // Without its slash a page's relative links would lead elsewhere.
            [] if !target.trailing_slash && (host.is_some() || is_of_netdata) => {
                redirect(request, &target, scheme)
            }
            ["host", ..] if host.is_some() => {
                Answer::error(StatusCode::BAD_REQUEST, "Nesting of hosts is not allowed.")
            }
            ["api", "v1", command @ ..] if !command.is_empty() || target.trailing_slash => {
                let mut command = command.join("/");
                if target.trailing_slash && !command.is_empty() {
                    command.push('/');
                }
                let asked = Asked { host: &found, request, target: &target, client };
                self.v1(&command, asked).await
            }
            ["api", ..] => self.route_api(found, rest, &target).await,
            ["netdata.conf"] => Answer::new(TEXT, self.effective.borrow().to_string()),
            path if is_of_netdata => files::answer(&self.config.directories.web, path.join("/")).await,
            path => self.route_page(path).await,
        }
    }

    /// What a path of the API means for one host, but for the commands of v1.
    async fn route_api(&self, host: Arc<HostSnapshot>, segments: &[&str], target: &Target) -> Answer {
        match segments {
            ["api"] => Answer::error(StatusCode::BAD_REQUEST, "Which API version?"),
            ["api", "v1"] => Answer::error(StatusCode::BAD_REQUEST, "Which API v1 command?"),
            ["api", "v3", "stream_path"] => Answer::json(&StreamPath::of(&host.stream_path)),
            ["api", "v2" | "v3", "nodes"] => nodes::answer(self, target).await,
            ["api", "v2" | "v3", command] if fleet::COMMANDS.contains(command) => {
                fleet::answer(self, command, target).await
            }
            ["api", version, ..] => {
                let version = escape_html(version);
                Answer::html_error(StatusCode::NOT_FOUND, format!("Unsupported API version: {version}"))
            }
            path => files::missing(&path.join("/")),
        }
    }

    /// What is the same for every host: our own pages, and files of a Netdata's web directory behind them.
    async fn route_page(&self, path: &[&str]) -> Answer {
        match path {
            [] | ["index.html"] => page(),
            [view] if dashboard::VIEWS.contains(view) => page(),
            ["assets", name] => asset(name),
            ["metrics"] => Answer::new("text/plain; version=0.0.4", self.telemetry.prometheus()),
            ["-", "healthy"] if self.telemetry.healthy() => Answer::new(TEXT, "OK\n"),
            ["-", "healthy"] => Answer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "A shard does not answer; see the log and /metrics.\n",
            ),
            ["version.txt"] => Answer::new(TEXT, concat!("v", env!("CARGO_PKG_VERSION"), "\n")),
            path => files::answer(&self.config.directories.web, path.join("/")).await,
        }
    }

    async fn v1(&self, command: &str, asked: Asked<'_>) -> Answer {
        let Asked { host, request, target, client } = asked;
        match command {
            "info" => v1::info(self, host),
            "charts" => v1::charts(self, host).await,
            "chart" => v1::chart(self, host, target).await,
            "archivedcharts" => v1::archived_charts(self, host).await,
            "contexts" => contexts::all(self, host, target).await,
            "context" => contexts::one(self, host, target).await,
            "data" => data::answer(self, host, target).await,
            "badge.svg" => badge::answer(self, host, target).await,
            "weights" => weights::answer(self, host, target, weights::Shape::Contexts).await,
            "metric_correlations" => weights::answer(self, host, target, weights::Shape::Charts).await,
            "alarms" => alarms::alarms(self, host),
            "alarms_values" => alarms::values(host),
            "alarm_log" => alarms::log(),
            "alarm_count" => alarms::count(),
            "alarm_variables" => alarms::variables(self, host, target).await,
            "variable" => alarms::variable(self, host, target).await,
            "manage/health" if !nodes::may_manage(self, request, client.rights) => nodes::not_a_manager(),
            "manage/health" => alarms::manage(target),
            "registry" => registry::answer(self, host, request, target, client.scheme).await,
            "aclk" => Answer::new(JSON, "{\"aclk-available\":false}"),
            "function" => functions::call(self, host, target, client.peer).await,
            "functions" => functions::list(host),
            "dbengine_stats" => dbengine_stats::answer(self),
            "allmetrics" => allmetrics::answer(self, host, target, client.peer).await,
            other => {
                let command = escape_html(other);
                Answer::error(StatusCode::NOT_FOUND, format!("Unsupported v1 API command: {command}"))
            }
        }
    }

    /// Oldest and newest row of each chart, wherever its rows are; `None` when their shard does not answer in time.
    async fn spans(&self, shard: ShardId, charts: &[&Chart]) -> Option<Vec<Option<TimeRange>>> {
        let groups = charts.iter().map(|chart| ChartGroup::from(*chart)).collect();
        let mut spans = self.ask(shard, |answer| Question::Spans { groups, answer }).await?;
        let storage = self.storage.borrow();
        for (chart, span) in charts.iter().zip(&mut spans) {
            *span = storage.span(GroupKey(chart.key), *span);
        }
        Some(spans)
    }

    /// The same, and the newest row of each.
    async fn states(&self, shard: ShardId, charts: &[&Chart]) -> Option<Vec<GroupState>> {
        let groups = charts.iter().map(|chart| ChartGroup::from(*chart)).collect();
        let mut states = self.ask(shard, |answer| Question::States { groups, answer }).await?;
        let storage = self.storage.borrow();
        for (chart, state) in charts.iter().zip(&mut states) {
            state.span = storage.span(GroupKey(chart.key), state.span);
        }
        Some(states)
    }

    /// The rows of each group in a window, of a tier, from memory and from disk.
    async fn rows(
        &self,
        shard: ShardId,
        groups: Vec<ChartGroup>,
        window: TimeRange,
        tier: Tier,
    ) -> Option<Vec<GroupSnapshot>> {
        let mut snapshots = self.ask(shard, |answer| Question::Rows { groups, window, answer }).await?;
        let mut turn = Instant::now();
        for snapshot in &mut snapshots {
            self.storage.borrow_mut().complete(snapshot, tier);
            if turn.elapsed() >= TURN {
                breathe().await;
                turn = Instant::now();
            }
        }
        Some(snapshots)
    }

    /// Of each tier: how many rows of the one below make one of its.
    fn tier_factors(&self) -> Vec<u32> {
        self.config.database.tiers.iter().map(|tier| tier.factor).collect()
    }

    /// Begins to ask a shard for rows; `None` when it is gone.
    async fn begin_rows(
        &self,
        shard: ShardId,
        groups: Vec<ChartGroup>,
        window: TimeRange,
    ) -> Option<oneshot::Receiver<Vec<GroupSnapshot>>> {
        let (answer, answered) = oneshot::channel();
        let asked = Message::Asked(Question::Rows { groups, window, answer });
        let sent = self.shards.get(shard.index())?.send(asked);
        tokio::time::timeout(SHARD_ANSWERS_WITHIN, sent).await.ok()?.ok()?;
        Some(answered)
    }

    /// Asks a shard; `None` when it does not answer in time.
    async fn ask<T>(
        &self,
        shard: ShardId,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.shards.get(shard.index())?.send(Message::Asked(question(answer))).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(SHARD_ANSWERS_WITHIN, asked).await.ok().flatten()
    }
}

/// [`Api::spans`] of any number of charts, for a question that lets others have their turn in between.
async fn spans(
    api: &Api,
    shard: ShardId,
    charts: &[&Chart],
    query: &mut RunningQuery,
) -> Result<Vec<Option<TimeRange>>, Answer> {
    let mut spans = Vec::with_capacity(charts.len());
    for charts in charts.chunks(SPANS_AT_ONCE) {
        match api.spans(shard, charts).await {
            Some(found) => spans.extend(found),
            None => return Err(query.fails(Answer::overloaded())),
        }
        query.step().await?;
    }
    Ok(spans)
}

/// A command of v1 on its way to its handler.
#[derive(Clone, Copy)]
struct Asked<'a> {
    host: &'a Arc<HostSnapshot>,
    request: &'a Request<Incoming>,
    target: &'a Target,
    client: Client,
}

/// A path: whose it is about, and what of it. `/v1` in front, or behind the host, is the place of a Netdata's dashboard,
/// whose own requests come below it.
#[derive(Debug, PartialEq, Eq)]
struct Route<'a> {
    host: Option<&'a str>,
    is_of_netdata: bool,
    rest: &'a [&'a str],
}

impl<'a> Route<'a> {
    fn of(segments: &'a [&'a str]) -> Self {
        let mut route = Route { host: None, is_of_netdata: false, rest: segments };
        loop {
            match route.rest {
                ["v1", rest @ ..] if !route.is_of_netdata => {
                    route = Route { is_of_netdata: true, rest, ..route };
                }
                ["host"] if route.host.is_none() => return Route { host: Some(""), rest: &[], ..route },
                ["host", name, rest @ ..] if route.host.is_none() => {
                    route = Route { host: Some(name), rest, ..route };
                }
                _ => return route,
            }
        }
    }
}

/// The rights of which a client needs one.
fn needed_rights(path: &[&str], target: &Target) -> Rights {
    match path {
        ["netdata.conf"] => Rights::NETDATA_CONF,
        ["api", "v1", "badge.svg"] => Rights::DASHBOARD | Rights::BADGES,
        ["api", "v1", "manage", ..] => Rights::MANAGEMENT,
        ["api", "v1", "registry"] if !registry::is_hello(target) => Rights::REGISTRY,
        _ => Rights::DASHBOARD,
    }
}

/// `OPTIONS` of any path.
fn options() -> Answer {
    Answer::new(TEXT, "OK")
        .with_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, OPTIONS")
        .with_header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "accept, x-requested-with, origin, content-type, cookie, pragma, cache-control, x-auth-token",
        )
        .with_header(header::ACCESS_CONTROL_MAX_AGE, "1209600")
}

/// Scheme and host of a request, as its sender knows us.
fn origin_of(request: &Request<Incoming>, scheme: Scheme) -> String {
    let host = header_of(request, "x-forwarded-host").or_else(|| header_of(request, "host"));
    let is_https = scheme == Scheme::Https || header_of(request, "x-forwarded-proto") == Some("https");
    format!("{}://{}", if is_https { "https" } else { "http" }, host.unwrap_or("localhost"))
}

/// The same with its slash.
fn redirect(request: &Request<Incoming>, target: &Target, scheme: Scheme) -> Answer {
    let origin = origin_of(request, scheme);
    let path = request.uri().path().trim_end_matches('/');
    let query = if target.raw_query.is_empty() { String::new() } else { format!("?{}", target.raw_query) };
    Answer::error(StatusCode::PERMANENT_REDIRECT, "Permanent redirect")
        .with_header(header::LOCATION, format!("{origin}{path}/{query}"))
}

/// The same over TLS, on the port that was asked.
fn to_https(request: &Request<Incoming>) -> Answer {
    let host = header_of(request, "host").unwrap_or("localhost");
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let location = format!("https://{host}{target}");
    let link = escape_html(&location);
    let page = format!(
        "<!DOCTYPE html><html><body>This is served encrypted: <a href=\"{link}\">{link}</a></body></html>"
    );
    Answer::html_error(StatusCode::MOVED_PERMANENTLY, page).with_header(header::LOCATION, location)
}

fn header_of<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The dashboard.
fn page() -> Answer {
    Answer::new(HTML, dashboard::page())
        .with_header(header::CONTENT_SECURITY_POLICY, dashboard::CONTENT_SECURITY_POLICY)
}

/// A file of the dashboard's: whoever has it never asks for it again.
fn asset(name: &str) -> Answer {
    let path = format!("assets/{name}");
    match dashboard::file(&path) {
        // Fonts are compressed as they are.
        Some(file) => Answer {
            cacheable: true,
            gzip: !file.content_type().starts_with("font/"),
            ..Answer::new(file.content_type(), file.bytes)
        }
        .with_header(header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        None => files::missing(&path),
    }
}

/// The codes that are answered, as label values.
fn code_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        301 => "301",
        308 => "308",
        400 => "400",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
