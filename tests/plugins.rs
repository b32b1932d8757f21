//! What is collected of the parent itself: real plugins of Netdata beside the same ones under a real Netdata, plugins that
//! misbehave, our own figures, and how all that is passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use mainstem::config::{Collecting, Config, Plugins};
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::child::{Child, V2, guid_of};
use crate::command::{Running, configuration, utf8};
use crate::harness::{PATIENCE, TestParent, get, wait_for};
use crate::peer::{Netdata, free_port};
use crate::sending::{links, send_to};

const KEY: &str = "77777777-6666-4555-8444-333333333334";
/// Of Debian's packages.
const REAL_PLUGINS: &str = "/usr/lib/netdata/plugins.d";

/// A plugin written in shell.
fn script(directory: &Path, name: &str, text: &str) {
    let path = directory.join(format!("{name}.plugin"));
    // Each run leaves a line with its process id, which is that of its group.
    let runs = directory.join(format!("{name}.runs"));
    std::fs::write(&path, format!("#!/bin/sh\necho $$ >>'{}'\n{text}", runs.display())).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

/// The process ids of a script's runs so far.
fn runs(directory: &Path, name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(directory.join(format!("{name}.runs"))).unwrap_or_default();
    text.lines().map(|line| line.parse().expect("a process id")).collect()
}

fn is_alive(process: u32) -> bool {
    // One that has ended and that nobody has waited for is not.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A script's chart, defined and collected once.
fn collected(id: &str, value: i64) -> String {
    format!("echo 'CHART {id} \"\" \"a title\" things\nDIMENSION d\nBEGIN {id}\nSET d = {value}\nEND'\n")
}

/// A script's chart that is collected every second.
fn collecting(id: &str, value: i64) -> String {
    format!(
        "echo 'CHART {id} \"\" \"a title\" things\nDIMENSION d'\n\
         while sleep 1; do echo 'BEGIN {id} 1000000\nSET d = {value}\nEND'; done\n"
    )
}

/// Plugins of one directory, and our own figures.
fn collects(directory: &Path) -> Collecting {
    let off = Collecting::off();
    let plugins = Plugins { directories: vec![directory.to_owned()], ..off.plugins };
    Collecting { own_figures_every_s: Some(1), plugins, ..off }
}

/// The newest row of a chart of the parent itself, by dimension.
fn newest(address: std::net::SocketAddr, chart: &str) -> BTreeMap<String, f64> {
    let response =
        get(address, &format!("/api/v1/data?chart={chart}&after=-5&points=1&group=max&options=jsonwrap"));
    if response.status != 200 {
        return BTreeMap::new();
    }
    let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    let names = answer["dimension_names"].as_array().into_iter().flatten();
    let values = answer["latest_values"].as_array().into_iter().flatten();
    let pairs =
        names.zip(values).filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value.as_f64()?)));
    pairs.collect()
}

/// What is to be the same of a chart under both.
const DESCRIBED: [&str; 12] = [
    "name",
    "type",
    "family",
    "context",
    "title",
    "priority",
    "plugin",
    "module",
    "units",
    "chart_type",
    "update_every",
    "chart_labels",
];

/// Charts of these plugins, by id: what is to be the same, and the names of their dimensions.
fn described(address: std::net::SocketAddr, plugins: &[&str]) -> BTreeMap<String, Value> {
    let charts: Value = serde_json::from_slice(&get(address, "/api/v1/charts").body).expect("JSON");
    let of_chart = |chart: &Value| {
        let mut described = DESCRIBED.map(|key| (key.to_owned(), chart[key].clone())).to_vec();
        described.push(("dimensions".to_owned(), chart["dimensions"].clone()));
        described.into_iter().collect()
    };
    let charts = charts["charts"].as_object().expect("charts");
    let wanted =
        charts.iter().filter(|(_, chart)| chart["plugin"].as_str().is_some_and(|one| plugins.contains(&one)));
    wanted.map(|(id, chart)| (id.clone(), of_chart(chart))).collect()
}

