//! TLS: who is encrypted, who is sent away, and what becomes of bad certificates; with children and browsers made here,
//! and with a real Netdata.
//!
//! The rows are those of "Expected behaviors" in Netdata's documentation of streaming: what the parent has, what its port
//! demands, what the child does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstem::config::{Cipher, Config, Demand, PortTls, Tls, TlsVersion};
use mainstem::runtime::clock::Clock;
use mainstem::wire::handshake::encode_request;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use uuid::Uuid;

use crate::child::{Child, V1, V2, greet, guid_of, request};
use crate::harness::{PATIENCE, Response, TestParent, get, parse_response};
use crate::peer::Netdata;

const DEFINITION: &str = "CHART \"test.chart\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                          DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";
const START: i64 = 1_795_342_200;

/// An authority, the files of what it signed, and itself as a file.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate with its key.
pub(crate) struct Signed {
    certificate: Certificate,
    key: KeyPair,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of two authorities of one name a client would take the one for the other.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", Uuid::new_v4()));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { directory, issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for these names, good until the end of a year; its files have the name `file`.
    pub(crate) fn sign(&self, file: &str, names: &[&str], last_year: i32) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let path = |kind: &str| self.directory.path().join(format!("{file}-{kind}.pem"));
        std::fs::write(path("cert"), certificate.pem()).expect("written");
        std::fs::write(path("key"), key.serialize_pem()).expect("written");
        Signed { certificate, key, certificate_file: path("cert"), key_file: path("key") }
    }

    /// A certificate that signed itself, for the parent of a test.
    fn self_signed(&self, file: &str) -> Signed {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let path = |kind: &str| self.directory.path().join(format!("{file}-{kind}.pem"));
        std::fs::write(path("cert"), certificate.pem()).expect("written");
        std::fs::write(path("key"), key.serialize_pem()).expect("written");
        Signed { certificate, key, certificate_file: path("cert"), key_file: path("key") }
    }

    /// For the parent of a test.
    pub(crate) fn sign_for_parent(&self, file: &str) -> Signed {
        self.sign(file, &["127.0.0.1", "localhost"], 2049)
    }

    /// What a client that trusts this authority says.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_with(None)
    }

    fn client_with(&self, own: Option<&Signed>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = own.key.serialize_der().try_into().expect("a key");
                builder
                    .with_client_auth_cert(vec![own.certificate.der().clone()], key)
                    .expect("a certificate")
            }
        };
        config.resumption = Resumption::disabled();
        config
    }
}

