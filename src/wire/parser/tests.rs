use proptest::prelude::*;

use super::*;
use crate::wire::command::{
    Algorithm, ChartDefinition, ChartOptions, ChartType, Collected, DimensionDefinition, DimensionOptions,
    FunctionDefinition, PointFlags, Reference, ReplayedPoint, Slot, VariableScope,
};

const NO_FLAGS: PointFlags = PointFlags { not_anomalous: false, reset: false, empty: false };
const NORMAL: PointFlags = PointFlags { not_anomalous: true, ..NO_FLAGS };

#[derive(Debug)]
struct Reading<'a> {
    commands: Vec<Command<'a>>,
    end: Result<(), ParseError>,
    /// Bytes of the line that is not complete.
    left: usize,
}

fn read(text: &[u8], by_words_only: bool) -> Reading<'_> {
    let mut parser = Parser::new();
    let mut rest = text;
    let mut commands = Vec::new();
    let end = loop {
        let next = if by_words_only { parser.next_by_words(&mut rest) } else { parser.next(&mut rest) };
        match next {
            Ok(Some(command)) => commands.push(command),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    Reading { commands, left: rest.len(), end }
}

/// What the parser makes of `text`, which must be what its naive twin makes of it, the words of each line.
fn reading(text: &[u8]) -> Reading<'_> {
    let fast = read(text, false);
    let naive = read(text, true);
    // As text, since what is no number does not equal itself.
    assert_eq!(format!("{fast:?}"), format!("{naive:?}"), "{}", String::from_utf8_lossy(text));
    fast
}

#[track_caller]
fn check(line: &str, expected: Command<'_>) {
    let text = format!("{line}\n");
    let reading = reading(text.as_bytes());
    assert_eq!(reading.commands, [expected], "{line}");
}

#[track_caller]
fn check_wrong(line: &str, keyword: &'static str, position: usize, wrong: Wrong) {
    let text = format!("{line}\n");
    let reading = reading(text.as_bytes());
    assert!(reading.commands.is_empty());
    match reading.end {
        Err(ParseError::Word { keyword: k, position: p, wrong: w, .. }) => {
            assert_eq!((k, p, w), (keyword, position, wrong), "{line}");
        }
        other => panic!("{line}: {other:?}"),
    }
}

fn id(id: &str) -> Reference<'_> {
    Reference { slot: None, id: id.as_bytes() }
}

fn in_slot(slot: u32, id: &str) -> Reference<'_> {
    Reference { slot: Some(Slot(slot.try_into().unwrap())), id: id.as_bytes() }
}

#[test]
fn charts_are_defined() {
    let expected = ChartDefinition {
        chart: id("t1.inc"),
        name: b"inc_name",
        title: b"Incremental test",
        units: b"units/s",
        family: b"fam",
        context: b"t1.inc",
        chart_type: ChartType::Area,
        priority: 1001,
        update_every: 1,
        options: ChartOptions { given: true, ..ChartOptions::default() },
        plugin: b"test.plugin",
        module: b"mod",
    };
    let line = r#"CHART "t1.inc" "inc_name" "Incremental test" "units/s" "fam" "t1.inc" "area" 1001 1 "   " "test.plugin" "mod""#;
    check(line, Command::Chart(expected));
    let slotted = line.replace("CHART ", "CHART SLOT:#DE ");
    check(&slotted, Command::Chart(ChartDefinition { chart: in_slot(196, "t1.inc"), ..expected }));

    let options = ChartOptions { given: true, obsolete: true, detail: true, store_first: true, hidden: true };
    let line = line.replace("\"   \"", "\"obsolete detail store_first hidden\"");
    check(&line, Command::Chart(ChartDefinition { options, ..expected }));

    let bare = ChartDefinition {
        chart: id("a.b"),
        name: b"",
        title: b"",
        units: b"",
        family: b"",
        context: b"",
        chart_type: ChartType::Line,
        priority: 1000,
        update_every: 0,
        options: ChartOptions::default(),
        plugin: b"",
        module: b"",
    };
    check("CHART a.b", Command::Chart(bare));
    check("CHART SLOT:0 a.b '' '' '' '' '' nonsense x -5 ''", Command::Chart(bare));
    check_wrong("CHART", "CHART", 1, Wrong::Missing);
    for wrong in ["a", ".b", "a.", "'.'"] {
        check_wrong(&format!("CHART {wrong}"), "CHART", 1, Wrong::NoTypeAndId);
    }
    check_wrong("CHART SLOT:#B", "CHART", 2, Wrong::Missing);
}

