//! `data` over many hosts: which charts, which tier, what the series come to, and how that is written.

use http::header;
use jiff::tz::TimeZone;

use super::written::{Timings, Written};
use super::{Around, read, refusal, select};
use crate::query::fleet::{FleetAnswer, FleetExecution, FleetPlan, FleetQuestion};
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::Answer;
use crate::web::piecewise::{Piecewise, Writer};
use crate::web::request::Target;

pub(super) async fn answer(
    api: &Api,
    target: &Target,
    question: FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Answer, Answer> {
    let now = api.clock.now();
    let selection = select(api, &question, now, query).await?;
    let prepared = query.elapsed();
    let plan = FleetPlan::new(question, selection, now).map_err(|error| refusal(error, query))?;
    plan.check_memory(query.memory_bytes()).map_err(|error| query.too_large(error))?;
    let oldest = plan.window_in(crate::query::Tier::FINEST).first.max(plan.retention.first);
    let least = api.storage.borrow().tier_since(oldest, plan.selection.oldest_chart());
    let tier = plan.tier(&api.tier_factors(), least);
    query.reads(plan.samples(tier)).await?;
    let window = plan.window_in(tier);
    let mut execution = FleetExecution::new(&plan, tier);
    read::charts(api, &plan.selection, window, tier, query, |chart, series, snapshot, workspace| {
        execution.add(chart, series, snapshot, workspace);
    })
    .await?;
    let mut finishing = execution.finish();
    while finishing.step() {
        query.step().await?;
    }
    let result = finishing.result();
    let answer = FleetAnswer { plan, result };
    let timings = Timings { prepared, queried: query.elapsed() };
    let written = Written::new(answer, target, Around::new(api), timings, TimeZone::system());
    let answer = Answer::in_pieces(
        written.content_type(),
        Piecewise::new(async move |writer: &mut Writer| written.write(writer).await),
    );
    Ok(match target.parameter("filename") {
        Some(name) => {
            let kept = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
            let name: String = name.chars().map(|one| if kept(one) { one } else { '_' }).collect();
            answer.with_header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        }
        None => answer,
    })
}
