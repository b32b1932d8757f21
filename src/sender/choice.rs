//! Which of several parents a host goes to: the one that has the newest of its samples.
//!
//! Parents of 2.1 and later, and ours, can be asked before a connection what they have of a host. Older ones say that they do
//! not know the question, and are taken in the order of the configuration; so are parents that know about as much as each
//! other. A single destination is not asked.
//!
//! Source: streaming protocol section 1.6.

use serde::Deserialize;
use uuid::Uuid;

use super::{ConnectFailure, LinkEnd};
use crate::wire::stream_path::PathElement;

/// Newest samples this close to each other are as good as each other, in seconds.
const AS_GOOD_S: i64 = 120;
/// How long a parent is left alone, in seconds.
const STARTING_S: i64 = 60;
const SILENT_S: i64 = 300;
const BANNED_S: i64 = 3600;

/// What a parent says of itself and of a host; a part of it.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamInfo {
    status: u16,
    host_id: Option<Uuid>,
    ingest_type: Option<String>,
    ingest_status: Option<String>,
    #[serde(default)]
    last_time_s: i64,
}

/// What became of the question.
#[derive(Debug)]
pub enum Asked {
    Known(StreamInfo),
    /// It answers, but not this.
    Unknown,
    /// It took the connection and says nothing.
    Silent,
    /// It closed the connection.
    Closed,
    NotConnected(ConnectFailure),
}

/// Why a parent is not connected to now.
#[derive(Debug)]
pub enum Aside {
    Failed(ConnectFailure),
    /// It could be asked, and left alone for so many seconds.
    Not {
        end: LinkEnd,
        words: &'static str,
        seconds: i64,
    },
}

impl Aside {
    fn not(end: LinkEnd, words: &'static str, seconds: i64) -> Self {
        Self::Not { end, words, seconds }
    }

    fn silent() -> Self {
        Self::not(LinkEnd::NoAnswer, "remote netdata does not respond.", SILENT_S)
    }

    fn closed() -> Self {
        let words = "closes connections without an answer, trying later.";
        Self::not(LinkEnd::ClosedBeforeAnswer, words, STARTING_S)
    }

    fn starting() -> Self {
        let words = "remote server is initializing, trying later.";
        Self::not(LinkEnd::Refused("initializing"), words, STARTING_S)
    }

    /// The host is the parent itself, or a virtual node of it.
    fn its_own() -> Self {
        let words = "the host we are trying to stream is its localhost, or a virtual node of it.";
        Self::not(LinkEnd::Refused("localhost"), words, BANNED_S)
    }

    /// The host's samples come to us through it.
    fn passed_through() -> Self {
        let words = "the host's samples come from there: this would be a loop.";
        Self::not(LinkEnd::Refused("loop"), words, BANNED_S)
    }
}

/// Which of the parents that were asked, by their places in the question.
#[derive(Debug, Default)]
pub struct Choice {
    pub chosen: Option<usize>,
    pub aside: Vec<(usize, Aside)>,
}

impl Choice {
    /// There is but one parent, which is not asked.
    pub fn only() -> Self {
        Self { chosen: Some(0), aside: Vec::new() }
    }
}

/// Decides. `path` is the host's way up to us.
pub fn choose(asked: impl IntoIterator<Item = Asked>, path: &[PathElement]) -> Choice {
    let mut choice = Choice::default();
    let mut candidates = Vec::new();
    for (place, asked) in asked.into_iter().enumerate() {
        match judge(asked, path) {
            Ok(newest) => candidates.push((place, newest)),
            Err(aside) => choice.aside.push((place, aside)),
        }
    }
    let newest = candidates.iter().map(|(_, newest)| *newest).max().unwrap_or_default();
    choice.chosen = candidates.iter().find(|(_, has)| *has >= newest - AS_GOOD_S).map(|(place, _)| *place);
    choice
}

