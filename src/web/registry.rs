//! `registry`: the bookmarks of browsers, in the words of Netdata's dashboards.
//!
//! Whoever may see the dashboard may say hello; the rest needs the registry right, and a parent that is one
//! (`[registry] enabled`). A browser without a cookie gets one to bring back, and is somebody when it does.

use std::time::{Duration, SystemTime};

use http::{HeaderName, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::answer::Answer;
use super::request::Target;
use super::{Api, Scheme, origin_of};
use crate::catalog::HostSnapshot;
use crate::registry::{Outcome, Sighting, Visit, Wish};

const COOKIE: &str = "netdata_registry_id";
/// What a browser brings back to show that it keeps cookies.
const TO_VERIFY: &str = "give-me-back-this-cookie-now--please";
const COOKIE_LASTS: Duration = Duration::from_secs(365 * 86_400);
/// The page of Netdata's dashboard is blank without any; nothing of ours leads there.
const CLOUD: &str = "https://app.netdata.cloud";

const DO_NOT_TRACK: &str = "Your web browser is sending 'DNT: 1' (Do Not Track). The registry requires persistent cookies on your browser to work.";
/// Says whether its answer tracks a browser: `N`, or `T` and how.
pub(super) const TRACKING: HeaderName = HeaderName::from_static("tk");

/// What was asked for, as far as rights are concerned.
pub(super) fn is_hello(target: &Target) -> bool {
    target.parameter("action") == Some("hello")
}

#[derive(Clone, Serialize)]
struct Object<'a> {
    action: &'a str,
    status: &'static str,
    hostname: &'a str,
    machine_guid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_base_url: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_statistics: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Vec<serde_json::Value>>,
}

#[derive(Serialize)]
struct Redirect {
    status: &'static str,
    registry: String,
}

/// `/api/v1/registry?action=…`.
pub(super) async fn answer(
    api: &Api,
    host: &HostSnapshot,
    request: &Request<Incoming>,
    target: &Target,
    scheme: Scheme,
) -> Answer {
    let respects_do_not_track = api.config.web.respects_do_not_track;
    if respects_do_not_track && request.headers().get(header::DNT).is_some_and(|wish| wish == "1") {
        return Answer::error(StatusCode::BAD_REQUEST, DO_NOT_TRACK);
    }
    let answer = answer_who_may_be_tracked(api, host, request, target, scheme).await;
    if respects_do_not_track && !is_hello(target) && answer.status != StatusCode::BAD_REQUEST {
        answer.with_header(TRACKING, "T;cookies")
    } else {
        answer
    }
}

async fn answer_who_may_be_tracked(
    api: &Api,
    host: &HostSnapshot,
    request: &Request<Incoming>,
    target: &Target,
    scheme: Scheme,
) -> Answer {
    let Some(action) = target.parameter("action") else { return no_action() };
    let config = &api.config.registry;
    let announced = || config.announced.clone().unwrap_or_else(|| origin_of(request, scheme));
    let object = Object {
        action,
        status: "ok",
        hostname: &host.info.registry_hostname,
        machine_guid: host.info.machine_guid.hyphenated().to_string(),
        registry: None,
        cloud_base_url: None,
        anonymous_statistics: None,
        person_guid: None,
        urls: None,
    };
    if action == "hello" {
        return Answer::json(&Object {
            registry: Some(announced()),
            cloud_base_url: Some(CLOUD),
            anonymous_statistics: Some(false),
            ..object
        });
    }
    let cookie = cookie_of(request);
    let person = cookie.and_then(|cookie| Uuid::try_parse(cookie).ok());
    let wish = match wish_of(action, target, person) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let disabled =
        || Answer::json(&Object { status: "disabled", registry: Some(announced()), ..object.clone() });
    let Some(wishes) = &api.registry else { return disabled() };
    let keeps_cookies = person.is_some() || cookie == Some(TO_VERIFY) || !config.verifies_cookies;
    if matches!(wish, Wish::Access { .. }) && !keeps_cookies {
        let redirect = Redirect { status: "redirect", registry: announced() };
        return with_cookie(api, Answer::json(&redirect), TO_VERIFY);
    }
    let (sender, outcome) = oneshot::channel();
    if wishes.try_send((wish, sender)).is_err() {
        return Answer::overloaded();
    }
    let Ok(outcome) = outcome.await else { return Answer::overloaded() };
    let failed = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Answer { status, ..Answer::json(&Object { status: "failed", ..object.clone() }) }
    };
    match outcome {
        Outcome::Accessed { person, visits } => {
            let person = person.hyphenated().to_string();
            let urls = Some(visits.iter().map(visited).collect());
            let answer = Answer::json(&Object { person_guid: Some(person.clone()), urls, ..object });
            with_cookie(api, answer, &person)
        }
        Outcome::Found(sightings) => {
            let wanted = target.parameter("for").unwrap_or_default();
            let urls = Some(sightings.iter().map(|sighting| seen(wanted, sighting)).collect());
            Answer::json(&Object { urls, ..object })
        }
        Outcome::Deleted => Answer::json(&object),
        Outcome::Switched { person } => {
            let person = person.hyphenated().to_string();
            let answer = Answer::json(&Object { person_guid: Some(person.clone()), ..object });
            with_cookie(api, answer, &person)
        }
        Outcome::Refused if action == "search" => failed(404),
        Outcome::Refused => failed(412),
        Outcome::UnknownPerson => failed(430),
        Outcome::UnknownOther => failed(431),
        Outcome::UnknownMachine => failed(432),
        Outcome::NotVisited => failed(433),
        Outcome::NotVisitedByOther => failed(434),
        Outcome::Unavailable => disabled(),
    }
}