/// Charts of these plugins that are not the same at both, and those that are ours.
fn differing(
    ours: std::net::SocketAddr,
    theirs: std::net::SocketAddr,
    plugins: &[&str],
) -> (Vec<String>, BTreeMap<String, Value>) {
    let (ours, mut theirs) = (described(ours, plugins), described(theirs, plugins));
    for chart in theirs.values_mut() {
        // As it is told to a parent.
        if let Some(module @ Value::String(_)) = chart["chart_labels"].get_mut("_collect_module")
            && *module == "[none]"
        {
            *module = "_none_".into();
        }
    }
    let ids: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing = ids.into_iter().filter(|id| ours.get(*id) != theirs.get(*id));
    (differing.map(|id| format!("{id}: {:?} {:?}", ours.get(id), theirs.get(id))).collect(), ours)
}

/// A parent that runs these of the real plugins.
fn with_real_plugins(etc: &Path, names: &[&str]) -> TestParent {
    TestParent::with(Clock::System, |config: &mut Config| {
        config.directories.config = etc.to_owned();
        config.directories.lib = etc.to_owned();
        config.collecting = collects(Path::new(REAL_PLUGINS));
        let plugins = &mut config.collecting.plugins;
        plugins.runs_new = false;
        plugins.named = names.iter().map(|name| ((*name).to_owned(), true)).collect();
    })
}

#[test]
fn real_plugins_have_the_charts_that_they_have_under_a_real_netdata() {
    const NAMES: [&str; 2] = ["apps.plugin", "charts.d.plugin"];
    let place = tempfile::tempdir().expect("a directory");
    let theirs = place.path().join("netdata");
    let ours = place.path().join("ours");
    // One module of charts.d that needs nothing.
    let conf = "enable_all_charts=no\nexample=force\n";
    for etc in [theirs.join("etc"), ours.clone()] {
        std::fs::create_dir_all(&etc).expect("a directory");
        std::fs::write(etc.join("charts.d.conf"), conf).expect("written");
        std::fs::create_dir_all(etc.join("charts.d")).expect("a directory");
        std::fs::write(etc.join("charts.d/example.conf"), "example_magic_number=12345\n").expect("written");
    }
    let netdata = Netdata::parent(free_port(), &theirs, KEY, &["PLUGINS=apps charts.d"]);
    let parent = with_real_plugins(&ours, &["apps", "charts.d"]);
    wait_for("the real one to listen", PATIENCE, &netdata.api, |api| {
        std::net::TcpStream::connect(api).is_ok()
    });
    // Charts of users and groups of processes come and go with these, and only the other's tests are theirs.
    let mut last = Vec::new();
    parent.wait("the same charts", |parent| {
        let (different, ours) = differing(parent.address, netdata.api, &NAMES);
        if last != different {
            eprintln!("{} are different: {:?}", different.len(), different.first());
        }
        last = different;
        ours.len() > 40 && ours.contains_key("example.random") && last.is_empty()
    });

    // Each sees the same processes, those of the other's plugins too.
    let processes = |address| newest(address, "apps.processes").values().sum::<f64>();
    parent.wait("about as many processes", |parent| {
        let (ours, theirs) = (processes(parent.address), processes(netdata.api));
        ours > 5.0 && theirs > 5.0 && (ours - theirs).abs() < 0.3 * theirs
    });

    let functions = parent.json("/api/v1/functions");
    assert_eq!(functions["processes"]["timeout"], 10, "{functions}");
    let answer = parent.json("/api/v1/function?function=processes&timeout=10");
    assert_eq!(answer["status"], 200);
    let own = std::process::id();
    let rows = answer["data"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row[0] == own), "we are among {} processes", rows.len());
}

