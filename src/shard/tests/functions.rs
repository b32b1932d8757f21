//! Functions: offered, called, answered late, in parts, too long, never, and by children that leave.

use proptest::prelude::*;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::catalog::call::{CallError, FunctionCall, FunctionResult};
use crate::catalog::function::Access;

const HOST: u128 = 7;
const TRANSACTION: Uuid = Uuid::from_u128(0xABC);

type Outcome = Result<FunctionResult, CallError>;

impl Story {
    /// A child that arrives and whose greeting was read.
    fn greeted(&mut self) -> ConnectionId {
        let child = self.arrive(START, 1, HOST);
        self.asked();
        child
    }

    fn call(&mut self, now_us: i64, number: u128, timeout_s: u32) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        let call = FunctionCall {
            host: Uuid::from_u128(HOST),
            transaction: Uuid::from_u128(number),
            call: "top by:\"cpu\"".into(),
            timeout_s,
            access: Access::VISITOR,
            source: "method=api".into(),
            answer,
        };
        self.shard.apply(now_us, Event::Asked(Question::Call(Box::new(call))), &mut self.actions);
        answered
    }

    fn offered(&self) -> Vec<String> {
        let functions = self.shard.hosts[0].snapshot(ShardId(0)).functions;
        functions.iter().map(|(name, function)| format!("{name} {}", function.timeout_s)).collect()
    }
}

fn result(body: &str) -> String {
    format!(
        "FUNCTION_RESULT_BEGIN \"{}\" 200 \"text/plain\" 9\n{body}\nFUNCTION_RESULT_END\n",
        TRANSACTION.simple()
    )
}

fn answered(body: &str) -> Outcome {
    let body = body.as_bytes().to_vec();
    Ok(FunctionResult { code: 200, content_type: "text/plain".into(), expires: 9, body })
}