impl Signed {
    /// The options of a parent that shows it.
    pub(crate) fn options(&self) -> Tls {
        Tls {
            key: Some(self.key_file.clone()),
            certificate: Some(self.certificate_file.clone()),
            is_required: true,
            newest_version: TlsVersion::V1_3,
            ciphers: Cipher::all(),
        }
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.certificate.der()
    }
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose handshake is done.
pub(crate) fn connect(address: SocketAddr, config: &ClientConfig) -> io::Result<Encrypted> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(Arc::new(config.clone()), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends a whole request and reads until the parent says goodbye.
fn ask(address: SocketAddr, config: &ClientConfig, request: &str) -> io::Result<Response> {
    let mut stream = connect(address, config)?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(parse_response(&bytes))
}

fn get_encrypted(address: SocketAddr, config: &ClientConfig, path: &str) -> Response {
    ask(address, config, &format!("GET {path} HTTP/1.1\r\nHost: parent\r\nConnection: close\r\n\r\n"))
        .expect("an answer")
}

/// A child that encrypts, connected.
pub(crate) struct EncryptedChild {
    pub(crate) stream: Encrypted,
}

impl EncryptedChild {
    pub(crate) fn connect(address: SocketAddr, config: &ClientConfig, key: &str, hostname: &str) -> Self {
        let (stream, answer) = Self::greet(address, config, key, hostname);
        assert_eq!(answer, format!("Hit me baby, push them over with the version={V2}"));
        Self { stream }
    }

    /// The connection, and the answer to a request on it.
    fn greet(address: SocketAddr, config: &ClientConfig, key: &str, hostname: &str) -> (Encrypted, String) {
        let mut stream = connect(address, config).expect("a handshake");
        let request = crate::child::request_with(key, hostname, guid_of(hostname), V2);
        stream.write_all(&encode_request(&request)).expect("sent");
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).expect("a prompt");
        (stream, String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("sent");
        self.stream.flush().expect("sent");
    }
}

/// A parent with TLS as told.
pub(crate) fn parent_with(signed: &Signed, port: PortTls, change: impl FnOnce(&mut Config)) -> TestParent {
    let tls = signed.options();
    TestParent::with(Clock::System, |config| {
        config.web.tls = tls;
        config.web.bind[0].tls = port;
        change(config);
    })
}

fn rows(parent: &TestParent) -> u64 {
    parent.telemetry().total(|shard| &shard.rows)
}

pub(crate) fn encrypted_children(parent: &TestParent) -> u64 {
    parent.telemetry().total(|shard| &shard.tls_connections)
}

#[test]
fn children_and_browsers_with_and_without_tls_share_a_port() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Optional, |_| {});
    let client = authority.client();
    let mut plain = Child::connect(&parent, "plain", V2);
    let mut encrypted = EncryptedChild::connect(parent.address, &client, &parent.key, "encrypted");
    for row in 0..100 {
        let text = format!("BEGIN2 'test.chart' 1 {} #\nSET2 'a' {row} # A\nEND2\n", START + row);
        if row == 0 {
            plain.send(DEFINITION);
            encrypted.send(DEFINITION);
        }
        plain.send(&text);
        encrypted.send(&text);
    }
    parent.wait("all rows", |parent| rows(parent) == 200);
    assert_eq!(encrypted_children(&parent), 1);
    let path =
        |host: &str| format!("/host/{host}/api/v1/data?chart=test.chart&after={START}&before={}", START + 99);
    // Readers learn of hosts some milliseconds later.
    for host in ["plain", "encrypted"] {
        parent.wait(host, |parent| get(parent.address, &path(host)).status == 200);
    }
    let of_plain = get(parent.address, &path("plain"));
    let of_encrypted = get_encrypted(parent.address, &client, &path("encrypted"));
    assert_eq!((of_plain.status, of_encrypted.status), (200, 200));
    assert_eq!(of_plain.body, of_encrypted.body);

    let metrics = get_encrypted(parent.address, &client, "/metrics").text();
    for expected in [
        "mainstem_handed_over_connections_total{transport=\"tls\"} 3\n",
        "mainstem_tls_handshakes_total{version=\"1.3\"} 3\n",
        "mainstem_tls_certificate_expiry_seconds 2524521600\n",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    encrypted.stream.conn.send_close_notify();
    encrypted.stream.flush().expect("sent");
    parent.wait("the goodbye", |parent| parent.telemetry().disconnections.get("closed_by_child") == 1);
    parent.wait("the other to be alone", |parent| encrypted_children(parent) == 0);
    assert_eq!(parent.telemetry().total(|shard| &shard.connections), 1);
}

#[test]
fn a_childs_first_rows_may_come_with_its_request() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Force, |_| {});
    let mut stream = connect(parent.address, &authority.client()).expect("a handshake");
    let mut bytes = encode_request(&request(&parent, "eager", guid_of("eager"), V2));
    bytes.extend_from_slice(DEFINITION.as_bytes());
    for row in 0..2000 {
        let text = format!("BEGIN2 'test.chart' 1 {} #\nSET2 'a' {row} # A\nEND2\n", START + row);
        bytes.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&bytes).expect("sent");
    stream.flush().expect("sent");
    parent.wait("all rows", |parent| rows(parent) == 2000);
}

