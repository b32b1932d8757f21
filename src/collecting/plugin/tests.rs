use proptest::prelude::*;

use super::*;
use crate::wire::command::VariableScope;

const NOW_US: i64 = 1_795_342_200_000_000;
const BOUNDS: Bounds = Bounds { charts: 10, dimensions: 20 };

fn plugin() -> PluginText {
    PluginText::new("x.plugin", 3, BOUNDS)
}

/// What comes out of a plugin's text, read at once.
fn read(text: &str) -> (String, Result<(), Verdict>) {
    let (mut plugin, mut out) = (plugin(), Vec::new());
    let outcome = plugin.read(NOW_US, text.as_bytes(), &mut out);
    (String::from_utf8(out).expect("text"), outcome)
}

const NODE: &str = "5a7b1d94-e65d-11f1-9f2e-0242ac110002";
const CHART: &str = "CHART a.b '' t u\nDIMENSION d\n";
const ORIGIN: &str = "CLABEL \"_collect_plugin\" \"x.plugin\" 1\nCLABEL \"_collect_module\" \"[none]\" 1\n";
const CHART_SAID: &str = "CHART \"a.b\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1000 3 \"\" \"x.plugin\" \"\"\n\
                          CLABEL \"_collect_plugin\" \"x.plugin\" 1\n\
                          CLABEL \"_collect_module\" \"[none]\" 1\nCLABEL_COMMIT\n\
                          DIMENSION \"d\" \"\" \"absolute\" 1 1 \"  \"\n";

#[test]
fn every_line_has_its_meaning() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (out, outcome) = read(&format!("{CHART}{text}"));
        assert_eq!(outcome, Ok(()), "{text}");
        let out = out.strip_prefix(CHART_SAID).unwrap_or_else(|| panic!("the chart: {out}"));
        assert_eq!(out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"), expected, "{text}");
    }
    // values
    check("BEGIN a.b 5\nSET d = 7\nEND\n", "BEGIN \"a.b\" 0\nSET \"d\" = 7\nEND");
    check("\n  \nBEGIN 'a.b'\nSET \"d\" 0x10\nEND\n", "BEGIN \"a.b\" 0\nSET \"d\" = 16\nEND");
    check("BEGIN a.b\nSET d\nSET d ''\nEND\n", "BEGIN \"a.b\" 0\nSET \"d\"\nSET \"d\"\nEND");
    check("BEGIN a.b\nSET d = 7\nFLUSH\n", "");
    check("BEGIN a.b\nSET d = 7\nBEGIN a.b\nSET d = 8\nEND\n", "BEGIN \"a.b\" 0\nSET \"d\" = 8\nEND");
    check("BEGIN a.b\nSET d = 7\n", "");
    // definitions
    check(
        "CHART c.d name title units family context stacked 7 11 'obsolete hidden' plugin module\n",
        "CHART \"c.d\" \"name\" \"title\" \"units\" \"family\" \"context\" \"stacked\" 7 11 \"obsolete   hidden\" \"plugin\" \"module\"\n\
         CLABEL \"_collect_plugin\" \"plugin\" 1\nCLABEL \"_collect_module\" \"module\" 1\nCLABEL_COMMIT",
    );
    check("DIMENSION e name incremental 2 0\n", "DIMENSION \"e\" \"name\" \"incremental\" 2 1 \"  \"");
    check("VARIABLE a 5\n", "VARIABLE CHART a = 5.0000000");
    check(
        "VARIABLE GLOBAL a 5\nVARIABLE HOST b 6\n",
        "VARIABLE HOST a = 5.0000000\nVARIABLE HOST b = 6.0000000",
    );
    check("FLUSH\nVARIABLE a 5\n", "VARIABLE HOST a = 5.0000000");
    check("CLABEL k v 1\nCLABEL_COMMIT\n", &format!("{ORIGIN}CLABEL \"k\" \"v\" 1\nCLABEL_COMMIT"));
    check("CLABEL _collect_plugin other 1\nCLABEL_COMMIT\n", &format!("{ORIGIN}CLABEL_COMMIT"));
    check("CLABEL k v 1\n", "");
    // functions
    check("FUNCTION GLOBAL f 5 help\n", "FUNCTION GLOBAL \"f\" 5 \"help\"");
    check("FUNCTION f 5 help\n", "FUNCTION \"f\" 5 \"help\"");
    check(
        "FUNCTION_RESULT_BEGIN t 200 text/plain 9\nBEGIN a.b\n END\nFUNCTION_RESULT_END\n",
        "FUNCTION_RESULT_BEGIN \"t\" 200 \"text/plain\" 9\nBEGIN a.b\n END\nFUNCTION_RESULT_END",
    );
    check("FUNCTION_RESULT_BEGIN t 200 text/plain 9\nhalf\n", "");
    check("FUNCTION GLOBAL f 5 help top 0x13 7 3\n", "FUNCTION GLOBAL \"f\" 5 \"help\" \"top\" 0x13 7 3");
    check("FUNCTION GLOBAL f 5 help top any\n", "FUNCTION GLOBAL \"f\" 5 \"help\" \"top\" 0x8 100 0");
    check("FUNCTION GLOBAL f 5 help '' member\n", "FUNCTION GLOBAL \"f\" 5 \"help\" \"\" 0x13 100 0");
    check("FUNCTION_DEL GLOBAL f\n", "");
    check(
        "FUNCTION GLOBAL f 5 h\nFUNCTION_DEL GLOBAL f\n",
        "FUNCTION GLOBAL \"f\" 5 \"h\"\nFUNCTION_DEL GLOBAL \"f\"",
    );
    check("FUNCTION_PROGRESS t 5 10\n", "FUNCTION_PROGRESS 't' 5 10");
    // of no use here
    check("PLUGIN_KEEPALIVE\nDYNCFG_ENABLE x\nREPORT_JOB_STATUS a b c 1\n", "");
    check("CONFIG a:b status running\nCONFIG a:b delete\nCONFIG\n", "");
    check("LABEL a = 1 b\nOVERWRITE labels\nTRUST_DURATIONS\n", "");
}

