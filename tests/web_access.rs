//! Who may ask for what: rights of ports and addresses, methods, files, and the registry beyond the death of its parent.

use std::io::Read as _;
use std::net::SocketAddr;

use mainstem::config::{Rights, SimplePattern};
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::harness::{Response, TestParent, get, request};
use crate::reload::{Place, reload};

const RIGHTS: [(&str, Rights); 6] = [
    ("dashboard", Rights::DASHBOARD),
    ("registry", Rights::REGISTRY),
    ("badges", Rights::BADGES),
    ("management", Rights::MANAGEMENT),
    ("streaming", Rights::STREAMING),
    ("netdata.conf", Rights::NETDATA_CONF),
];

/// A path, and which of the rights above let a client have it.
const PATHS: [(&str, &[&str]); 12] = [
    ("/", &["dashboard"]),
    ("/v1/", &["dashboard"]),
    ("/metrics", &["dashboard"]),
    ("/api/v1/info", &["dashboard"]),
    ("/api/v2/nodes", &["dashboard"]),
    ("/host/localhost/api/v1/charts", &["dashboard"]),
    ("/api/v1/registry?action=hello", &["dashboard"]),
    ("/api/v1/badge.svg?chart=nosuch", &["dashboard", "badges"]),
    ("/host/localhost/api/v1/badge.svg?chart=nosuch", &["dashboard", "badges"]),
    ("/netdata.conf", &["netdata.conf"]),
    (
        "/api/v1/registry?action=access&machine=c0000000-0000-4000-a000-00000000000c&name=x&url=http://x/",
        &["registry"],
    ),
    ("/api/v1/manage/health?cmd=LIST", &["management"]),
];

/// What a parent answers to all of the paths, as 403 or not.
fn check(parent: &TestParent, allowed: &[&str]) {
    let key = parent.management_key();
    let ask = |method: &str, path: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: p\r\nX-Auth-Token: {key}\r\nConnection: close\r\n\r\n"
        );
        request(parent.address, &head)
    };
    for (path, needed) in PATHS {
        let response = ask("GET", path);
        let expected = needed.iter().any(|right| allowed.contains(right));
        assert_eq!(response.status != 403, expected, "{path} with {allowed:?}: {}", response.text());
        if !expected {
            assert_eq!(response.text(), "You are not allowed to access this resource.", "{path}");
        }
    }
    let preflight = ask("OPTIONS", "/api/v1/info").status;
    assert_eq!(preflight == 200, allowed.iter().any(|right| *right != "streaming"), "{allowed:?}");
}

#[test]
fn a_port_serves_what_its_rights_say() {
    for (name, right) in RIGHTS {
        let parent = TestParent::with(Clock::System, |config| config.web.bind[0].rights = right);
        check(&parent, &[name]);
    }
}

#[test]
fn an_address_gets_what_its_lists_say() {
    let nobody = || SimplePattern::new("10.1.2.3", " ");
    for (name, _) in RIGHTS.iter().filter(|(name, _)| *name != "streaming") {
        let parent = TestParent::with(Clock::System, |config| {
            let allow = &mut config.web.allow;
            for (other, list) in [
                ("dashboard", &mut allow.dashboard),
                ("registry", &mut allow.registry),
                ("badges", &mut allow.badges),
                ("management", &mut allow.management),
                ("netdata.conf", &mut allow.netdata_conf),
            ] {
                *list = if other == *name { SimplePattern::new("localhost", " ") } else { nobody() };
            }
        });
        check(&parent, &[name]);
    }
}

#[test]
fn managing_health_needs_the_key_too() {
    let parent = TestParent::start();
    let response = parent.get("/api/v1/manage/health?cmd=LIST");
    assert_eq!((response.status, response.text().as_str()), (403, "Auth Error\n"));
}

#[test]
fn head_is_get_without_the_body() {
    let parent = TestParent::start();
    for path in ["/", "/api/v1/info", "/api/v1/badge.svg?chart=x", "/netdata.conf", "/nosuch", "/metrics"] {
        let head =
            request(parent.address, &format!("HEAD {path} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"));
        let whole = parent.get(path);
        assert_eq!((head.status, head.body.len()), (whole.status, 0), "{path}");
        assert_eq!(head.header("content-type"), whole.header("content-type"), "{path}");
        assert!(!head.header("content-length").is_empty(), "{path}: {}", head.head);
    }
}

#[test]
fn an_encoded_question_mark_separates_everywhere() {
    let parent = TestParent::start();
    assert_eq!(parent.json("/api/v1/registry%3Faction=hello")["action"], "hello");
    assert_eq!(parent.json("/api/v1/alarms%3Fall&format=json")["alarms"], serde_json::json!({}));
    assert_eq!(parent.json("/api/v1/alarm_count%3fstatus=CLEAR"), serde_json::json!([0]));
    assert_eq!(parent.get("/api/v1/badge.svg%3Fchart=nosuch").header("content-type"), "image/svg+xml");
    assert_eq!(parent.json("/api/v1/contexts%3Foptions=full")["contexts"], serde_json::json!({}));
}