#[test]
fn whoever_does_not_encrypt_gets_what_the_port_says() {
    let authority = Authority::new();
    let signed = authority.sign_for_parent("parent");
    // (the port, the status of a browser, the status of a child's question, whether a child may stream)
    let cases = [
        (PortTls::Unsaid, 301, 404, true),
        (PortTls::Optional, 200, 404, true),
        (PortTls::Force, 301, 301, false),
    ];
    for (port, of_browser, of_question, streams) in cases {
        let parent = parent_with(&signed, port, |_| {});
        let page = parent.get("/api/v1/info?a=b%20c");
        assert_eq!(page.status, of_browser, "{port:?}");
        if of_browser == 301 {
            assert_eq!(page.header("location"), "https://parent/api/v1/info?a=b%20c");
        }
        assert_eq!(parent.get("/api/v3/stream_info?machine_guid=x").status, of_question, "{port:?}");
        let (_stream, answer) = greet(parent.address, &request(&parent, "plain", guid_of("plain"), V1));
        if streams {
            assert_eq!(answer, format!("Hit me baby, push them over with the version={V1}"), "{port:?}");
        } else {
            let response = parse_response(answer.as_bytes());
            assert_eq!((response.status, response.text().as_str()), (400, "I don't understand you...\r\n"));
            assert_eq!(parent.telemetry().refusals.get("not_encrypted"), 1);
        }
        // All is the same with TLS.
        let client = authority.client();
        assert_eq!(get_encrypted(parent.address, &client, "/api/v1/info").status, 200, "{port:?}");
        let redirected = get_encrypted(parent.address, &client, "/host/parent");
        assert_eq!(redirected.header("location"), "https://parent/host/parent/");
        EncryptedChild::connect(parent.address, &client, &parent.key, "encrypted");
    }
}

#[test]
fn a_refusal_reaches_an_encrypted_child_too() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Unsaid, |_| {});
    let other = "11111111-2222-3333-4444-555555555555";
    let (mut stream, answer) = EncryptedChild::greet(parent.address, &authority.client(), other, "h");
    assert_eq!(answer, "You are not permitted to access this. Check the logs for more info.");
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).expect("a goodbye"), 0);
    let _first = EncryptedChild::connect(parent.address, &authority.client(), &parent.key, "twin");
    let (mut stream, answer) =
        EncryptedChild::greet(parent.address, &authority.client(), &parent.key, "twin");
    assert_eq!(answer, "This GUID is already streaming to this server");
    assert_eq!(stream.read_to_end(&mut rest).expect("a goodbye"), 0);
}

#[test]
fn large_answers_and_kept_connections_are_served_over_tls() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Unsaid, |_| {});
    let mut child = EncryptedChild::connect(parent.address, &authority.client(), &parent.key, "wide");
    let charts: String = (0..3000)
        .map(|number| {
            format!(
                "CHART \"test.c{number}\" \"\" \"A title of some length\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                 DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n"
            )
        })
        .collect();
    child.send(&charts);
    parent.wait("all charts", |parent| parent.telemetry().total(|shard| &shard.charts) == 3000);
    let mut stream = connect(parent.address, &authority.client()).expect("a handshake");
    let mut reads = 0;
    while reads < 3 {
        stream.write_all(b"GET /host/wide/api/v1/charts HTTP/1.1\r\nHost: parent\r\n\r\n").expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let mut body = vec![0; parse_response(&head).header("content-length").parse().expect("a length")];
        stream.read_exact(&mut body).expect("a body");
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        // Readers learn of charts some milliseconds after they were defined.
        if answer["charts"].as_object().is_some_and(|charts| charts.len() == 3000) {
            assert!(body.len() > 1 << 20, "{} bytes", body.len());
            reads += 1;
        }
    }
}