#[test]
fn a_chart_is_said_again_before_what_belongs_to_it() {
    let mut plugin = plugin();
    let mut said = |text: &str| {
        let mut out = Vec::new();
        plugin.read(NOW_US, text.as_bytes(), &mut out).expect("nothing is wrong with it");
        String::from_utf8(out).expect("text")
    };
    let chart = CHART_SAID.split_inclusive('\n').next().expect("a line");
    assert_eq!(said(CHART), CHART_SAID);
    // Somebody else's text may be between two reads.
    assert_eq!(said("DIMENSION e\nDIMENSION f\n").matches(chart).count(), 1);
    assert!(said("CLABEL k v 1\n").is_empty());
    assert_eq!(said("CLABEL_COMMIT\n"), format!("{chart}{ORIGIN}CLABEL \"k\" \"v\" 1\nCLABEL_COMMIT\n"));
    assert!(said("BEGIN a.b\nSET d 1\n").is_empty());
    assert!(said("DIMENSION g\n").starts_with(chart), "a dimension that comes while its chart is collected");
    assert_eq!(said("SET g 2\nEND\n"), "BEGIN \"a.b\" 0\nSET \"d\" = 1\nSET \"g\" = 2\nEND\n");
}

/// What has come out for virtual nodes: whose, and the text.
fn of_nodes(plugin: &mut PluginText) -> Vec<(String, String)> {
    let piece =
        |piece: NodePiece| (piece.machine_guid.to_string(), String::from_utf8(piece.text).expect("text"));
    plugin.take_node_pieces().into_iter().map(piece).filter(|(_, text)| !text.is_empty()).collect()
}