/// A Netdata's web directory with a few files, and one beside it.
fn web_directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(root.path().join("web/static/js")).expect("made");
    for (name, text) in [
        ("web/index.html", "<html>theirs</html>"),
        ("web/dashboard.js", "dashboard()"),
        ("web/static/js/main.js", &"x();".repeat(1000)),
        ("web/static/font.woff2", "font"),
        ("secret", "nobody's"),
    ] {
        std::fs::write(root.path().join(name), text).expect("written");
    }
    root
}

#[test]
fn a_netdatas_dashboard_is_served_below_v1_and_its_other_files_behind_ours() {
    let root = web_directory();
    let parent = TestParent::with(Clock::System, |config| config.directories.web = root.path().join("web"));
    for path in ["/v1/", "/v1/index.html", "/host/localhost/v1/", "/v1/host/localhost/"] {
        let page = parent.get(path);
        assert_eq!((page.status, page.text().as_str()), (200, "<html>theirs</html>"), "{path}");
    }
    assert!(!parent.get("/").text().contains("theirs"), "ours is at /");
    for path in ["/v1", "/host/localhost/v1"] {
        let redirect = parent.get(path);
        assert_eq!(
            (redirect.status, redirect.header("location")),
            (308, &*format!("http://parent{path}/")),
            "{path}"
        );
    }
    // The page asks its own place, with a slash too many.
    for path in [
        "/v1//api/v1/info",
        "/v1/api/v1/info",
        "/host/localhost/v1/api/v1/info",
        "/v1/host/localhost/api/v1/info",
    ] {
        assert_eq!(parent.json(path)["uid"], parent.machine_guid.to_string(), "{path}");
    }
    for path in ["/dashboard.js", "/v1/dashboard.js?v20190902-0", "/host/localhost/dashboard.js"] {
        let file = parent.get(path);
        assert_eq!((file.status, file.text().as_str()), (200, "dashboard()"), "{path}");
        assert_eq!(file.header("content-type"), "application/x-javascript; charset=utf-8");
        assert_eq!(file.header("cache-control"), "public");
    }
    assert_eq!(parent.get("/v1/static/font.woff2").header("content-type"), "application/font-woff2");
    let head =
        "GET /v1/static/js/main.js HTTP/1.1\r\nHost: p\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let packed = request(parent.address, head);
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, "x();".repeat(1000));
    let absolute = root.path().join("secret").display().to_string().replace('/', "%2F");
    for path in [
        &absolute,
        &format!("/{absolute}"),
        &format!("/v1/{absolute}"),
        &format!("/host/localhost/{absolute}"),
        &format!("/host/localhost/v1/{absolute}"),
        "/v1/../secret",
        "/v1/%2e%2e/secret",
        "/v1/..%2Fsecret",
        "/v1/static/../../secret",
        "/..%2fsecret",
        "/v1/%252e%252e/secret",
        "/v1/static%2F..%2F..%2Fsecret",
        "/v1/nosuch",
        "/v1/static",
        "/host/localhost/v1/..%2Fsecret",
    ] {
        let answer = parent.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.text());
        assert!(!answer.text().contains("nobody's"), "{path}");
    }
}

#[test]
fn netdata_conf_shows_what_is_in_force_also_after_a_reload() {
    let place = Place::new();
    place.append("netdata.conf", "[web]\nallow badges from = 10.*\n");
    let parent = place.start();
    let shown = || get(place.address, "/netdata.conf").text();
    let text = shown();
    assert!(text.contains(&format!("    bind to = {}\n", place.address)), "{text}");
    assert!(
        text.contains("    allow badges from = 10.*\n") && text.contains("    # storage tiers = 3\n"),
        "{text}"
    );
    assert_eq!(get(place.address, "/host/localhost/netdata.conf").text(), text);
    let written = std::fs::read_to_string(place.file("netdata.conf")).expect("readable");
    let changed = written.replace("allow badges from = 10.*", "allow badges from = 192.*");
    std::fs::write(place.file("netdata.conf"), changed).expect("written");
    reload(&parent);
    assert!(shown().contains("    allow badges from = 192.*\n"), "{}", shown());
}

/// An access to the registry with this cookie, and the cookie of its answer.
fn access(address: SocketAddr, cookie: &str, host: u32) -> (Value, String) {
    let machine = format!("c0000000-0000-4000-a000-{host:012}");
    let response: Response = request(
        address,
        &format!(
            "GET /api/v1/registry?action=access&machine={machine}&name=host-{host}&url=http%3A%2F%2Fp%2Fhost%2F{host}%2F HTTP/1.1\r\n\
         Host: p:19999\r\nOrigin: http://dash.test\r\nCookie: other=1; netdata_registry_id={cookie}\r\nConnection: close\r\n\r\n"
        ),
    );
    assert_eq!(response.status, 200, "{}", response.text());
    let cookies: Vec<&str> = response
        .head
        .lines()
        .filter_map(|line| line.strip_prefix("Set-Cookie: netdata_registry_id="))
        .collect();
    assert_eq!(cookies.len(), 2, "{}", response.head);
    assert!(
        cookies[1].ends_with("; SameSite=None; Secure") && cookies[0].contains("; Expires="),
        "{cookies:?}"
    );
    let value = cookies[0].split(';').next().unwrap_or_default().to_owned();
    (serde_json::from_slice(&response.body).expect("JSON"), value)
}