#[test]
fn handshakes_that_fail_have_their_reasons() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Unsaid, |_| {});
    let stranger = Authority::new();
    assert!(connect(parent.address, &stranger.client()).is_err());
    parent.wait("the distrust to be counted", |parent| {
        parent.telemetry().tls.failures.get("certificate_not_trusted") == 1
    });
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(b"\x16\x03\x01\x00\x05hello").expect("sent");
    parent
        .wait("nonsense to be counted", |parent| parent.telemetry().tls.failures.get("protocol_error") == 1);
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(b"\x16\x03\x01").expect("sent");
    drop(stream);
    parent.wait("the end to be counted", |parent| parent.telemetry().tls.failures.get("closed") == 1);
    let elsewhere = authority.sign("elsewhere", &["elsewhere.example"], 2049);
    let other = parent_with(&elsewhere, PortTls::Unsaid, |_| {});
    assert!(connect(other.address, &authority.client()).is_err());
    other.wait("the distrust to be counted", |parent| {
        parent.telemetry().tls.failures.get("certificate_not_trusted") == 1
    });
    // A client that never goes on delays nobody; it is given up after ten seconds.
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(b"\x16\x03\x01").expect("sent");
    assert_eq!(get_encrypted(parent.address, &authority.client(), "/-/healthy").status, 200);
    parent.wait("the silence to be counted", |parent| parent.telemetry().tls.failures.get("timeout") == 1);
    assert_eq!(stream.read(&mut [0]).expect("closed"), 0);
}

#[test]
fn clients_show_certificates_where_they_must() {
    let authority = Authority::new();
    let signed = authority.sign_for_parent("parent");
    let clients = Authority::new();
    let good = clients.sign("good", &["child"], 2049);
    let expired = clients.sign("expired", &["child"], 2016);
    let foreign = Authority::new().sign("foreign", &["child"], 2049);
    let asks = |parent: &TestParent, own: Option<&Signed>| {
        let request = "GET /api/v1/info HTTP/1.1\r\nHost: parent\r\nConnection: close\r\n\r\n";
        ask(parent.address, &authority.client_with(own), request).is_ok_and(|response| response.status == 200)
    };
    for (demand, without) in [(Demand::Off, true), (Demand::Optional, true), (Demand::Required, false)] {
        let parent = parent_with(&signed, PortTls::Unsaid, |config| {
            config.client_certificates.ca = Some(clients.file());
            config.client_certificates.demand = demand;
        });
        let is_asked = demand != Demand::Off;
        assert_eq!(asks(&parent, None), without, "{demand:?}");
        assert!(asks(&parent, Some(&good)), "{demand:?}");
        assert_eq!(asks(&parent, Some(&expired)), !is_asked, "{demand:?}");
        assert_eq!(asks(&parent, Some(&foreign)), !is_asked, "{demand:?}");
        // A client knows it before it is counted.
        parent.wait("the failures to be counted", |parent| {
            let failures = &parent.telemetry().tls.failures;
            failures.get("no_client_certificate") == u64::from(!without)
                && failures.get("client_certificate_refused") == if is_asked { 2 } else { 0 }
        });
        let config = authority.client_with(Some(&good));
        EncryptedChild::connect(parent.address, &config, &parent.key, "child");
    }
}