#[test]
fn dimensions_are_defined() {
    let expected = DimensionDefinition {
        dimension: id("b"),
        name: b"b",
        algorithm: Algorithm::Absolute,
        multiplier: -3,
        divisor: 7,
        options: DimensionOptions { hidden: true, ..DimensionOptions::default() },
    };
    check(r#"DIMENSION "b" "b" "absolute" -3 7 " hidden ""#, Command::Dimension(expected));
    let all = DimensionDefinition {
        dimension: in_slot(2, "b"),
        algorithm: Algorithm::PercentageOfIncrementalRow,
        multiplier: 1,
        divisor: 1,
        options: DimensionOptions { obsolete: true, hidden: true, no_reset: true, float: true },
        ..expected
    };
    let line =
        "DIMENSION SLOT:0x2 b b percentage-of-incremental-row 0 0 'obsolete hidden nooverflow type=float'";
    check(line, Command::Dimension(all));
    check_wrong("DIMENSION ''", "DIMENSION", 1, Wrong::Missing);
}

#[test]
fn labels_and_variables() {
    check(
        r#"CLABEL "_collect_plugin" "test.plugin" 536870913"#,
        Command::ChartLabel { key: b"_collect_plugin", value: b"test.plugin", source: 0x2000_0001 },
    );
    check("CLABEL k '' 1", Command::ChartLabel { key: b"k", value: b"", source: 1 });
    check_wrong("CLABEL k", "CLABEL", 2, Wrong::Missing);
    check("CLABEL_COMMIT", Command::ChartLabelCommit);
    check("OVERWRITE labels", Command::Overwrite);
    check(
        r#"LABEL "_os_version" = 2147483649 "12 (bookworm)""#,
        Command::Label { key: b"_os_version", value: b"12 (bookworm)", source: 0x8000_0001 },
    );
    check("LABEL k = 1 v w x", Command::Label { key: b"k", value: b"v w x", source: 1 });
    check("LABEL k = -1 ", Command::Label { key: b"k", value: b"", source: u32::MAX });
    check_wrong("LABEL", "LABEL", 1, Wrong::Missing);

    let variable = |scope, value| Command::Variable { scope, name: b"v", value };
    check("VARIABLE HOST v = 7.0000000", variable(VariableScope::Host, 7.0));
    check("VARIABLE GLOBAL v = 7", variable(VariableScope::Host, 7.0));
    check("VARIABLE CHART v = 12.5", variable(VariableScope::Chart, 12.5));
    check("VARIABLE LOCAL v = 12.5", variable(VariableScope::Chart, 12.5));
    check("VARIABLE v = 1", variable(VariableScope::Unspecified, 1.0));
}

#[test]
fn v1_data() {
    check(r#"BEGIN "t1.abs" 1016533"#, Command::Begin { chart: b"t1.abs", microseconds: 1_016_533 });
    check(r#"BEGIN "t1.abs""#, Command::Begin { chart: b"t1.abs", microseconds: 0 });
    check("BEGIN SLOT:#B t1.abs x", Command::Begin { chart: b"t1.abs", microseconds: 0 });
    check("END", Command::End);
    check("END 1 2 3", Command::End);
    let set = |value| Command::Set { dimension: b"a b", value };
    check(r#"SET "a b" = -36"#, set(Some(-36)));
    check(r#"SET 'a b'=5"#, set(Some(5)));
    check(r#"SET "a b" = -9223372036854775808"#, set(Some(i64::MIN)));
    check(r#"SET "a b" = 9223372036854775807"#, set(Some(i64::MAX)));
    check(r#"SET "a b" = 18446744073709551621"#, set(Some(5)));
    check(r#"SET "a b" = 12.5"#, set(Some(12)));
    check(r#"SET "a b" = 1e6"#, set(Some(1)));
    check(r#"SET "a b" = nonsense"#, set(Some(0)));
    check(r#"SET "a b" = "#, set(None));
    check(r#"SET "a b""#, set(None));
    check("SET \"a b\" = 5\r", set(Some(5)));
    check_wrong("SET", "SET", 1, Wrong::Missing);
    check_wrong("SET \"\" = 5", "SET", 1, Wrong::Missing);
    check_wrong("BEGIN", "BEGIN", 1, Wrong::Missing);
}

#[test]
fn v2_data_in_base64_and_in_hex() {
    let begin =
        |chart, end_time, wall_clock| Command::Begin2 { chart, update_every: 1, end_time, wall_clock };
    let set = |dimension, collected, value| Command::Set2 {
        dimension,
        collected: Collected::Integer(collected),
        value,
        flags: NORMAL,
    };
    check("BEGIN2 SLOT:#B 't1.abs' #B #BrAsvX #", begin(in_slot(1, "t1.abs"), 1_795_345_367, 1_795_345_367));
    check("SET2 SLOT:#B 'a' -#B @D/jMzMzMzMz A", set(in_slot(1, "a"), -1, 0.6));
    check("SET2 SLOT:#C 'b' #H @MALbbbbbbbb A", set(in_slot(2, "b"), 7, -3.4285714285714284));
    check("SET2 SLOT:#B 'a' #N @EAAAAAAAAAA A", set(in_slot(1, "a"), 13, 2.0));
    check("END2", Command::End2);

    // A wall clock in base64 begins like the sign for "the same".
    check(
        "BEGIN2 SLOT:#H 'system.cpu' #B #BrAr/G #BrAr/J",
        begin(in_slot(7, "system.cpu"), 1_795_342_278, 1_795_342_281),
    );
    let flags = PointFlags { reset: true, ..NORMAL };
    let nice = in_slot(2, "nice");
    check(
        "SET2 SLOT:#C 'nice' #Bk # AR",
        Command::Set2 { dimension: nice, collected: Collected::Integer(100), value: 100.0, flags },
    );

    check(
        "BEGIN2 SLOT:0x1 't1.abs' 0x1 0x6B02CC1A #",
        begin(in_slot(1, "t1.abs"), 1_795_345_434, 1_795_345_434),
    );
    check("SET2 SLOT:0x2 'b' 0x8 -4.2857143 A", set(in_slot(2, "b"), 8, -4.2857143));
    check("BEGIN2 'm.c0' 0x1 0x6B02D0DA 0x6B02D0DA", begin(id("m.c0"), 1_795_346_650, 1_795_346_650));
    check("SET2 'i' 0x4A38 999.7949907 A", set(id("i"), 19000, 999.7949907));

    let float = |collected, value, flags| Command::Set2 { dimension: id("f"), collected, value, flags };
    check("SET2 'f' @D/gAAAAAAAA # ''", float(Collected::Float(0.5), 0.5, NO_FLAGS));
    check("SET2 'f' 0.5 1 \"\"", float(Collected::Float(0.5), 1.0, NO_FLAGS));
    let empty = PointFlags { empty: true, ..NO_FLAGS };
    check("SET2 f 5 #B E", float(Collected::Integer(5), 1.0, empty));
    let reading = reading(b"SET2 'f' 1 null A\n");
    assert!(matches!(reading.commands[..], [Command::Set2 { value, .. }] if value.is_nan()));

    check_wrong("BEGIN2 a.b #B #B", "BEGIN2", 4, Wrong::Missing);
    check_wrong("SET2 SLOT:#B a #B #", "SET2", 5, Wrong::Missing);
}

#[test]
fn replication_of_1_37() {
    check(r#"RBEGIN "t1.abs""#, Command::ReplayBegin { chart: id("t1.abs"), point: None });
    let point = ReplayedPoint { start: 1_795_342_280, end: 1_795_342_281, wall_clock: 1_795_342_281 };
    check(
        "RBEGIN '' 1795342280 1795342281 1795342281",
        Command::ReplayBegin { chart: id(""), point: Some(point) },
    );
    check(
        "RBEGIN '' 1795342280 1795342281",
        Command::ReplayBegin { chart: id(""), point: Some(ReplayedPoint { wall_clock: 0, ..point }) },
    );
    let set = |value, flags| Command::ReplaySet { dimension: id("a"), value, flags };
    check(r#"RSET "a" -4.3000000 """#, set(-4.3, NO_FLAGS));
    check(r#"RSET "a" -0.4285714 "R""#, set(-0.4285714, PointFlags { reset: true, ..NO_FLAGS }));
    let gap = reading(b"RSET \"a\" NAN \"E\"\n");
    assert!(
        matches!(gap.commands[..], [Command::ReplaySet { value, flags, .. }] if value.is_nan() && flags.empty)
    );
    check(
        r#"RDSTATE "a" 1795342281916288 -43 -4.3000000 -4.3000000"#,
        Command::ReplayDimensionState {
            dimension: id("a"),
            last_collected_us: 1_795_342_281_916_288,
            last_collected_value: -43,
            last_calculated: -4.3,
            last_stored: -4.3,
        },
    );
    check(
        "RSSTATE 1795342281916282 1795342281000000",
        Command::ReplayChartState {
            last_collected_us: 1_795_342_281_916_282,
            last_updated_us: 1_795_342_281_000_000,
        },
    );
    let end = Command::ReplayEnd {
        update_every: 1,
        first: 1_795_342_280,
        last: 1_795_342_281,
        start_streaming: true,
        after: 1_795_342_279,
        before: 1_795_342_281,
        wall_clock: 1_795_342_281,
    };
    check("REND 1 1795342280 1795342281 true 1795342279 1795342281 1795342281", end);
    check_wrong("REND 1 2 3 true 4", "REND", 6, Wrong::Missing);
    check_wrong("RBEGIN", "RBEGIN", 1, Wrong::Missing);
    check_wrong("RSET", "RSET", 1, Wrong::Missing);
    check(
        "CHART_DEFINITION_END 1795342279 1795342280 1795342281",
        Command::ChartDefinitionEnd { first: 1_795_342_279, last: 1_795_342_280, now: 1_795_342_281 },
    );
}

#[test]
fn replication_of_2_9() {
    check("RBEGIN SLOT:#B 't1.abs'", Command::ReplayBegin { chart: in_slot(1, "t1.abs"), point: None });
    let point = ReplayedPoint { start: 1_795_345_364, end: 1_795_345_365, wall_clock: 1_795_345_367 };
    check(
        "RBEGIN SLOT:#B '' #BrAsvU #BrAsvV #BrAsvX",
        Command::ReplayBegin { chart: in_slot(1, ""), point: Some(point) },
    );
    check(
        r#"RSET SLOT:#C "b" @MAEkkleF+NL A"#,
        Command::ReplaySet { dimension: in_slot(2, "b"), value: -2.5714289999999997, flags: NORMAL },
    );
    check(
        "RDSTATE SLOT:#B 'a' #GYNtqzWo8 -#B @L+5mZmZmZma @L+5mZmZmZma",
        Command::ReplayDimensionState {
            dimension: in_slot(1, "a"),
            last_collected_us: 1_795_345_366_215_228,
            last_collected_value: -1,
            last_calculated: -0.1,
            last_stored: -0.1,
        },
    );
    check(
        "RSSTATE #GYNtqzWtY #GYNtqyiGA",
        Command::ReplayChartState {
            last_collected_us: 1_795_345_366_215_512,
            last_updated_us: 1_795_345_366_000_000,
        },
    );
    check(
        "REND #B #BrAsvP #BrAsvW true  #BrAsvP #BrAsvW #BrAsvX",
        Command::ReplayEnd {
            update_every: 1,
            first: 1_795_345_359,
            last: 1_795_345_366,
            start_streaming: true,
            after: 1_795_345_359,
            before: 1_795_345_366,
            wall_clock: 1_795_345_367,
        },
    );
}

#[test]
fn slots_that_cannot_be_are_none() {
    for slot in ["SLOT:0", "SLOT:", "SLOT:x", "SLOT:#A", "SLOT:-1", "SLOT:0x100000000", "'SLOT:0'"] {
        let set =
            Command::Set2 { dimension: id("a"), collected: Collected::Integer(1), value: 1.0, flags: NORMAL };
        check(&format!("SET2 {slot} 'a' #B # A"), set);
    }
    check(
        "SET2 SLOT:#B 'SLOT:x' #B # A",
        Command::Set2 {
            dimension: in_slot(1, "SLOT:x"),
            collected: Collected::Integer(1),
            value: 1.0,
            flags: NORMAL,
        },
    );
}

#[test]
fn claims() {
    let guid = "aaaaaaaa-0000-4000-8000-000000000001";
    let claim = |claim_id| Command::ClaimedId { machine_guid: guid.as_bytes(), claim_id };
    check(&format!("CLAIMED_ID {guid} NULL"), claim(None));
    check(&format!("CLAIMED_ID '{guid}' '{guid}'"), claim(Some(guid.as_bytes())));
    check_wrong(&format!("CLAIMED_ID {guid} x"), "CLAIMED_ID", 2, Wrong::NoUuid);
    check_wrong("CLAIMED_ID x NULL", "CLAIMED_ID", 1, Wrong::NoUuid);
    check_wrong(&format!("CLAIMED_ID {guid}"), "CLAIMED_ID", 2, Wrong::Missing);
}

#[test]
fn functions_of_every_generation() {
    let hello = FunctionDefinition {
        global: false,
        name: b"hello",
        timeout_s: 15,
        help: b"says hello",
        tags: b"",
        access: 0,
        priority: 100,
        version: 0,
    };
    check(r#"FUNCTION "hello" 15 "says hello""#, Command::Function(hello));
    let top =
        FunctionDefinition { global: true, tags: b"top", access: 0x13, priority: 101, version: 2, ..hello };
    check(r#"FUNCTION GLOBAL "hello" 15 "says hello" "top" 0x13 101 2"#, Command::Function(top));
    check("FUNCTION hello 0", Command::Function(FunctionDefinition { timeout_s: 10, help: b"", ..hello }));
    check("FUNCTION_DEL GLOBAL \"hello\"", Command::FunctionDel { global: true, name: b"hello" });
    check("FUNCTION_PROGRESS 't' 3 10", Command::FunctionProgress { transaction: b"t", done: 3, all: 10 });
    check_wrong("FUNCTION GLOBAL", "FUNCTION", 2, Wrong::Missing);
}

#[test]
fn payloads_are_raw_lines_up_to_their_own_end() {
    let text = b"FUNCTION_RESULT_BEGIN \"aaaa-bbbb\" 200 \"application/json\" 1795342764\n\
        {\"a\":1,\n \"txt\":\"line = two\"}\n\nJSON_PAYLOAD_END\nFUNCTION_RESULT_END \nSET \"a\" = 5\nFUNCTION_RESULT_END\n\
        JSON STREAM_PATH\nFUNCTION_RESULT_END\nJSON_PAYLOAD_END\nEND\n";
    let begin = Command::FunctionResultBegin {
        transaction: b"aaaa-bbbb",
        code: 200,
        content_type: b"application/json",
        expires: 1_795_342_764,
    };
    let expected = [
        begin,
        Command::Payload(b"{\"a\":1,"),
        Command::Payload(b" \"txt\":\"line = two\"}"),
        Command::Payload(b""),
        Command::Payload(b"JSON_PAYLOAD_END"),
        Command::Payload(b"FUNCTION_RESULT_END "),
        Command::Payload(b"SET \"a\" = 5"),
        Command::FunctionResultEnd,
        Command::Json { keyword: b"STREAM_PATH" },
        Command::Payload(b"FUNCTION_RESULT_END"),
        Command::JsonEnd,
        Command::End,
    ];
    assert_eq!(reading(text).commands, expected);
}

#[test]
fn a_payloads_line_may_be_longer_than_other_lines_and_comes_in_parts() {
    let end = "FUNCTION_RESULT_END";
    for (rest, len) in [("", MAX_LINE), ("yz", MAX_LINE), (end, MAX_LINE), (end, 3 * MAX_LINE)] {
        let long = "x".repeat(len);
        let text = format!("FUNCTION_RESULT_BEGIN t 200 x 0\n{long}{rest}\n{end}\nEND\n");
        let commands = reading(text.as_bytes()).commands;
        // What fits is not cut; what is left of a line is not its payload's end.
        let parts = if rest.is_empty() { 0 } else { len / MAX_LINE };
        assert_eq!(commands.len(), 1 + parts + 3);
        for part in &commands[1..=parts] {
            assert_eq!(*part, Command::PayloadPart(&long.as_bytes()[..MAX_LINE]));
        }
        let last = if parts == 0 { long.as_bytes() } else { rest.as_bytes() };
        assert_eq!(commands[1 + parts..], [Command::Payload(last), Command::FunctionResultEnd, Command::End]);
    }
}

#[test]
fn other_keywords_are_skipped_or_counted() {
    for keyword in ["FLUSH", "DISABLE", "TIMESTAMP", "DYNCFG_ENABLE", "JSON_PAYLOAD_END"] {
        check(&format!("{keyword} 1 2"), Command::Ignored { keyword: keyword.as_bytes(), rest: b"1 2" });
    }
    for keyword in ["BEGIN3", "set", "SET3", "BEG", "END3", "\u{e9}"] {
        check(&format!("{keyword} 1 2"), Command::Unknown { keyword: keyword.as_bytes() });
    }
}

#[test]
fn blank_lines_are_skipped_and_an_incomplete_line_waits() {
    let reading = reading(b"\n \r\n=\n'\nEND\n\nSET \"a\" = 12");
    assert_eq!(reading.commands, [Command::End]);
    assert_eq!(reading.left, "SET \"a\" = 12".len());
}

#[test]
fn a_line_may_have_64_kib_and_no_more() {
    for (id_len, fits) in [(MAX_LINE - 10, true), (MAX_LINE - 9, false)] {
        let line = format!("SET \"{}\" = 5\n", "x".repeat(id_len));
        let reading = reading(line.as_bytes());
        assert_eq!(reading.commands.len(), usize::from(fits));
        assert_eq!(reading.end, if fits { Ok(()) } else { Err(ParseError::LineTooLong) });
    }
    assert_eq!(reading(&[b'x'; MAX_LINE]).end, Ok(()));
    assert_eq!(reading(&[b'x'; MAX_LINE + 1]).end, Err(ParseError::LineTooLong));
}

/// Lines as children write them, and what could become of them.
fn lines() -> impl Strategy<Value = String> {
    let id = "['\"]?([a-z .\\\\]{0,12}|SLOT:#B)['\"]?";
    let slot = "( SLOT:(#[A-D]|0x[0-2]|[0-2]|x))?";
    let integer = "(-?(#[A-Za-z0-9+/]{0,11}|0x[0-9A-F]{0,16}|[0-9]{0,20})|\\+5|#|12\\.5|x)";
    let double = "(-?(@[A-Za-z0-9+/]{0,11}|%[0-9A-F]{1,16}|[0-9]{0,17}(\\.[0-9]{0,8})?(e[+-]?[0-9]{0,3})?)|#|nan|NULL)";
    let flags = "(A|R|AR|E|''|\"\"|\"R\"|)";
    let shapes = [
        &format!("SET {id} = {integer}"),
        &format!("BEGIN {id} {integer}"),
        &format!("SET2{slot} {id} ({integer}|{double}) {double} {flags}"),
        &format!("BEGIN2{slot} {id} {integer} {integer} ({integer}|#)"),
        &format!("RSET{slot} {id} {double} {flags}"),
        &format!("RBEGIN{slot} ({id}|'') {integer} {integer} {integer}"),
        "(END|END2|END |SET|SET2|BEGIN|BEGIN2) ?",
        "(FUNCTION_RESULT_BEGIN t 200 x 0|FUNCTION_RESULT_END|JSON x|JSON_PAYLOAD_END)",
        "[A-Z_]{1,12}( [ -~]{0,8}){0,4}",
    ];
    let line = proptest::string::string_regex(&shapes.join("|")).unwrap();
    proptest::collection::vec((line, "(\n|\n|\n|\n|\r\n| \n|\n\n)"), 1..8)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + &end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8000, ..ProptestConfig::default() })]

    #[test]
    fn the_hot_path_agrees_with_its_naive_twin(text in lines()) {
        reading(text.as_bytes());
    }

    #[test]
    fn the_hot_path_agrees_with_its_naive_twin_on_damaged_lines(
        text in lines(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), "[ =\n\r'\"\\\\#@%A0-]"), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte.as_bytes()[0];
        }
        reading(&bytes);
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), keyword in "(SET |SET2 |BEGIN |RSET |CHART |LABEL |FUNCTION )") {
        reading(&[keyword.as_bytes(), &bytes, b"\n"].concat());
    }
}

/// Expects one line of v1 data, again and again.
struct Expecting(usize);

impl<'a> Visitor<'a> for Expecting {
    type Output = ();

    fn command(&mut self, _: Command<'a>) {}

    fn head(&self) -> &[u8] {
        b"\"d\" = "
    }

    fn set_expected(&mut self, _: i64) -> Option<()> {
        self.0 += 1;
        Some(())
    }
}

#[test]
fn nobody_is_told_of_an_expected_line_that_is_too_long() {
    let line = |zeros: usize| format!("SET \"d\" = {}5\n", "0".repeat(zeros)).into_bytes();
    for (zeros, told) in [(10, 1), (MAX_LINE, 0)] {
        let (text, mut visitor) = (line(zeros), Expecting(0));
        let read = Parser::new().visit(&mut &text[..], &mut visitor);
        assert_eq!((read.is_ok(), visitor.0), (told == 1, told), "{zeros} zeros");
    }
}