#[test]
fn functions_are_listed_while_their_child_is_connected() {
    let mut story = Story::begin();
    let child = story.greeted();
    story.say(START, child, "FUNCTION GLOBAL \"top\" 0 \"help\" \"tag\" 0x13 100 0\n");
    story.say(START, child, &format!("{CHART}FUNCTION \"of a chart\" 5 \"help\"\n"));
    assert_eq!(story.offered(), ["of a chart 5", "top 10"]);
    story.settle(START);
    assert_eq!(story.asked(), ["publish host-7 1 charts"]);
    // A chart that offers the same again is nothing new.
    story.say(START + SECOND, child, "FUNCTION \"of a chart\" 5 \"help\"\n");
    story.settle(START + SECOND);
    assert!(story.asked().is_empty());
    story.say(START + SECOND, child, "FUNCTION_DEL GLOBAL \"top\"\nFUNCTION_DEL GLOBAL \"never\"\n");
    assert_eq!(story.offered(), ["of a chart 5"]);
    story.shard.apply(
        START,
        Event::Ended { connection: child, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    assert!(story.offered().is_empty());
}

#[test]
fn what_a_child_may_offer_is_bounded() {
    let many: String = (0..1001).map(|number| format!("FUNCTION GLOBAL f{number} 1 \"\"\n")).collect();
    let long = format!("FUNCTION GLOBAL f 1 \"{}\"\n", "x".repeat(20_000));
    for text in [many, long] {
        let mut story = Story::begin();
        let child = story.greeted();
        story.say(START, child, &text);
        assert_eq!(story.shard.connections(), 0);
        assert_eq!(story.shard.telemetry.disconnections.get("limit"), 1);
    }
}

#[test]
fn a_call_is_sent_and_its_answer_is_all_that_stands_between_begin_and_end() {
    let mut story = Story::begin();
    let child = story.greeted();
    let mut answer = story.call(START, TRANSACTION.as_u128(), 10);
    let line = "FUNCTION 00000000000000000000000000000abc 10 \"top by:_cpu_\" \"0x8\" \"method=api\"\n";
    assert_eq!(story.asked(), [line]);
    let body = "{\"a\":1,\nCHART \"x.y\"\n\nBEGIN\nFUNCTION_RESULT_END \nJSON_PAYLOAD_END\n";
    let text = result(body);
    let (first, rest) = text.split_at(text.len() - 1);
    story.say(START, child, first);
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    story.say(START, child, rest);
    assert_eq!(answer.try_recv(), Ok(answered(body)));
    // Said twice, it is said to nobody.
    story.say(START, child, &text);
    assert_eq!(story.shard.connections(), 1);
    assert!(story.shard.hosts[0].charts().is_empty());
}

#[test]
fn children_before_1_45_get_the_line_that_they_know() {
    let mut story = Story::begin();
    story.capabilities = Capabilities::OURS.without(Capabilities::PROGRESS);
    let _child = story.greeted();
    let _answer = story.call(START, 1, 3);
    assert_eq!(story.asked(), ["FUNCTION 00000000000000000000000000000001 3 \"top by:_cpu_\"\n"]);
    story.settle(START + 2 * SECOND);
    assert!(!story.asked().concat().contains("PROGRESS"));
}

#[test]
fn a_function_of_a_child_that_does_not_take_calls_is_not_listed() {
    let mut story = Story::begin();
    story.capabilities = Capabilities::OURS.without(Capabilities::FUNCTIONS);
    let child = story.greeted();
    story.say(START, child, "FUNCTION GLOBAL \"top\" 10 \"help\"\n");
    assert!(story.offered().is_empty());
}

#[test]
fn progress_gives_a_call_more_time_and_silence_ends_it() {
    let mut story = Story::begin();
    let child = story.greeted();
    let mut answer = story.call(START, TRANSACTION.as_u128(), 10);
    story.asked();
    let ask = format!("FUNCTION_PROGRESS {}\n", TRANSACTION.simple());
    let cancel = format!("FUNCTION_CANCEL {}\n", TRANSACTION.simple());
    let lines = |story: &mut Story, at: i64| -> Vec<String> {
        story.settle(START + at * SECOND);
        story.asked().into_iter().filter(|line| line.starts_with("FUNCTION")).collect()
    };
    assert!(lines(&mut story, 4).is_empty());
    assert_eq!(lines(&mut story, 5), [ask.as_str()]);
    assert!(lines(&mut story, 9).is_empty());
    story.say(
        START + 9 * SECOND,
        child,
        &format!("FUNCTION_PROGRESS '{TRANSACTION}' 1 2\nFUNCTION_PROGRESS 'x' 1 2\n"),
    );
    assert!(lines(&mut story, 13).is_empty());
    assert_eq!(lines(&mut story, 14), [ask.as_str()]);
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(lines(&mut story, 19), [cancel.as_str()]);
    assert_eq!(answer.try_recv(), Ok(Err(CallError::TimedOut { seconds: 10 })));
    // Late.
    story.say(START + 20 * SECOND, child, &result("late"));
    assert!(lines(&mut story, 30).is_empty());
}

#[test]
fn a_call_that_nobody_waits_for_is_cancelled() {
    let mut story = Story::begin();
    let child = story.greeted();
    let answer = story.call(START, TRANSACTION.as_u128(), 10);
    story.asked();
    drop(answer);
    story.settle(START + SECOND);
    assert!(story.asked().contains(&format!("FUNCTION_CANCEL {}\n", TRANSACTION.simple())));
    story.say(START + SECOND, child, &result("for nobody"));
    assert_eq!(story.shard.connections(), 1);
}

#[test]
fn a_connection_that_ends_ends_its_calls_and_half_an_answer_is_none() {
    let mut story = Story::begin();
    let child = story.greeted();
    let mut answer = story.call(START, TRANSACTION.as_u128(), 10);
    let text = result("half");
    story.say(START, child, &text[..text.len() - 8]);
    let reason = DisconnectReason::ClosedByChild;
    story.shard.apply(START, Event::Ended { connection: child, reason }, &mut story.actions);
    assert_eq!(answer.try_recv(), Err(TryRecvError::Closed));
    let mut next = story.call(START, 2, 10);
    assert_eq!(next.try_recv(), Ok(Err(CallError::NotConnected)));
    // The next connection begins at the beginning.
    let child = story.arrive(START + SECOND, 1, HOST);
    story.say(START + SECOND, child, CHART);
    assert_eq!(story.shard.hosts[0].charts().len(), 1);
    story.settle(START + 20 * SECOND);
}

#[test]
fn calls_at_once_are_bounded() {
    let mut story = Story::begin();
    let _child = story.greeted();
    let mut answers: Vec<_> = (1..=17).map(|number| story.call(START, number, 10)).collect();
    let last = answers.last_mut().expect("calls").try_recv();
    assert_eq!(last, Ok(Err(CallError::TooMany { limit: 16 })));
    assert_eq!(answers[15].try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn an_answer_in_one_long_line_is_whole_and_one_that_is_too_long_is_none() {
    const MOST: usize = 10 << 20;
    for (len, fits) in [(200_000, true), (65_536, true), (MOST, true), (MOST + 1, false)] {
        let mut story = Story::begin();
        let child = story.greeted();
        let mut answer = story.call(START, TRANSACTION.as_u128(), 10);
        let body = "x".repeat(len);
        for piece in result(&body).as_bytes().chunks(100_000) {
            story.say(START, child, std::str::from_utf8(piece).expect("ASCII"));
        }
        let expected = if fits { answered(&body) } else { Err(CallError::TooLong { limit: MOST }) };
        assert!(answer.try_recv() == Ok(expected), "{len}");
        story.say(START, child, CHART);
        assert_eq!(story.shard.hosts[0].charts().len(), 1, "the line behind it is read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_the_same_however_it_is_cut(
        lines in proptest::collection::vec("(CHART \"a\\.b\"|END|SET \"a\" = 5|FUNCTION_RESULT_EN|JSON x|[ -~]{0,20})", 0..8),
        pieces in proptest::collection::vec(1usize..40, 1..10),
        end in any::<prop::sample::Index>(),
    ) {
        let body = lines.join("\n");
        let text = format!("{}{CHART}", result(&body));
        // All of it is acted on, or, cut anywhere, what is complete.
        for (text, is_whole) in [(&text[..], true), (&text[..end.index(text.len())], false)] {
            let mut story = Story::begin();
            let child = story.greeted();
            let mut answer = story.call(START, TRANSACTION.as_u128(), 10);
            let mut rest = text;
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                story.say(START, child, now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let is_answered = is_whole || text.len() >= result(&body).len();
            let expected = if is_answered { Ok(answered(&body)) } else { Err(TryRecvError::Empty) };
            prop_assert_eq!(answer.try_recv(), expected);
            prop_assert!(!is_whole || story.shard.hosts[0].charts().len() == 1);
            prop_assert_eq!(story.shard.connections(), 1);
        }
    }
}