#[test]
fn virtual_nodes_are_hosts_of_their_own() {
    let other = NODE.replace('5', "6");
    let mut plugin = plugin();
    let mut out = Vec::new();
    let text = format!(
        "{CHART}HOST_DEFINE '{NODE}' 'router 1'\nHOST_LABEL '_os_name' 'RouterOS'\nHOST_LABEL site a\nHOST_DEFINE_END\n\n\
         {CHART}CLABEL k v 1\nCLABEL_COMMIT\nFUNCTION GLOBAL f 5 help\nBEGIN a.b\nSET d = 7\nEND\n\n\
         HOST_DEFINE {other} other\nHOST_DEFINE_END\nCHART c.d\nDIMENSION e\n\
         HOST ''\nBEGIN a.b\nSET d = 1\nEND\nHOST {NODE}\nBEGIN a.b 1000000\nSET d = 8\nEND\nHOST localhost\n"
    );
    plugin.read(NOW_US, text.as_bytes(), &mut out).expect("nothing is wrong with it");
    let chart = CHART_SAID.split_inclusive('\n').next().expect("a line");
    let own = String::from_utf8(out).expect("text");
    assert!(own.starts_with(CHART_SAID) && own.ends_with("SET \"d\" = 1\nEND\n"), "{own}");
    assert_eq!(plugin.collections(), 3);
    let labels = format!("{ORIGIN}CLABEL \"k\" \"v\" 1\nCLABEL_COMMIT\n");
    // Defined anew, a chart keeps its labels until others are committed.
    let (defined, dimension) = CHART_SAID.split_once(ORIGIN).expect("its origin");
    let dimension = dimension.strip_prefix("CLABEL_COMMIT\n").expect("a dimension");
    let said = of_nodes(&mut plugin);
    let whose: Vec<&str> = said.iter().map(|(whose, _)| whose.as_str()).collect();
    assert_eq!(whose, [NODE, other.as_str(), NODE]);
    assert_eq!(said[0].1, format!("{CHART_SAID}{labels}BEGIN \"a.b\" 0\nSET \"d\" = 7\nEND\n"));
    assert!(said[1].1.starts_with("CHART \"c.d\""), "{said:?}");
    assert_eq!(said[2].1, "BEGIN \"a.b\" 1000000\nSET \"d\" = 8\nEND\n");
    assert!(plugin.functions().next().is_none(), "nobody could call it");

    let guid = NODE.parse().expect("a GUID");
    let node = plugin.node(guid).expect("it is defined");
    assert_eq!((node.hostname.as_str(), node.labels.len()), ("router 1", 2));
    let mut all = Vec::new();
    plugin.describe_node(guid, &mut all);
    assert_eq!(
        String::from_utf8_lossy(&all),
        format!(
            "LABEL \"_os_name\" = 2 \"RouterOS\"\nLABEL \"site\" = 2 \"a\"\nOVERWRITE labels\n{defined}{dimension}{labels}"
        )
    );
    // As a plugin does before each of its jobs; and with another label.
    let mut again = |site: &str| {
        let text = format!(
            "HOST_DEFINE {NODE} 'router 1'\nHOST_LABEL _os_name RouterOS\nHOST_LABEL site {site}\nHOST_DEFINE_END\nDIMENSION f\n"
        );
        let outcome = plugin.read(NOW_US, text.as_bytes(), &mut Vec::new());
        assert_eq!(outcome, Err(mistaken("DIMENSION without a chart")), "a collection has ended");
        of_nodes(&mut plugin)
    };
    assert_eq!(again("a"), []);
    assert_eq!(again("b").len(), 1);
    // Somebody else's text may be between two reads.
    plugin
        .read(NOW_US, format!("HOST {NODE}\nCHART a.b '' t u\n").as_bytes(), &mut Vec::new())
        .expect("a chart");
    of_nodes(&mut plugin);
    plugin.read(NOW_US, b"DIMENSION g\n", &mut Vec::new()).expect("a dimension");
    assert!(of_nodes(&mut plugin)[0].1.starts_with(chart));
    plugin.begin_run();
    plugin.read(NOW_US, b"BEGIN a.b\nEND\n", &mut Vec::new()).expect("our own");
    assert_eq!(of_nodes(&mut plugin), []);
}

/// As go.d.plugin of 2.x does it.
#[test]
fn jobs_that_wait_for_it_are_told_that_they_are_enabled() {
    let mut plugin = plugin();
    let mut said = |text: &str| {
        let mut out = Vec::new();
        plugin.read(NOW_US, text.as_bytes(), &mut out).expect("nothing is wrong with it");
        assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
        assert_eq!(plugin.take_answered(), Vec::<Vec<u8>>::new());
        let lines = plugin.take_lines().concat();
        String::from_utf8(lines).expect("text")
    };
    let commands = "schema get enable disable update restart test userconfig";
    let create = |id: &str, status: &str, kind: &str, commands: &str| {
        format!(
            "CONFIG {id} create {status} {kind} /collectors/jobs stock 'file=/etc/x.conf' '{commands}' 0x0000 0x0000\n\n"
        )
    };
    assert_eq!(
        said(&create("go.d:collector:x", "accepted", "template", "add schema enable disable test")),
        ""
    );
    let first = "00000000000000000000000000000001";
    assert_eq!(
        said(&create("go.d:collector:x:local", "accepted", "job", commands)),
        format!(
            "FUNCTION {first} 10 \"config go.d:collector:x:local enable\" \"0xffff\" \"file=/etc/x.conf\"\n"
        )
    );
    let disabled = said(&create("a:b", "disabled", "single", "schema disable"));
    assert!(disabled.contains(" 10 \"config a:b disable\" "), "{disabled}");
    assert_eq!(said(&create("a:b", "running", "single", "schema get")), "");
    // Nobody waits for what it answers.
    let answer = format!(
        "FUNCTION_RESULT_BEGIN {first} 200 application/json 1\n{{\"status\":200}}\nFUNCTION_RESULT_END\n\n"
    );
    assert_eq!(said(&answer), "");
    plugin.begin_run();
    let mut out = Vec::new();
    plugin.read(NOW_US, answer.as_bytes(), &mut out).expect("an answer");
    assert!(!out.is_empty(), "it was not asked in this run");
}

