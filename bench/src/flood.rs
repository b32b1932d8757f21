//! [`Flood`]: children that send a past of theirs as live data, as fast as they are told to: what a parent takes, not what
//! a second's clock allows.
//!
//! ```text
//! a voice: packets of each second, made before    child 0: voice 0    child 1: voice 1 ..    child 4: voice 0 ..
//! ```
//!
//! Children with the same voice send the same values, each over a connection and a host of its own: only so can the core
//! beside the parent's offer more than it takes. Their definitions go out as plain text, which may come between packets, so
//! the packets refer to each other only and are the same for all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mainstem::wire::capability::{Capabilities, Compression, negotiate};
use mainstem::wire::handshake::{Reply, StreamRequest, encode_request, parse_reply};
use mainstem_child::Load;
use mainstem_child::packets::PacketEncoder;
use mainstem_child::script::{Collection, Identity, Script};
use mainstem_child::value::MICROSECONDS;
use mainstem_child::verify::Window;
use uuid::Uuid;

/// Different values at the same time.
pub(crate) const VOICES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// Connected children, and what they have to send.
#[derive(Debug)]
pub(crate) struct Flood {
    /// By voice, then by second.
    voices: Vec<Vec<Vec<u8>>>,
    children: Vec<Child>,
    samples_of_second: usize,
    /// The second before the first.
    first: i64,
}

#[derive(Debug)]
struct Child {
    stream: TcpStream,
    voice: usize,
    /// Seconds that were sent, and how much of the next one.
    sent: usize,
    offset: usize,
}

impl Flood {
    /// Connects all children of a load, which have `seconds` to send, the last of them `now`.
    pub(crate) fn start(
        parent: SocketAddr,
        key: Uuid,
        load: &Load,
        seconds: usize,
        now: i64,
    ) -> Result<Flood> {
        let offered = load.offered().without(Capabilities::REPLICATION);
        let first = now - seconds as i64;
        let (mut agreed, mut script) = (None, None);
        let mut children = Vec::with_capacity(load.children);
        for number in 0..load.children {
            let (stream, theirs) = connect(parent, key, load, number, offered)?;
            let agreed = *agreed.get_or_insert_with(|| negotiate(theirs, offered, &Compression::CHILD_ORDER));
            let script = script.get_or_insert_with(|| Script::new(load, agreed));
            let mut text = Vec::new();
            let (machine_guid, hostname) = (load.machine_guid(number).to_string(), load.hostname(number));
            script.greet(Identity { machine_guid: &machine_guid, hostname: &hostname }, &mut text);
            script.define(None, first, &mut text);
            let mut child = Child { stream, voice: number % VOICES, sent: 0, offset: 0 };
            child.stream.write_all(&text)?;
            child.stream.set_nonblocking(true)?;
            children.push(child);
        }
        let (agreed, script) = agreed.zip(script).context("no children")?;
        let voice = |voice: usize| {
            let mut encoder = PacketEncoder::new(agreed);
            let second = |second: i64| {
                let collection =
                    Collection { second, moment_us: second * MICROSECONDS, elapsed_us: MICROSECONDS };
                let mut text = Vec::new();
                for chart in 0..script.charts() {
                    script.row(chart, load.series(voice), collection, &mut text);
                }
                let Some(encoder) = &mut encoder else { return text };
                let mut packets = Vec::new();
                encoder.encode(&text, &mut packets);
                packets
            };
            (first + 1..=now).map(second).collect()
        };
        let voices = (0..VOICES).map(voice).collect();
        Ok(Flood { voices, children, samples_of_second: load.charts * load.dimensions, first })
    }

    /// Sends what sockets take, up to so many seconds of each child: one of each, then the next. Says whether that was
    /// anything.
    pub(crate) fn send(&mut self, up_to: usize) -> Result<bool> {
        let mut has_sent = false;
        let behind = self.children.iter().map(|child| child.sent).min().unwrap_or(up_to);
        for second in behind..up_to {
            for child in self.children.iter_mut().filter(|child| child.sent == second) {
                let packets = &self.voices[child.voice][second];
                match child.stream.write(&packets[child.offset..]) {
                    Ok(0) => bail!("a connection was closed"),
                    Ok(count) => child.offset += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error).context("a connection was lost"),
                }
                has_sent = true;
                if child.offset == packets.len() {
                    (child.sent, child.offset) = (second + 1, 0);
                }
            }
        }
        Ok(has_sent)
    }

    /// The seconds that a child has sent.
    pub(crate) fn span(&self, child: usize) -> Window {
        Window { first: self.first + 1, last: self.first + self.children[child].sent as i64 }
    }

    /// Whole seconds of children that were handed to the kernel, in samples.
    pub(crate) fn samples(&self) -> u64 {
        self.children.iter().map(|child| (child.sent * self.samples_of_second) as u64).sum()
    }
}

fn connect(
    parent: SocketAddr,
    key: Uuid,
    load: &Load,
    number: usize,
    offered: Capabilities,
) -> Result<(TcpStream, Capabilities)> {
    let mut stream = TcpStream::connect(parent)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = StreamRequest {
        key: key.to_string(),
        hostname: load.hostname(number),
        registry_hostname: load.hostname(number),
        machine_guid: load.machine_guid(number).to_string(),
        update_every: Some(load.update_every),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        mc_version: 1,
        ver: offered.version(),
        program_name: env!("CARGO_PKG_NAME").into(),
        program_version: format!("v{}", env!("CARGO_PKG_VERSION")),
        ..StreamRequest::default()
    };
    stream.write_all(&encode_request(&request))?;
    let mut reply = [0; 4096];
    let length = stream.read(&mut reply)?;
    match parse_reply(&reply[..length]) {
        Some(Reply::Accepted(theirs)) => Ok((stream, theirs)),
        _ => bail!("the parent answers: {}", String::from_utf8_lossy(&reply[..length])),
    }
}