/// Modules of python.d that need nothing but files: values that are known, dimensions that come and go.
#[test]
fn python_d_has_the_charts_and_values_that_it_has_under_a_real_netdata() {
    const NAMES: [&str; 1] = ["python.d.plugin"];
    let place = tempfile::tempdir().expect("a directory");
    let (theirs, ours, watched) =
        (place.path().join("netdata"), place.path().join("our own"), place.path().join("watched"));
    let write = |path: PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    let at = watched.display();
    for etc in [theirs.join("etc"), ours.clone()] {
        write(
            etc.join("python.d.conf"),
            "default_run: no\nexample: yes\nfail2ban: yes\nlitespeed: yes\nsmartd_log: yes\n",
        );
        write(
            etc.join("python.d/example.conf"),
            "two jobs:\n  name: named\n  num_lines: 2\nanother:\n  priority: 70000\n",
        );
        write(etc.join("python.d/litespeed.conf"), &format!("local:\n  path: {at}\n  update_every: 2\n"));
        write(
            etc.join("python.d/fail2ban.conf"),
            &format!(
                "local:\n  log_path: {at}/fail2ban.log\n  conf_path: {at}/jail.local\n  conf_dir: {at}/jail.d\n"
            ),
        );
        write(etc.join("python.d/smartd_log.conf"), &format!("custom:\n  log_path: {at}\n"));
    }
    write(
        watched.join(".rtreport"),
        "BPS_IN: 100, BPS_OUT: 250, SSL_BPS_IN: 0, SSL_BPS_OUT: 3\n\
         MAXCONN: 2000, AVAILCONN: 1990, PLAINCONN: 10, AVAILSSL: 1999, SSLCONN: 1\n\
         REQ_RATE []: REQ_PROCESSING: 7, REQ_PER_SEC: 12.5, PUB_CACHE_HITS_PER_SEC: 0.5, STATIC_HITS_PER_SEC: 0.0\n",
    );
    write(watched.join("jail.d/web.conf"), "[web-1]\nenabled = true\n[mail]\nenabled = true\n");
    write(watched.join("jail.local"), "[mail]\nenabled = false\n");
    write(
        watched.join("fail2ban.log"),
        "2018-09-12 11:45:58,727 fail2ban.actions[1]: WARNING [web-1] Ban 192.0.2.1\n",
    );
    let disk = watched.join("disk.TYPE-SERIAL.ata.csv");
    let attributes = "2018-11-25 10:40:31;\t1;100;7;\t9;93;6000;\t194;40;40;\t198;100;3;\n";
    write(disk.clone(), attributes);

    let netdata = Netdata::parent(free_port(), &theirs, KEY, &["PLUGINS=python.d"]);
    let parent = with_real_plugins(&ours, &["python.d"]);
    wait_for("the real one to listen", PATIENCE, &netdata.api, |api| {
        std::net::TcpStream::connect(api).is_ok()
    });
    let mut last = Vec::new();
    parent.wait("the same charts", |parent| {
        let (different, ours) = differing(parent.address, netdata.api, &NAMES);
        if last != different {
            eprintln!("{} are different: {:?}", different.len(), different.first());
        }
        last = different;
        let has = |id: &str| ours.contains_key(id);
        last.is_empty()
            && has("example_named.random")
            && has("litespeed_local.requests")
            && has("fail2ban_local.jails_bans")
            && has("smartd_log_custom.power_on_hours_count")
    });

    // What it has found in the files is the same at both, a ban that comes now as well.
    let mut log =
        std::fs::OpenOptions::new().append(true).open(watched.join("fail2ban.log")).expect("opened");
    for address in 1..=3 {
        writeln!(log, "2018-09-12 11:46:00,000 fail2ban.actions[1]: WARNING [web-1] Ban 192.0.2.{address}")
            .expect("written");
    }
    let expected = [
        ("litespeed_local.requests", "requests", 12.5),
        ("litespeed_local.net_throughput_http", "out", -2000.0),
        ("litespeed_local.connections_http", "free", 1990.0),
        ("fail2ban_local.jails_banned_ips", "web-1", 3.0),
        ("smartd_log_custom.power_on_hours_count", "TYPE-SERIAL", 6000.0),
    ];
    for address in [parent.address, netdata.api] {
        for (chart, dimension, value) in expected {
            wait_for(&format!("{chart} at {address}"), PATIENCE, &address, |address| {
                newest(*address, chart).get(dimension) == Some(&value)
            });
        }
    }
    // A disk that goes takes its dimensions with it.
    std::fs::remove_file(&disk).expect("removed");
    let dimensions =
        |address| described(address, &NAMES)["smartd_log_custom.power_on_hours_count"]["dimensions"].clone();
    let before = dimensions(parent.address);
    for address in [parent.address, netdata.api] {
        wait_for(&format!("the disk's end at {address}"), PATIENCE, &address, |address| {
            dimensions(*address) != before
        });
    }
    parent.wait("the same charts", |parent| differing(parent.address, netdata.api, &NAMES).0.is_empty());
}