#[test]
fn what_a_plugin_may_not_say_ends_it() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (out, outcome) = read(&format!("{CHART}BEGIN a.b\nSET d 1\nEND\n{text}\nCHART late.chart\n"));
        assert_eq!(out, format!("{CHART_SAID}BEGIN \"a.b\" 0\nSET \"d\" = 1\nEND\n"), "{text}");
        let outcome = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(Verdict::Disable) => "disabled".to_owned(),
            Err(Verdict::Exit) => "exits".to_owned(),
            Err(Verdict::Mistaken(why)) => format!("mistaken: {why}"),
            Err(Verdict::Unintelligible(why)) => format!("unintelligible: {why}"),
        };
        assert_eq!(outcome, expected, "{text}");
    }
    check("DISABLE", "disabled");
    check("NONSENSE a b", "unintelligible: it wrote the unknown command 'NONSENSE'");
    check("EXIT", "exits");
    check("HOST_DEFINE a b", "mistaken: HOST_DEFINE: 'a' is no GUID");
    check(&format!("HOST_DEFINE {NODE}"), "mistaken: HOST_DEFINE: word 2, the hostname, is missing");
    check(
        &format!("HOST_DEFINE {NODE} x\nHOST_DEFINE {NODE} x"),
        "mistaken: HOST_DEFINE: another definition has no end",
    );
    check("HOST_DEFINE_END", "mistaken: HOST_DEFINE_END: no definition has begun");
    check("HOST_LABEL k v", "mistaken: HOST_LABEL: no definition has begun");
    check("HOST x", "mistaken: HOST: 'x' is no GUID");
    check(&format!("HOST {NODE}"), &format!("mistaken: HOST: the virtual node {NODE} is not defined"));
    check(
        &format!("HOST_DEFINE {NODE} x\nHOST_DEFINE_END\nBEGIN a.b"),
        "mistaken: BEGIN of the unknown chart 'a.b'",
    );
    check("BEGIN2 a.b 1 2 3", "unintelligible: it wrote a command of children");
    check("CHART_DEFINITION_END 1 2 3", "unintelligible: it wrote a command of children");
    check("BEGIN a.b\nSET e 1", "mistaken: SET of the unknown dimension 'e'");
    check("SET d 1", "mistaken: SET outside of BEGIN and END");
    check("END", "mistaken: END without BEGIN");
    check("BEGIN no.such", "mistaken: BEGIN of the unknown chart 'no.such'");
    check("DIMENSION e", "mistaken: DIMENSION without a chart");
    check("VARIABLE CHART a 1", "mistaken: VARIABLE CHART without a chart");
    check("CLABEL k v 1\nCLABEL_COMMIT", "mistaken: CLABEL_COMMIT without a chart");
    check("FUNCTION f 1 h", "mistaken: FUNCTION without a chart");
    check("CHART", "mistaken: CHART: word 1, the chart's id, is missing");
    check(
        "CHART nodot",
        "mistaken: CHART: word 1, the chart's id, is no type and id with a dot between them",
    );
    check("BEGIN", "mistaken: BEGIN: word 1, the chart's id, is missing");
    check("BEGIN a.b\nSET", "mistaken: SET: word 1, the dimension's id, is missing");
    let long = "x".repeat(100_000);
    check(&long, "unintelligible: a line is longer than 65536 bytes");
    check(
        &format!("FUNCTION GLOBAL {} 1 h", &long[..9000]),
        "mistaken: a function says more than 8192 bytes of itself",
    );
}

