//! Functions of connected children: `functions` lists them, `function` calls one and gives back what it answered.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderName, StatusCode, header};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::answer::Answer;
use super::request::Target;
use super::{Api, SHARD_ANSWERS_WITHIN};
use crate::catalog::call::{CallError, FunctionCall, FunctionResult};
use crate::catalog::function::{Access, Function, Functions, called};
use crate::catalog::{HostSnapshot, HostState};
use crate::shard::message::{Message, Question};
use crate::telemetry::Telemetry;

/// The last second that an HTTP date can name: the end of the year 9999.
const LATEST_DATE: i64 = 253_402_300_799;
/// A child's document is shown as it is, but it must not act in the name of the dashboard that it comes from.
const FOREIGN: [(HeaderName, &str); 2] =
    [(header::CONTENT_SECURITY_POLICY, "sandbox"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

#[derive(Serialize)]
struct FunctionObject<'a> {
    help: &'a str,
    timeout: u32,
    options: &'static str,
    tags: &'a str,
    access: String,
    priority: i64,
}

impl<'a> FunctionObject<'a> {
    fn of(function: &'a Function) -> Self {
        Self {
            help: &function.help,
            timeout: function.timeout_s,
            // Netdata's words, with its space.
            options: if function.is_global { "GLOBAL " } else { "LOCAL " },
            tags: &function.tags,
            access: function.access.to_string(),
            priority: function.priority,
        }
    }
}

/// A host's functions, by name.
pub(super) struct FunctionObjects<'a>(pub(super) &'a Functions);

impl Serialize for FunctionObjects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, function)| (name, FunctionObject::of(function))))
    }
}

/// Those of them that are of one chart, by its id.
pub(super) struct ChartFunctionObjects<'a> {
    pub(super) functions: &'a Functions,
    pub(super) chart: &'a str,
}

impl Serialize for ChartFunctionObjects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_chart = self.functions.iter().filter(|(_, function)| function.charts.contains(self.chart));
        serializer.collect_map(of_chart.map(|(name, function)| (name, FunctionObject::of(function))))
    }
}

/// `/api/v1/functions`: what the host offers now.
pub(super) fn list(host: &HostSnapshot) -> Answer {
    Answer::json(&FunctionObjects(&host.functions))
}

#[derive(Serialize)]
struct ErrorObject {
    status: u16,
    error_message: String,
}

fn error(status: StatusCode, message: impl Into<String>) -> Answer {
    let object = ErrorObject { status: status.as_u16(), error_message: message.into() };
    Answer { status, ..Answer::json(&object) }
}

/// `/api/v1/function?function=NAME ARGUMENTS[&timeout=SECONDS]`: what the function answers.
pub(super) async fn call(api: &Api, host: &HostSnapshot, target: &Target, peer: SocketAddr) -> Answer {
    let mut called = Called { telemetry: &api.telemetry, outcome: "client_left" };
    let answer = answer(api, host, target, peer).await;
    called.outcome = match answer.status {
        _ if answer.headers.iter().any(|(name, _)| *name == header::CONTENT_SECURITY_POLICY) => "answered",
        StatusCode::GATEWAY_TIMEOUT => "timed_out",
        StatusCode::SERVICE_UNAVAILABLE => "not_available",
        StatusCode::BAD_GATEWAY => "bad_answer",
        _ => "refused",
    };
    answer
}

/// A call that is counted when it is over, also when its client leaves before.
struct Called<'a> {
    telemetry: &'a Telemetry,
    outcome: &'static str,
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.telemetry.function_calls.add(self.outcome);
    }
}