fn no_action() -> Answer {
    Answer::error(
        StatusCode::BAD_REQUEST,
        "Invalid registry request - you need to set an action: hello, access, delete, search",
    )
}

/// What a request is about; every action needs a machine and an address that a browser could go to.
fn wish_of(action: &str, target: &Target, person: Option<Uuid>) -> Result<Wish, Answer> {
    let name = match action {
        "access" => "Access",
        "delete" => "Delete",
        "search" => "Search",
        "switch" => "Switch",
        _ => return Err(no_action()),
    };
    let read = || {
        let uuid = |name: &str| target.parameter(name).and_then(|text| Uuid::try_parse(text).ok());
        let is_address = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let machine = uuid("machine")?;
        let url = || target.parameter("url").filter(is_address).map(str::to_owned);
        Some(match action {
            "access" => Wish::Access { person, machine, url: url()?, name: target.parameter("name")?.into() },
            "delete" => {
                Wish::Delete { person, machine, url: url()?, deleted: target.parameter("delete_url")?.into() }
            }
            "search" => Wish::Search { person, machine, url: url()?, wanted: uuid("for")? },
            _ => Wish::Switch { person, machine, to: uuid("to")? },
        })
    };
    read().ok_or_else(|| Answer::error(StatusCode::BAD_REQUEST, format!("Invalid registry {name} request.")))
}

/// Who the browser says it is.
fn cookie_of(request: &Request<Incoming>) -> Option<&str> {
    let cookies =
        request.headers().get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// The same cookie twice: as old browsers take it, and as new ones do from pages of other sites.
fn with_cookie(api: &Api, answer: Answer, value: &str) -> Answer {
    let config = &api.config.registry;
    let expires = httpdate::fmt_http_date(SystemTime::now() + COOKIE_LASTS);
    let domain = config.domain.as_ref().map_or(String::new(), |domain| format!("; Domain={domain}"));
    let cookie = format!("{COOKIE}={value}; Expires={expires}{domain}; HttpOnly");
    let answer = answer.with_header(header::SET_COOKIE, cookie.clone());
    if !config.cookies_for_other_sites {
        return answer;
    }
    answer.with_header(header::SET_COOKIE, format!("{cookie}; SameSite=None; Secure"))
}

fn visited(visit: &Visit) -> serde_json::Value {
    serde_json::json!([
        visit.machine.hyphenated().to_string(),
        visit.url,
        visit.last.saturating_mul(1000),
        visit.times,
        visit.name
    ])
}

fn seen(machine: &str, sighting: &Sighting) -> serde_json::Value {
    serde_json::json!([machine, sighting.url, sighting.last.saturating_mul(1000), sighting.times])
}