#[test]
fn all_that_it_can_make_us_hold_is_bounded() {
    #[track_caller]
    fn check(text: String, expected: &str) {
        let Err(Verdict::Mistaken(why) | Verdict::Unintelligible(why)) = read(&text).1 else {
            panic!("{expected}: it is let do so");
        };
        assert!(why.contains(expected), "{why}");
    }
    let many = |line: fn(usize) -> String, count: usize| (0..count).map(line).collect::<String>();
    check(many(|number| format!("CHART a.b{number}\n"), 11), "more than 10 charts");
    check(
        format!("{CHART}{}", many(|number| format!("DIMENSION d{number}\n"), 20)),
        "more than 20 dimensions",
    );
    check(format!("{CHART}{}", many(|_| "CLABEL k v 1\n".to_owned(), 201)), "more than 200 labels");
    check(
        format!("{CHART}{}", many(|number| format!("VARIABLE v{number} 1\n"), 201)),
        "more than 200 variables",
    );
    check(many(|number| format!("VARIABLE HOST v{number} 1\n"), 201), "more than 200 variables");
    check(many(|number| format!("FUNCTION GLOBAL f{number} 1 h\n"), 101), "more than 100 functions");
    check(
        format!("{CHART}BEGIN a.b\n{}", many(|_| "SET d 1\n".to_owned(), 600_000)),
        "longer than 4194304 bytes",
    );

    let mut plugin = plugin();
    let mut out = Vec::new();
    plugin.read(NOW_US, b"FUNCTION_RESULT_BEGIN t 200 text/plain 9\n", &mut out).expect("a beginning");
    let line = [b'x'; 65_000];
    for _ in 0..1000 {
        plugin.read(NOW_US, &line, &mut out).expect("more of it");
    }
    assert!(out.is_empty());
    plugin.read(NOW_US, b"\nFUNCTION_RESULT_END\n", &mut out).expect("its end");
    assert!((MOST_RESULT_BYTES + 1..MOST_RESULT_BYTES + (1 << 17)).contains(&out.len()), "{}", out.len());
    assert_eq!(plugin.take_answered(), [b"t".to_vec()]);
}

#[test]
fn the_time_between_collections_is_the_plugins_or_the_clocks() {
    let mut plugin = plugin();
    plugin.read(NOW_US, CHART.as_bytes(), &mut Vec::new()).expect("a chart");
    let mut after = |seconds: f64, said: &str| {
        let now_us = NOW_US + (seconds * 1e6) as i64;
        let mut out = Vec::new();
        plugin.read(now_us, format!("BEGIN a.b {said}\nEND\n").as_bytes(), &mut out).expect("a collection");
        let out = String::from_utf8(out).expect("text");
        out.split_ascii_whitespace().nth(2).map(str::to_owned).expect("microseconds")
    };
    assert_eq!(after(0.0, "3000000"), "0", "the first time its receiver asks the clock");
    assert_eq!(after(3.2, "3000000"), "3000000");
    assert_eq!(after(6.2, ""), "3200000", "from where the plugin's own count has come to");
    assert_eq!(after(9.2, "0"), "3000000");
    assert_eq!(after(24.1, "3000000"), "3000000");
    assert_eq!(after(40.0, "3000000"), "27800000", "more than five intervals behind: by the clock");
    assert_eq!(after(30.0, "3000000"), "0", "the clock was set back: its receiver asks it");
    assert_eq!(after(33.0, "3000001"), "3000001");
}

#[test]
fn a_run_begins_without_what_the_last_one_left_half_done() {
    let mut plugin = plugin();
    let mut out = Vec::new();
    let text = format!("{CHART}FUNCTION GLOBAL f 1 h\nBEGIN a.b\nSET d 1\nSE");
    plugin.read(NOW_US, text.as_bytes(), &mut out).expect("half a run");
    plugin.begin_run();
    assert_eq!(plugin.collections(), 0);
    out.clear();
    let outcome = plugin.read(NOW_US, b"SET d 2\n", &mut out);
    assert_eq!(outcome, Err(mistaken("SET outside of BEGIN and END")));
    plugin.begin_run();
    plugin.read(NOW_US, b"BEGIN a.b\nSET d 3\nEND\n", &mut out).expect("its charts are known");
    assert_eq!((out.as_slice(), plugin.collections()), (&b"BEGIN \"a.b\" 0\nSET \"d\" = 3\nEND\n"[..], 1));
    out.clear();
    plugin.withdraw_functions(&mut out);
    assert_eq!(out, b"FUNCTION_DEL GLOBAL \"f\"\n");
    assert_eq!(plugin.functions().count(), 0);
}

