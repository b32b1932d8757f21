//! Hosts that are sent on encrypted: whom a proxy believes, and what it says of those whom it does not.

use std::net::TcpStream;

use mainstem::config::{PortTls, Trust};
use mainstem::runtime::clock::Clock;

use crate::child::{Child, V1};
use crate::command::{Running, configuration, utf8};
use crate::harness::{PATIENCE, TestParent, wait_for};
use crate::peer::{Netdata, free_port};
use crate::sending::{check_through, links, send_to};
use crate::tls::{Authority, Signed, encrypted_children, parent_with};

const KEY: &str = "77777777-6666-4555-8444-333333333333";

/// A proxy that sends its hosts there, encrypted.
fn proxy(destination: &str, key: &str, trust: Trust) -> TestParent {
    TestParent::with(Clock::System, |config| {
        config.streaming.link.trust = trust;
        send_to(config, &format!("{destination}:SSL"), key);
    })
}

fn forced(signed: &Signed) -> TestParent {
    parent_with(signed, PortTls::Force, |_| {})
}

#[test]
fn a_real_child_comes_through_a_proxy_encrypted_to_a_parent_of_its_kind() {
    let authority = Authority::new();
    // The comparison asks the same port without TLS.
    let far = parent_with(&authority.sign_for_parent("parent"), PortTls::Optional, |_| {});
    let trust = Trust { ca_file: Some(authority.file()), ..Trust::default() };
    let proxy = proxy(&far.address.to_string(), &far.key, trust);
    let _child = check_through(&proxy, far.address, "yes");
    assert_eq!(encrypted_children(&far), 1);
    assert_eq!(encrypted_children(&proxy), 0, "its child is not encrypted, and a link is no child");
}

#[test]
fn a_real_child_comes_through_a_proxy_encrypted_to_a_netdata_parent() {
    let authority = Authority::new();
    let signed = authority.sign_for_parent("netdata");
    let directory = tempfile::tempdir().expect("a directory");
    let setting = |name: &str, path: &std::path::Path| format!("{name}={}", path.display());
    let settings = [setting("TLSKEY", &signed.key_file), setting("TLSCERT", &signed.certificate_file)];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let far = Netdata::parent(free_port(), directory.path(), KEY, &settings);
    wait_for("the parent to listen", PATIENCE, &far.api, |api| TcpStream::connect(api).is_ok());
    let trust = Trust { ca_file: Some(authority.file()), ..Trust::default() };
    let proxy = proxy(&far.api.to_string(), KEY, trust);
    check_through(&proxy, far.api, "yes");
}

#[test]
fn without_verification_any_certificate_does() {
    let authority = Authority::new();
    let expired = authority.sign("expired", &["elsewhere.example"], 2016);
    let far = forced(&expired);
    let anybody = Trust { skips_verification: true, ..Trust::default() };
    let proxy = proxy(&far.address.to_string(), &far.key, anybody);
    let _child = Child::connect(&proxy, "encrypted", V1);
    proxy.wait("a link", |proxy| links(proxy) == 1);
    far.wait("the host", |far| encrypted_children(far) == 1);
}

#[test]
fn parents_that_are_not_believed_or_do_not_encrypt_are_passed_over_and_the_log_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let unknown = forced(&stranger.sign_for_parent("unknown"));
    let elsewhere = forced(&authority.sign("elsewhere", &["elsewhere.example"], 2049));
    let plain = TestParent::start();
    let far = forced(&authority.sign_for_parent("parent"));

    let directory = tempfile::tempdir().expect("a directory");
    let (etc, state) = (directory.path().join("etc"), directory.path().join("state"));
    let address = configuration(&etc);
    let file = etc.join("stream.conf");
    let written = std::fs::read_to_string(&file).expect("stream.conf");
    let key = written.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let key = key.filter(|key| key.len() == 36).expect("the section of a key");
    let to: Vec<String> =
        [&unknown, &elsewhere, &plain, &far].map(|parent| format!("{}:SSL", parent.address)).to_vec();
    let sending = format!(
        "\n[stream]\nenabled = yes\ndestination = {}\napi key = {}\nCAfile = {}\n",
        to.join(" "),
        far.key,
        utf8(&authority.file())
    );
    std::fs::write(&file, format!("{written}{sending}")).expect("written");
    let proxy = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    proxy.read_to(&format!("listening on {address}"));
    let _child = Child::connect_to(address, key, "encrypted", V1);

    let lines = proxy.read_to("sending metrics to parent");
    let says = |destination: &str, text: &str| {
        let of = format!("STREAM encrypted [send to {destination}]:");
        assert!(lines.iter().any(|line| line.contains(&of) && line.contains(text)), "{text}: {lines:#?}");
    };
    let not_valid = "Closing the stream connection, because the server SSL certificate is not valid.";
    says(&to[0], &format!("{not_valid} (invalid peer certificate: UnknownIssuer;"));
    says(&to[1], &format!("{not_valid} (invalid peer certificate: certificate not valid for name"));
    says(&to[2], "the TLS handshake failed: it closed the connection; a parent without a certificate");
    says(&to[3], "established link");
    far.wait("the host", |far| encrypted_children(far) == 1);
    for parent in [&unknown, &elsewhere, &plain] {
        assert_eq!(parent.telemetry().total(|shard| &shard.connections), 0);
    }
}