#[test]
fn a_simulated_fleet_streams_over_tls_and_every_point_is_right() {
    let authority = Authority::new();
    let parent = parent_with(&authority.sign_for_parent("parent"), PortTls::Optional, |_| {});
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mainstem")).with_file_name("mainstem-child");
    assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
    let output = std::process::Command::new(program)
        .args(["--parent", &parent.address.to_string(), "--key", &parent.key, "--name", "fleet"])
        .args(["--verify", &format!("http://{}", parent.address), "--progress", "0"])
        .args(["--children", "20", "--charts", "20", "--dimensions", "10", "--duration", "22"])
        .args(["--tls", "--tls-ca", authority.file().to_str().expect("a path of the test's own")])
        .output()
        .expect("the simulator runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(parent.telemetry().tls.handshakes.get("1.3"), 20);
    assert!(rows(&parent) >= 20 * 20 * 18, "{}", rows(&parent));
}

/// The table of "Expected behaviors" with a simulated child: who comes in, and whether encrypted.
#[test]
fn a_simulated_child_behaves_as_documented() {
    let authority = Authority::new();
    let good = authority.sign_for_parent("parent");
    let expired = authority.sign("expired", &["127.0.0.1"], 2016);
    let elsewhere = authority.sign("elsewhere", &["elsewhere.example"], 2049);
    let own = authority.self_signed("own");
    let stranger = Authority::new();
    let (ca, strangers_ca) = (authority.file(), stranger.file());
    let path = |file: &Path| file.to_str().expect("a path of the test's own").to_owned();
    let verified = ["--tls", "--tls-ca", &path(&ca)].map(str::to_owned).to_vec();
    let by_stranger = ["--tls", "--tls-ca", &path(&strangers_ca)].map(str::to_owned).to_vec();
    let skipped = ["--tls", "--tls-insecure"].map(str::to_owned).to_vec();
    let plain: Vec<String> = Vec::new();
    let on = |signed: &Signed, port| parent_with(signed, port, |_| {});
    use PortTls::{Force, Optional, Unsaid};
    let mut rows_of_table = vec![
        ("no TLS at all", TestParent::start(), &plain, Some(false)),
        ("a plain child, forced", on(&good, Force), &plain, None),
        ("TLS to a parent without", TestParent::start(), &verified, None),
        ("an expired certificate", on(&expired, Unsaid), &verified, None),
        ("another host's", on(&elsewhere, Unsaid), &verified, None),
        ("a self-signed certificate", on(&own, Unsaid), &verified, None),
        ("an unknown authority", on(&good, Unsaid), &by_stranger, None),
        ("not verified, expired", on(&expired, Force), &skipped, Some(true)),
        ("not verified, self-signed", on(&own, Force), &skipped, Some(true)),
    ];
    for port in [Unsaid, Optional] {
        rows_of_table.push(("a plain child", on(&good, port), &plain, Some(false)));
    }
    for port in [Unsaid, Optional, Force] {
        rows_of_table.push(("verified", on(&good, port), &verified, Some(true)));
        rows_of_table.push(("not verified", on(&good, port), &skipped, Some(true)));
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mainstem")).with_file_name("mainstem-child");
    assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
    let start =
        |(what, parent, arguments, expected): (&'static str, TestParent, &Vec<String>, Option<bool>)| {
            let process = std::process::Command::new(&program)
                .args(["--parent", &parent.address.to_string(), "--key", &parent.key, "--progress", "0"])
                .args(["--charts", "2", "--dimensions", "2", "--duration", "5"])
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("the simulator starts");
            (what, parent, process, expected)
        };
    for (what, parent, mut process, expected) in rows_of_table.into_iter().map(start).collect::<Vec<_>>() {
        let status = process.wait().expect("it ends");
        assert_eq!(status.success(), expected.is_some(), "{what}");
        assert_eq!(rows(&parent) > 0, expected.is_some(), "{what}");
        if let Some(encrypted) = expected {
            assert_eq!(parent.telemetry().tls.handshakes.get("1.3") > 0, encrypted, "{what}");
        }
    }
}

/// A real child and its parent.
struct Pair {
    parent: TestParent,
    _child: Netdata,
    directory: tempfile::TempDir,
}

impl Pair {
    /// Waits until the parent has seen it; what the child says goes with a failure.
    fn wait(&self, what: &str, seen: impl Fn(&TestParent) -> bool) {
        let begun = Instant::now();
        while !seen(&self.parent) {
            if begun.elapsed() > PATIENCE {
                let log =
                    std::fs::read_to_string(self.directory.path().join("log/error.log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(40).collect();
                panic!(
                    "waited {PATIENCE:?} in vain for {what}; the child's last lines, backwards: {lines:#?}"
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn pair(parent: TestParent, settings: &[&str], encrypts: bool) -> Pair {
    let directory = tempfile::tempdir().expect("a directory");
    let destination = format!("{}{}", parent.address, if encrypts { ":SSL" } else { "" });
    let child = Netdata::child_with(directory.path(), &parent.key, &destination, settings);
    Pair { parent, _child: child, directory }
}

fn option(name: &str, file: &Path) -> String {
    format!("{name}={}", file.display())
}

/// The table of "Expected behaviors", row by row, and what its "valid certificate" means.
#[test]
fn a_real_child_behaves_as_documented() {
    let authority = Authority::new();
    let good = authority.sign_for_parent("parent");
    let expired = authority.sign("expired", &["127.0.0.1", "localhost"], 2016);
    let own = authority.self_signed("own");
    let ca = option("CA", &authority.file());
    let stranger = Authority::new();
    let strangers_ca = option("CA", &stranger.file());
    let elsewhere = authority.sign("elsewhere", &["elsewhere.example"], 2049);
    let on = |signed: &Signed, port| parent_with(signed, port, |_| {});

    // Rows that stream: (what it is, whether it is encrypted, the pair).
    let streaming = [
        ("no TLS at all", false, pair(TestParent::start(), &[], false)),
        ("a plain child, nothing said", false, pair(on(&good, PortTls::Unsaid), &[], false)),
        ("a plain child, optional", false, pair(on(&good, PortTls::Optional), &[], false)),
        ("verified, nothing said", true, pair(on(&good, PortTls::Unsaid), &[&ca], true)),
        ("verified, optional", true, pair(on(&good, PortTls::Optional), &[&ca], true)),
        ("verified, forced", true, pair(on(&good, PortTls::Force), &[&ca], true)),
        ("not verified, nothing said", true, pair(on(&good, PortTls::Unsaid), &["SKIP=yes"], true)),
        ("not verified, optional", true, pair(on(&good, PortTls::Optional), &["SKIP=yes"], true)),
        ("not verified, forced", true, pair(on(&good, PortTls::Force), &["SKIP=yes"], true)),
        // 1.37.1 looks at who signed it, not whose it is.
        ("another host's", true, pair(on(&elsewhere, PortTls::Force), &[&ca], true)),
        ("not verified, expired", true, pair(on(&expired, PortTls::Force), &["SKIP=yes"], true)),
    ];
    for (what, is_encrypted, pair) in &streaming {
        pair.wait(what, |parent| rows(parent) > 0);
        assert_eq!(encrypted_children(&pair.parent), u64::from(*is_encrypted), "{what}");
    }
    drop(streaming);

    // Those that do not: (what it is, the pair, whether the parent has seen it).
    type Seen = fn(&TestParent) -> bool;
    let left: Seen = |parent| {
        let telemetry = parent.telemetry();
        telemetry.tls.failures.get("certificate_not_trusted")
            + telemetry.dropped.get("closed_before_a_request")
            > 0
    };
    let refused: Seen = |parent| parent.telemetry().refusals.get("not_encrypted") > 0;
    let no_tls: Seen = |parent| parent.telemetry().dropped.get("tls_not_configured") > 0;
    let silent = [
        ("a plain child, forced", pair(on(&good, PortTls::Force), &[], false), refused),
        ("a parent without a certificate", pair(TestParent::start(), &[&ca], true), no_tls),
        ("an expired certificate", pair(on(&expired, PortTls::Unsaid), &[&ca], true), left),
        ("a self-signed certificate", pair(on(&own, PortTls::Unsaid), &[&ca], true), left),
        ("an unknown authority", pair(on(&good, PortTls::Unsaid), &[&strangers_ca], true), left),
        ("no authority", pair(on(&good, PortTls::Unsaid), &[], true), left),
    ];
    for (what, pair, seen) in &silent {
        pair.wait(what, seen);
        assert_eq!(rows(&pair.parent), 0, "{what}");
    }
}