#[test]
fn plugins_that_end_are_started_again_or_not_as_they_deserve() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    script(at, "good", &collecting("good.chart", 7));
    script(at, "comes_back", &collected("comes.back", 1));
    script(at, "fails", "exit 1\n");
    script(at, "fails_later", &format!("{}exit 1\n", collected("fails.later", 1)));
    script(at, "disable", "echo DISABLE\nsleep 1000\n");
    script(at, "mistaken", &format!("{}echo 'BEGIN no.such'\nsleep 1000\n", collected("mistaken.chart", 1)));
    script(at, "garbage", "head -c 100000 /dev/urandom\nsleep 1000\n");
    script(at, "endless", "tr '\\0' x </dev/zero\n");
    script(at, "unknown", &format!("{}echo NONSENSE\nsleep 1000\n", collected("unknown.keyword", 1)));
    script(at, "closes", &format!("{}exec >&-\nsleep 1000\n", collected("closes.output", 1)));
    script(at, "stubborn", "trap '' TERM\necho NONSENSE\nwhile :; do sleep 1; done\n");
    script(at, "killed", &collecting("killed.chart", 3));
    std::fs::write(at.join("not_executable.plugin"), "#!/bin/sh\n").expect("written");
    script(at, "unwanted", "exit 0\n");
    let parent = TestParent::with(Clock::System, |config| {
        config.collecting = collects(at);
        config.collecting.plugins.named.insert("unwanted".to_owned(), false);
    });
    let d = |chart: &str| newest(parent.address, chart).get("d").copied();
    parent.wait("a plugin's chart", |_| d("killed.chart") == Some(3.0));
    let [killed] = runs(at, "killed")[..] else { panic!("one run") };
    let kill = std::process::Command::new("kill").args(["-9", &killed.to_string()]).status();
    assert!(kill.expect("kill").success());
    for name in ["comes_back", "unknown", "closes"] {
        parent.wait("another run", |_| runs(at, name).len() >= 3);
    }
    for name in ["fails", "fails_later", "disable", "mistaken", "garbage", "endless", "stubborn", "killed"] {
        let runs = runs(at, name);
        assert_eq!(runs.len(), 1, "{name}");
        parent.wait("its end", |_| !is_alive(runs[0]));
    }
    assert!(runs(at, "unwanted").is_empty());
    parent.wait("the good one's rows", |_| d("good.chart") == Some(7.0));
    assert_eq!(runs(at, "good").len(), 1);
    parent.wait("our own figures", |parent| newest(parent.address, "netdata.uptime").contains_key("uptime"));
    let chart = parent.json("/api/v1/chart?chart=good.chart");
    assert_eq!(
        (&chart["plugin"], &chart["update_every"], &chart["context"]),
        (&"good.plugin".into(), &1.into(), &"good.chart".into())
    );
    let good = runs(at, "good")[0];
    drop(parent);
    assert!(!is_alive(good), "a parent that stops waits for its plugins");
}