/// The newest sample that the parent has, unix seconds; 0 for none.
fn judge(asked: Asked, path: &[PathElement]) -> Result<i64, Aside> {
    let info = match asked {
        Asked::Known(info) if info.status == 200 => info,
        Asked::Known(_) | Asked::Unknown => return Ok(0),
        Asked::Silent => return Err(Aside::silent()),
        Asked::Closed => return Err(Aside::closed()),
        Asked::NotConnected(failure) => return Err(Aside::Failed(failure)),
    };
    let is_before_us = || path.iter().any(|element| Some(element.host_id) == info.host_id);
    match (info.ingest_type.as_deref(), info.ingest_status.as_deref()) {
        (Some("localhost" | "virtual"), _) => Err(Aside::its_own()),
        (_, Some("initializing")) => Err(Aside::starting()),
        (_, Some("replicating" | "online")) if is_before_us() => Err(Aside::passed_through()),
        _ => Ok(info.last_time_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(status: u16, ingest: (&str, &str), last_time_s: i64) -> Asked {
        Asked::Known(StreamInfo {
            status,
            host_id: Some(Uuid::from_u128(7)),
            ingest_type: Some(ingest.0.to_owned()),
            ingest_status: Some(ingest.1.to_owned()),
            last_time_s,
        })
    }

    #[track_caller]
    fn check(asked: Vec<Asked>, path: &[u128], chosen: Option<usize>, aside: &str) {
        let element = |id: &u128| PathElement::new("x".into(), Uuid::from_u128(*id));
        let path: Vec<PathElement> = path.iter().map(element).collect();
        let choice = choose(asked, &path);
        assert_eq!(choice.chosen, chosen);
        let label = |(place, aside): &(usize, Aside)| match aside {
            Aside::Failed(_) => format!("{place} failed"),
            Aside::Not { end, .. } => format!("{place} {}", end.label()),
        };
        assert_eq!(choice.aside.iter().map(label).collect::<Vec<_>>().join(", "), aside);
    }

    #[test]
    fn the_parent_with_the_newest_samples_is_chosen() {
        let gone = ("archived", "offline");
        check(vec![known(200, gone, 1000), known(200, gone, 5000)], &[], Some(1), "");
        check(vec![known(200, gone, 5000), known(200, gone, 1000)], &[], Some(0), "");
        check(vec![Asked::Unknown, known(200, gone, 5000)], &[], Some(1), "");
    }

    #[test]
    fn parents_that_are_as_good_are_taken_in_the_order_of_the_configuration() {
        let gone = ("archived", "offline");
        check(vec![known(200, gone, 4900), known(200, gone, 5000)], &[], Some(0), "");
        check(vec![Asked::Unknown, Asked::Unknown], &[], Some(0), "");
        check(vec![known(404, ("", ""), 0), Asked::Unknown], &[], Some(0), "");
        check(vec![], &[], None, "");
    }

    #[test]
    fn who_cannot_take_the_host_is_left_aside() {
        let child = ("child", "online");
        check(vec![Asked::Silent, Asked::Unknown], &[], Some(1), "0 no_answer");
        check(vec![Asked::Unknown, Asked::Closed], &[], Some(0), "1 closed_before_answer");
        check(
            vec![known(200, ("localhost", "online"), 9), known(200, ("child", "initializing"), 9)],
            &[],
            None,
            "0 localhost, 1 initializing",
        );
        check(vec![known(200, child, 9), Asked::Unknown], &[3, 7], Some(1), "0 loop");
        check(vec![known(200, child, 9), Asked::Unknown], &[3], Some(0), "");
    }

    #[test]
    fn an_answer_of_a_netdata_is_understood_and_so_is_ours() {
        for text in [
            r#"{"version":1,"status":200,"host_id":"9ed3644c-0edc-4d39-ad5d-e92f631188d4","nodes":2,"receivers":1,"nonce":7,
                "db_status":"online","db_liveness":"live","ingest_type":"child","ingest_status":"online","first_time_s":1,
                "last_time_s":1795342200}"#,
            r#"{"version":1,"status":404,"host_id":"9ed3644c-0edc-4d39-ad5d-e92f631188d4","nodes":1,"receivers":0,"nonce":9}"#,
        ] {
            let info: StreamInfo = serde_json::from_str(text).expect("understood");
            assert!(info.host_id.is_some() && matches!(info.status, 200 | 404), "{info:?}");
        }
    }
}
