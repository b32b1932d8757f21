//! Reading the rows of many charts: what their shards have of them, a share of each at a time.

use std::collections::VecDeque;

use dbengine::{GroupSnapshot, TimeRange};

use crate::query::fleet::Selection;
use crate::query::{Tier, Workspace};
use crate::shard::message::ChartGroup;
use crate::shard::placement::ShardId;
use crate::web::admission::RunningQuery;
use crate::web::answer::Answer;
use crate::web::{Api, SHARD_ANSWERS_WITHIN};

/// Charts that a shard is asked for in one message: answering takes it some hundred microseconds.
const CHARTS_AT_ONCE: usize = 64;
/// Such messages on their way while answers are worked on.
const MESSAGES_AHEAD: usize = 2;

/// Calls `visit` with each series of each chart, and with the rows of that chart. While those of one message are worked on, the
/// shards are asked for the next.
pub(super) async fn charts(
    api: &Api,
    selection: &Selection,
    window: TimeRange,
    tier: Tier,
    query: &mut RunningQuery,
    mut visit: impl FnMut(usize, usize, &GroupSnapshot, &mut Workspace),
) -> Result<(), Answer> {
    let mut messages = messages(api, selection).into_iter();
    let mut asked = VecDeque::new();
    loop {
        while asked.len() < MESSAGES_AHEAD {
            let Some((shard, charts)) = messages.next() else { break };
            let groups =
                charts.iter().map(|chart| ChartGroup::from(&*selection.charts[*chart].chart)).collect();
            match api.begin_rows(shard, groups, window).await {
                Some(answered) => asked.push_back((charts, answered)),
                None => return Err(query.fails(Answer::overloaded())),
            }
        }
        let Some((charts, answered)) = asked.pop_front() else { return Ok(()) };
        let snapshots = tokio::time::timeout(SHARD_ANSWERS_WITHIN, answered).await;
        let Some(snapshots) = snapshots.ok().and_then(Result::ok) else {
            return Err(query.fails(Answer::overloaded()));
        };
        for (chart, mut snapshot) in charts.into_iter().zip(snapshots) {
            api.storage.borrow_mut().complete(&mut snapshot, tier);
            query.step().await?;
            for series in 0..selection.charts[chart].series.len() {
                visit(chart, series, &snapshot, &mut api.workspace.borrow_mut());
                query.step().await?;
            }
        }
    }
}

/// The charts of each message to each shard; those of all shards by turns.
fn messages(api: &Api, selection: &Selection) -> Vec<(ShardId, Vec<usize>)> {
    let mut of_shards = vec![Vec::new(); api.shards.len()];
    for (chart, selected) in selection.charts.iter().enumerate() {
        if let Some(of_shard) = of_shards.get_mut(selection.hosts[selected.host].shard.index()) {
            of_shard.push(chart);
        }
    }
    let mut messages = Vec::new();
    let most = of_shards.iter().map(Vec::len).max().unwrap_or(0);
    for from in (0..most).step_by(CHARTS_AT_ONCE) {
        for (shard, charts) in of_shards.iter().enumerate().filter(|(_, charts)| from < charts.len()) {
            let charts = charts[from..charts.len().min(from + CHARTS_AT_ONCE)].to_vec();
            messages.push((ShardId(shard as u16), charts));
        }
    }
    messages
}