/// What a plugin sees, and how it is asked.
#[test]
fn a_plugin_is_called_and_finds_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    script(
        at,
        "asked",
        &format!(
            "env >'{0}/environment'; echo \"$# $1 $2 $3|$(pwd)\" >'{0}/arguments'\n\
             echo 'an error' >&2\n\
             echo 'CHART asked.chart\nDIMENSION d\nFUNCTION GLOBAL echo 5 \"says it again\"\nFUNCTION GLOBAL never 5 help\n\
             FUNCTION GLOBAL dies 5 help'\n\
             while read -r keyword transaction timeout call; do\n\
             call=${{call#?}}; call=${{call%%\\\"*}}\n\
             case $call in\n\
             *never*) ;;\n\
             *dies*) exit 1 ;;\n\
             *) echo \"FUNCTION_RESULT_BEGIN $transaction 200 text/plain 0\n$timeout $call\nEND\nFUNCTION_RESULT_END\" ;;\n\
             esac; done\n",
            at.display()
        ),
    );
    let parent = TestParent::with(Clock::System, |config| {
        config.collecting = collects(at);
        let plugins = &mut config.collecting.plugins;
        plugins.environment = vec![("OF_THE_OPERATOR".to_owned(), "it's".to_owned())];
        let settings = mainstem::config::PluginSettings {
            update_every_s: Some(3),
            command_options: "'a b' c".to_owned(),
        };
        plugins.settings.insert("asked".to_owned(), settings);
    });
    parent.wait("its functions", |parent| parent.json("/api/v1/functions")["dies"]["help"] == "help");
    let answer = parent.get("/api/v1/function?function=echo%20x=y");
    assert_eq!((answer.status, answer.text().as_str()), (200, "5 echo x=y\nEND"));
    let timed_out = parent.get("/api/v1/function?function=never&timeout=1");
    assert_eq!(timed_out.status, 504);
    let died = parent.get("/api/v1/function?function=dies");
    assert_eq!(died.status, 503, "{}", died.text());
    assert!(died.text().contains("The plugin has ended."), "{}", died.text());
    parent.wait("its functions to go", |parent| parent.json("/api/v1/functions") == serde_json::json!({}));
    assert_eq!(parent.get("/api/v1/function?function=echo").status, 404);

    let said = std::fs::read_to_string(at.join("arguments")).expect("arguments");
    assert!(said.starts_with("3 3 a b c|"), "{said}");
    let environment = std::fs::read_to_string(at.join("environment")).expect("an environment");
    let machine_guid = parent.machine_guid.to_string();
    for (name, value) in [
        ("NETDATA_UPDATE_EVERY", "1"),
        ("NETDATA_HOSTNAME", "parent"),
        ("NETDATA_PLUGINS_DIR", utf8(at)),
        ("NETDATA_STOCK_CONFIG_DIR", "/usr/lib/netdata/conf.d"),
        ("NETDATA_REGISTRY_UNIQUE_ID", &machine_guid),
        ("NETDATA_HOST_PREFIX", ""),
        ("LC_ALL", "C"),
        ("PYTHONUNBUFFERED", "1"),
        ("OF_THE_OPERATOR", "it's"),
    ] {
        let line = format!("{name}={value}");
        assert!(environment.lines().any(|found| found == line), "{line}: {environment}");
    }
}