#[test]
fn a_registry_remembers_after_it_was_killed() {
    let place = Place::new();
    place.append("netdata.conf", "[registry]\nenabled = yes\n");
    let parent = place.start();
    let (answer, cookie) = access(place.address, "", 1);
    assert_eq!(answer, serde_json::json!({"status": "redirect", "registry": "http://p:19999"}));
    let (answer, person) = access(place.address, &cookie, 1);
    assert_eq!((&answer["status"], &answer["person_guid"]), (&"ok".into(), &person.as_str().into()));
    access(place.address, &person, 2);
    // Nothing is written at the end, there is none.
    parent.signal("KILL");
    drop(parent);

    let _parent = place.start();
    let (answer, again) = access(place.address, &person, 1);
    assert_eq!(again, person);
    let urls = answer["urls"].as_array().expect("a list");
    assert_eq!(urls.len(), 2, "{answer}");
    assert_eq!(
        (&urls[0][1], &urls[0][3], &urls[0][4]),
        (&"http://p/host/1/".into(), &2.into(), &"host-1".into())
    );
}

#[test]
fn a_parent_that_is_no_registry_says_so_and_what_is_missing_is_an_error() {
    let parent = TestParent::start();
    let path =
        "/api/v1/registry?action=access&machine=c0000000-0000-4000-a000-00000000000c&name=x&url=http://x/";
    let answer = parent.json(path);
    assert_eq!((&answer["status"], &answer["registry"]), (&"disabled".into(), &"http://parent".into()));
    for (query, words) in [
        ("action=access&name=x", "Invalid registry Access request."),
        (
            "action=access&machine=c0000000-0000-4000-a000-00000000000c&name=x&url=javascript:alert(1)",
            "Invalid registry Access request.",
        ),
        ("action=search&machine=nonsense&url=http://x/", "Invalid registry Search request."),
        (
            "action=nosuch",
            "Invalid registry request - you need to set an action: hello, access, delete, search",
        ),
    ] {
        let response = parent.get(&format!("/api/v1/registry?{query}"));
        assert_eq!((response.status, response.text().as_str()), (400, words), "{query}");
    }
}

/// What Netdata 1.37.1 answers with the same configuration.
#[test]
fn browsers_that_do_not_want_to_be_tracked_are_not_and_a_registry_has_a_name_of_its_own() {
    let place = Place::new();
    place.append(
        "netdata.conf",
        "[registry]\nenabled = yes\nregistry hostname = called-so\n[web]\nrespect do not track policy = yes\n",
    );
    let _parent = place.start();
    let ask = |headers: &str, path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: p\r\n{headers}Connection: close\r\n\r\n");
        let response = request(place.address, &head);
        let hostname =
            serde_json::from_slice::<Value>(&response.body).ok().map(|body| body["hostname"].clone());
        (response.status, response.header("tk").to_owned(), hostname)
    };
    let registry = |query: &str| format!("/api/v1/registry?{query}");
    let access = registry("action=access&machine=c0000000-0000-4000-a000-00000000000c&name=x&url=http://x/");
    let called = |name: &str| Some(Value::from(name));
    for query in ["action=hello", "action=nosuch", ""] {
        assert_eq!(ask("DNT: 1\r\n", &registry(query)), (400, "N".into(), None), "{query}");
    }
    assert_eq!(ask("DNT: 1\r\n", &access), (400, "N".into(), None));
    assert_eq!(ask("DNT: 0\r\n", &registry("action=hello")), (200, "N".into(), called("called-so")));
    let cookie = "Cookie: netdata_registry_id=give-me-back-this-cookie-now--please\r\n";
    assert_eq!(ask(cookie, &access), (200, "T;cookies".into(), called("called-so")));
    assert_eq!(ask("DNT: 1\r\n", "/api/v1/alarm_count").1, "N");
    assert_ne!(ask("", "/api/v1/alarms").2, called("called-so"));
}

#[test]
fn the_grafana_dashboard_asks_for_figures_that_there_are() {
    let parent = TestParent::start();
    let figures = parent.get("/metrics").text();
    let dashboard: Value = serde_json::from_str(include_str!("../docs/grafana.json")).expect("JSON");
    let mut asked = 0;
    for target in dashboard["panels"]
        .as_array()
        .expect("panels")
        .iter()
        .flat_map(|panel| panel["targets"].as_array())
        .flatten()
    {
        let expression = target["expr"].as_str().expect("an expression");
        for name in expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("mainstem_"))
        {
            assert!(figures.contains(&format!("# TYPE {name} ")), "{name} in {expression}");
            asked += 1;
        }
    }
    assert!(asked >= 15, "{asked}");
}