/// Text that is likely to mean something.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("CHART a.b t u\n"),
        Just("CHART a.c '' t\n"),
        Just("DIMENSION d\n"),
        Just("DIMENSION e '' incremental\n"),
        Just("BEGIN a.b 1000000\n"),
        Just("BEGIN a.c\n"),
        Just("SET d 1\n"),
        Just("SET e = -5\n"),
        Just("END\n"),
        Just("FLUSH\n"),
        Just("HOST localhost\n"),
        Just("HOST 5a7b1d94-e65d-11f1-9f2e-0242ac110002\n"),
        Just("HOST_DEFINE 5a7b1d94-e65d-11f1-9f2e-0242ac110002 x\nHOST_DEFINE_END\n"),
        Just("CONFIG a create accepted job / stock x enable\n"),
        Just("CLABEL k v 1\n"),
        Just("CLABEL_COMMIT\n"),
        Just("VARIABLE v 1\n"),
        Just("FUNCTION GLOBAL f 1 h\n"),
        Just("FUNCTION f 1 h\n"),
        Just("FUNCTION_RESULT_BEGIN t 200 x 1\n"),
        Just("FUNCTION_RESULT_END\n"),
        Just("DISABLE\n"),
        Just("\"\\ =\n"),
        Just("SE"),
    ];
    proptest::collection::vec(line, 0..60).prop_map(|lines| lines.concat().into_bytes())
}

/// Whether a receiver without anything between these pieces and others' would take them.
fn is_whole(text: &[u8]) -> bool {
    let (mut parser, mut rest) = (Parser::new(), text);
    let (mut is_open, mut scope, mut in_result) = (false, false, false);
    while let Ok(Some(command)) = parser.next(&mut rest) {
        match command {
            Command::Chart(_) if !is_open => scope = true,
            Command::Begin { .. } if !is_open => (is_open, scope) = (true, true),
            Command::Set { .. } if is_open => {}
            Command::End if is_open => (is_open, scope) = (false, false),
            Command::Dimension(_) | Command::ChartLabel { .. } | Command::ChartLabelCommit
                if scope && !is_open => {}
            Command::Variable { scope: VariableScope::Chart, .. } if scope && !is_open => {}
            Command::Variable { scope: VariableScope::Host, .. } if !is_open => {}
            Command::Function(function) if (scope || function.global) && !is_open => {}
            Command::FunctionResultBegin { .. } if !is_open => in_result = true,
            Command::Payload(_) | Command::PayloadPart(_) if in_result => {}
            Command::FunctionResultEnd if in_result => in_result = false,
            Command::Label { .. } | Command::Overwrite => {}
            _ => return false,
        }
    }
    rest.is_empty() && !is_open && !in_result
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_cuts_whole_pieces_come_out(
        text in prop_oneof![likely(), proptest::collection::vec(any::<u8>(), 0..200)],
        cuts in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let mut plugin = plugin();
        let (mut rest, mut cuts) = (&text[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            rest = later;
            let mut out = Vec::new();
            let outcome = plugin.read(NOW_US, now, &mut out);
            prop_assert!(is_whole(&out), "{}", String::from_utf8_lossy(&out));
            for piece in plugin.take_node_pieces() {
                prop_assert!(is_whole(&piece.text), "{}", String::from_utf8_lossy(&piece.text));
            }
            if outcome.is_err() {
                plugin.begin_run();
            }
        }
    }

    #[test]
    fn cuts_change_no_row(text in likely(), cut in 1..200usize) {
        let rows = |cut: usize| {
            let (mut plugin, mut rows) = (plugin(), Vec::new());
            for part in text.chunks(cut) {
                let mut out = Vec::new();
                let outcome = plugin.read(NOW_US, part, &mut out);
                let out = String::from_utf8_lossy(&out).into_owned();
                rows.extend(out.lines().filter(|line| ["BEGIN", "SET", "END"].iter().any(|word| line.starts_with(word))).map(str::to_owned));
                if outcome.is_err() {
                    break;
                }
            }
            rows
        };
        prop_assert_eq!(rows(cut), rows(usize::MAX));
    }
}