/// What go.d.plugin of 2.x writes: jobs that wait to be enabled, one of them of a virtual node.
#[test]
fn a_plugin_of_a_later_netdata_collects_for_virtual_nodes() {
    const NODE: &str = "5a7b1d94-e65d-11f1-9f2e-0242ac110002";
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    script(
        at,
        "later",
        &format!(
            "cat <<'END'\n\
             CONFIG later:x create accepted template /collectors/jobs internal internal 'add schema enable disable test' 0x0000 0x0000\n\
             CONFIG later:x:local create accepted job /collectors/jobs stock 'file=x.conf' 'schema get enable disable' 0x0000 0x0000\n\n\
             END\n\
             read -r asked; echo \"$asked\" >'{0}/asked'\n\
             echo \"FUNCTION_RESULT_BEGIN 1 200 application/json 0\nFUNCTION_RESULT_END\"\n\
             cat <<'END'\n\
             CONFIG later:x:local status running\n\
             TRUST_DURATIONS\n\
             HOST_DEFINE '{NODE}' 'router'\nHOST_LABEL '_os_name' 'RouterOS'\nHOST_LABEL 'site' 'north'\nHOST_DEFINE_END\n\n\
             HOST '{NODE}'\n\n\
             CHART 'snmp.traffic' '' 'Traffic' 'bit/s' 'eth0' 'snmp.traffic' 'area' '70000' '1' '' 'later.plugin' 'snmp'\n\
             CLABEL '_collect_job' 'router' '1'\nCLABEL_COMMIT\nDIMENSION 'in' 'in' 'absolute' '1' '1' ''\n\n\
             HOST ''\n\
             CHART later.own\nDIMENSION d\n\
             END\n\
             while sleep 1; do echo \"HOST '{NODE}'\n\nBEGIN 'snmp.traffic' 1000000\nSET 'in' = 5\nEND\n\n\
             HOST ''\n\nBEGIN later.own\nSET d = 6\nEND\"; done\n",
            at.display()
        ),
    );
    let far = TestParent::start();
    let parent = TestParent::with(Clock::System, |config| {
        config.collecting = collects(at);
        send_to(config, &far.address.to_string(), &far.key);
    });
    parent.wait("our own chart", |parent| newest(parent.address, "later.own").get("d") == Some(&6.0));
    let asked = std::fs::read_to_string(at.join("asked")).expect("a line");
    assert!(asked.ends_with(" 10 \"config later:x:local enable\" \"0xffff\" \"file=x.conf\"\n"), "{asked}");
    // It is stored as a host, and sent on as one.
    let value = |parent: &TestParent| {
        let query =
            "/host/router/api/v1/data?chart=snmp.traffic&after=-5&points=1&group=max&options=jsonwrap";
        serde_json::from_slice::<Value>(&parent.get(query).body).unwrap_or_default()["latest_values"][0]
            .as_f64()
    };
    parent.wait("the node's chart", |parent| value(parent) == Some(5.0));
    let node = parent.json("/api/v2/nodes?nodes=router")["nodes"][0].clone();
    assert_eq!((&node["machine_guid"], &node["state"]), (&NODE.into(), &"live".into()), "{node}");
    assert_eq!((&node["labels"]["site"], &node["hops"]), (&"north".into(), &1.into()), "{node}");
    let info = parent.json("/host/router/api/v1/info");
    assert_eq!(info["os_name"], "RouterOS", "{info}");
    let chart = parent.json("/host/router/api/v1/chart?chart=snmp.traffic");
    assert_eq!((&chart["plugin"], &chart["units"]), (&"later.plugin".into(), &"bit/s".into()), "{chart}");
    assert_eq!(parent.get("/api/v1/chart?chart=snmp.traffic").status, 404, "it is not ours");
    far.wait("the node's chart, far away", |far| value(far) == Some(5.0));
    // No stranger can be it.
    let request =
        format!("STREAM key={}&hostname=x&machine_guid={NODE}&ver={V2} HTTP/1.1\r\n\r\n", parent.key);
    let mut stream = std::net::TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(request.as_bytes()).expect("sent");
    assert!(crate::harness::read_prompt(&mut stream).contains("already streaming"));
    assert_eq!(runs(at, "later").len(), 1);
}

#[test]
fn a_virtual_node_that_is_a_child_already_waits_until_it_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let go = directory.path().join("go");
    let guid = guid_of("router");
    script(
        directory.path(),
        "later",
        &format!(
            "while [ ! -e '{}' ]; do sleep 0.1; done\n\
             echo \"HOST_DEFINE {guid} router\nHOST_DEFINE_END\nCHART far.chart\nDIMENSION d\n\
             HOST_DEFINE $NETDATA_REGISTRY_UNIQUE_ID itself\nHOST_DEFINE_END\nCHART wrong.chart\nDIMENSION d\n\
             HOST localhost\nCHART near.chart\nDIMENSION d\"\n\
             while sleep 0.1; do echo 'HOST {guid}\nBEGIN far.chart\nSET d = 1\nEND\n\
             HOST localhost\nBEGIN near.chart\nSET d = 1\nEND'; done\n",
            go.display()
        ),
    );
    let time = Arc::new(AtomicI64::new(1_795_342_200_000_000));
    let parent = TestParent::with(Clock::Manual(Arc::clone(&time)), |config| {
        config.collecting = collects(directory.path());
    });
    let child = Child::connect(&parent, "router", V2);
    let node = |parent: &TestParent| parent.json("/api/v2/nodes?nodes=router")["nodes"][0].clone();
    // Hosts are handed out by the clock, and ours may have been first.
    parent.wait("the child", |parent| {
        time.fetch_add(10_000, Relaxed);
        node(parent)["state"] == "live"
    });
    std::fs::write(&go, "").expect("written");
    let has =
        |parent: &TestParent, chart: &str| parent.get(&format!("/api/v1/chart?chart={chart}")).status == 200;
    // Charts are handed out by the clock.
    parent.wait("the plugin's other chart", |parent| {
        time.fetch_add(100_000, Relaxed);
        has(parent, "near.chart")
    });
    assert!(!has(&parent, "wrong.chart"), "a node is not ourselves");
    let peer = node(&parent)["connection"]["peer"].clone();
    assert!(peer.as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{peer}");
    drop(child);
    parent.wait("the child's end", |parent| node(parent)["state"] == "offline");
    // It is not tried again and again.
    time.fetch_add(61_000_000, Relaxed);
    parent.wait("the node with all its charts", |parent| {
        let node = node(parent);
        node["connection"]["peer"] == "0.0.0.0:0" && node["charts"] == 1
    });
    assert_eq!(runs(directory.path(), "later").len(), 1);
}