async fn answer(api: &Api, host: &HostSnapshot, target: &Target, peer: SocketAddr) -> Answer {
    let Some(text) = target.parameter("function") else {
        return error(StatusCode::BAD_REQUEST, "No function is given.");
    };
    if matches!(host.state, HostState::Disconnected { .. }) {
        return failure(CallError::NotConnected);
    }
    let Some(function) = called(&host.functions, text) else {
        return error(
            StatusCode::NOT_FOUND,
            "No collector is supplying this function on this host at this time.",
        );
    };
    if !Access::VISITOR.permits(function.access) {
        return error(
            StatusCode::FORBIDDEN,
            format!(
                "This function is for users that are signed in, with access {}; visitors of this parent have {}.",
                function.access,
                Access::VISITOR
            ),
        );
    }
    let wanted = target.parameter("timeout").and_then(|seconds| seconds.parse().ok());
    let timeout_s = wanted
        .filter(|seconds| *seconds > 0)
        .map_or(function.timeout_s, |seconds: u32| seconds.min(function.timeout_s));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let question = Question::Call(Box::new(FunctionCall {
        host: host.info.machine_guid,
        transaction: Uuid::new_v4(),
        call: text.to_owned(),
        timeout_s,
        access: Access::VISITOR,
        source: format!("method=api,role=none,permissions={},ip={}", Access::VISITOR, peer.ip()),
        answer,
    }));
    let Some(shard) = api.shards.get(host.shard.index()) else { return Answer::overloaded() };
    let asked = tokio::time::timeout(SHARD_ANSWERS_WITHIN, shard.send(Message::Asked(question))).await;
    if !matches!(asked, Ok(Ok(()))) {
        return Answer::overloaded();
    }
    // The shard knows when its time is over. If the client leaves, this ends, and the shard sees that nobody listens.
    match answered.await {
        Ok(Ok(result)) => document(result),
        Ok(Err(error)) => failure(error),
        // The connection with the child has ended.
        Err(_) => failure(CallError::NotConnected),
    }
}

fn failure(cause: CallError) -> Answer {
    let status = StatusCode::from_u16(cause.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error(status, cause.to_string())
}

/// A child's result as an HTTP answer.
fn document(result: FunctionResult) -> Answer {
    let FunctionResult { code, content_type, expires, body } = result;
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    // An answer that only announces another one is none.
    let Some(status) = status.filter(|status| !status.is_informational()) else {
        return error(StatusCode::BAD_GATEWAY, format!("The function answered with the status {code}."));
    };
    let mut answer =
        Answer { status, content_type: content_type.to_string().into(), ..Answer::new("", body) };
    if (1..=LATEST_DATE).contains(&expires) {
        let expires = UNIX_EPOCH + Duration::from_secs(expires.unsigned_abs());
        answer = answer.with_header(header::EXPIRES, httpdate::fmt_http_date(expires));
    }
    FOREIGN.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn result(code: u32, expires: i64) -> FunctionResult {
        FunctionResult { code, content_type: "text/html".into(), expires, body: b"<script>".to_vec() }
    }

    fn respond(answer: Answer) -> http::Response<crate::web::Body> {
        let headers = http::HeaderMap::new();
        answer.into_response(&headers, None).now_or_never().expect("what is not compressed is not waited for")
    }

    #[test]
    fn results_become_answers_whatever_a_child_says() {
        for (code, expires, status, has_date) in [
            (200, 1_795_342_764, 200, true),
            (404, 0, 404, false),
            (200, -5, 200, false),
            (200, i64::MAX, 200, false),
            (100, 0, 502, false),
            (0, 0, 502, false),
            (70_000, 0, 502, false),
        ] {
            let answer = document(result(code, expires));
            assert_eq!(answer.status.as_u16(), status, "{code}");
            let date = answer.headers.iter().find(|(name, _)| *name == header::EXPIRES);
            assert_eq!(date.is_some(), has_date, "{expires}");
            let response = respond(answer);
            let is_foreign = response.headers().contains_key(header::CONTENT_SECURITY_POLICY);
            assert_eq!(is_foreign, status != 502, "{code}");
        }
    }

    #[test]
    fn a_content_type_that_no_header_can_have_is_left_to_bytes() {
        let answer = document(FunctionResult { content_type: "a\u{1}b".into(), ..result(200, 0) });
        let response = respond(answer);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
    }
}