/// The real binary, killed: nothing of a plugin is left.
#[test]
fn no_plugin_outlives_a_parent_that_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (etc, state, plugins) =
        (directory.path().join("etc"), directory.path().join("state"), directory.path().join("plugins.d"));
    let address = configuration(&etc);
    std::fs::create_dir(&plugins).expect("a directory");
    // They write nothing, read nothing, and do not want to end.
    script(
        &plugins,
        "silent",
        "trap '' TERM PIPE HUP\n(echo $$ >/dev/null; sleep 1000) &\nwhile :; do sleep 1; done\n",
    );
    script(&plugins, "writes", &collecting("writes.chart", 5));
    let file = etc.join("netdata.conf");
    let written = std::fs::read_to_string(&file).expect("netdata.conf");
    let more = format!("[directories]\nplugins = \"{}\"\n[db]\nmode = dbengine\n", plugins.display());
    std::fs::write(&file, written + &more).expect("changed");
    let start = || Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    let mut parent = start();
    let rows = |_: &PathBuf| newest(address, "writes.chart").get("d") == Some(&5.0);
    parent.read_to("listening on");
    wait_for("a chart", PATIENCE, &plugins, rows);
    wait_for("both to run", PATIENCE, &plugins, |at| runs(at, "silent").len() == 1);
    let all = [runs(&plugins, "silent")[0], runs(&plugins, "writes")[0]];
    // The database has what it has committed.
    std::thread::sleep(Duration::from_secs(3));
    parent.process.kill().expect("killed");
    parent.process.wait().expect("ended");
    wait_for("the plugins to end", PATIENCE, &all, |all| !all.iter().any(|process| is_alive(*process)));

    // What was collected is there again, and it goes on.
    let again = start();
    again.read_to("listening on");
    let first = |_: &PathBuf| {
        let chart: Value = serde_json::from_slice(&get(address, "/api/v1/chart?chart=writes.chart").body)
            .unwrap_or_default();
        chart["last_entry"].as_i64().unwrap_or(0) - chart["first_entry"].as_i64().unwrap_or(0) > 5
    };
    wait_for("rows of both runs", PATIENCE, &plugins, first);
    let nodes: Value = serde_json::from_slice(&get(address, "/api/v2/nodes").body).expect("JSON");
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "{nodes}");
    assert_eq!(nodes["nodes"][0]["state"], "localhost");
    let stop = std::process::Command::new("kill").arg(again.process.id().to_string()).status();
    assert!(stop.expect("kill").success());
    let mut again = again;
    assert!(again.process.wait().expect("ended").success());
    let last = [runs(&plugins, "silent")[1], runs(&plugins, "writes")[1]];
    assert!(!last.iter().any(|process| is_alive(*process)));
}

#[test]
fn our_own_figures_are_those_of_metrics_and_we_are_one_host() {
    let parent = TestParent::with(Clock::System, |config| {
        config.collecting = Collecting { own_figures_every_s: Some(1), ..Collecting::off() };
    });
    let _children = [Child::connect(&parent, "one", V2), Child::connect(&parent, "two", V2)];
    let metric = |name: &str| {
        let text = parent.get("/metrics").text();
        let of =
            |line: &str| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?.1.parse::<f64>().ok();
        text.lines().filter_map(of).sum::<f64>()
    };
    parent.wait("two children", |parent| {
        let children = newest(parent.address, "mainstem.children");
        children.get("live").zip(children.get("stale")).is_some_and(|(live, stale)| live + stale == 2.0)
    });
    assert_eq!(metric("mainstem_connections"), 2.0);
    assert_eq!(metric("mainstem_hosts"), 2.0, "we are no child");
    parent.wait("as many metrics", |parent| {
        newest(parent.address, "mainstem.metrics").get("metrics") == Some(&metric("mainstem_dimensions"))
    });
    // Our own are all that there are.
    parent.wait("samples", |parent| {
        let stored = newest(parent.address, "netdata.db_points_stored");
        stored.get("tier0").is_some_and(|stored| *stored > 10.0 && *stored < 1000.0)
    });
    let memory = newest(parent.address, "mainstem.memory")["resident"];
    assert!(memory > 5.0 && memory < 10_000.0, "{memory}");
    let chart = parent.json("/api/v1/chart?chart=netdata.server_cpu");
    assert_eq!(
        (&chart["context"], &chart["units"]),
        (&"netdata.server_cpu".into(), &"milliseconds/s".into())
    );

    let info = parent.json("/api/v1/info");
    assert_eq!(info["mirrored_hosts"][0], "parent");
    assert_eq!(info["mirrored_hosts"].as_array().map(Vec::len), Some(3));
    assert_eq!(info["mirrored_hosts_status"][0]["hops"], 0);
    assert_eq!(info["mirrored_hosts_status"][0]["reachable"], true);
    let nodes = parent.json("/api/v2/nodes");
    let ours: Vec<&Value> =
        nodes["nodes"].as_array().into_iter().flatten().filter(|node| node["state"] == "localhost").collect();
    assert_eq!((nodes["nodes"].as_array().map(Vec::len), ours.len()), (Some(3), 1), "{nodes}");
    assert!(ours[0]["charts"].as_u64() > Some(10) && ours[0]["lag_seconds"].as_i64() < Some(10), "{nodes}");
    // Whoever comes with our machine GUID is still refused.
    let request = format!(
        "STREAM key={}&hostname=x&machine_guid={}&ver={V2} HTTP/1.1\r\n\r\n",
        parent.key, parent.machine_guid
    );
    let mut stream = std::net::TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(request.as_bytes()).expect("sent");
    assert!(crate::harness::read_prompt(&mut stream).contains("trying to stream my localhost back"));
}

/// A parent that sends itself on, and what its parent then has of it.
fn sent_on(far: std::net::SocketAddr, key: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    script(directory.path(), "simple", &collecting("simple.chart", 42));
    let near = TestParent::with(Clock::System, |config| {
        config.hostname = "near".to_owned();
        config.collecting = collects(directory.path());
        send_to(config, &far.to_string(), key);
    });
    near.wait("a link", |near| links(near) == 1);
    let own = near.json("/api/v2/nodes")["nodes"][0].clone();
    assert_eq!((&own["state"], &own["sending"]["streaming"]), (&"localhost".into(), &true.into()), "{own}");
    assert_eq!(own["sending"]["to"], far.to_string());
    let theirs = |path: &str| get(far, &format!("/host/near{path}"));
    near.wait("the plugin's chart there", |_| {
        let response = theirs("/api/v1/data?chart=simple.chart&after=-3&points=1&group=max&options=jsonwrap");
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        answer["latest_values"][0] == 42.0
    });
    let chart: Value = serde_json::from_slice(&theirs("/api/v1/chart?chart=netdata.server_cpu").body)
        .expect("our own figures");
    assert_eq!(chart["context"], "netdata.server_cpu");
    let info: Value = serde_json::from_slice(&get(far, "/api/v1/info").body).expect("JSON");
    let hosts = info["mirrored_hosts_status"].as_array().expect("hosts");
    let us: Vec<&Value> = hosts.iter().filter(|host| host["guid"] == near.machine_guid.to_string()).collect();
    assert_eq!(us.len(), 1, "{info}");
    assert_eq!(us[0]["hops"], 1, "{info}");
}

#[test]
fn we_are_sent_on_to_another_mainstem() {
    let far = TestParent::start();
    sent_on(far.address, &far.key);
}

#[test]
fn we_are_sent_on_to_a_real_netdata() {
    let directory = tempfile::tempdir().expect("a directory");
    let far = Netdata::parent(free_port(), directory.path(), KEY, &[]);
    wait_for("the parent to listen", PATIENCE, &far.api, |api| std::net::TcpStream::connect(api).is_ok());
    sent_on(far.api, KEY);
}
