//! `badge.svg`: one number of a chart as a small picture, for pages elsewhere.
//!
//! | file             | what                                                      |
//! |------------------|-----------------------------------------------------------|
//! | badge/value.rs   | the number as people read it, with its units              |
//! | badge/colour.rs  | names of colours, and which of several a number has        |
//! | badge/drawing.rs | label and value as a picture                              |
//!
//! Whatever is wrong with a request, but for one without a chart, is told by a picture: pages show nothing else.

mod colour;

mod drawing;

mod value;

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderName, StatusCode, header};

use super::Api;
use super::answer::Answer;
use super::data::{Unanswered, carry_out, queried};
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::query::{Answer as Points, Parameters, Plan, QueryOption, QueryOptions, leading_integer};
use colour::Colour;
use drawing::Badge;
use value::ValueText;

const SVG: &str = "image/svg+xml";
const REFRESH: HeaderName = HeaderName::from_static("refresh");
/// Nobody waits longer for a picture.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is between two samples at most, without a gap, beyond the intervals that the configuration lets be lost.
const LATE_INTERVALS: i64 = 2;

pub(super) async fn answer(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let Some(name) = target.parameter("chart") else {
        return Answer::error(StatusCode::BAD_REQUEST, "No chart id is given at the request.");
    };
    let Some(chart) = host.chart(name) else { return picture(target, "chart not found") };
    if target.parameter("alarm").is_some() {
        // Without a health engine no alert exists.
        return picture(target, "alarm not found");
    }
    let mut query = match api.admission.admit(0) {
        Ok(query) => query,
        Err(answer) => return answer,
    };
    match measure(api, host, chart, target).await {
        Ok(measured) => {
            query.done();
            draw(chart, target, measured)
        }
        Err(Unanswered::Overloaded) => query.fails(Answer::overloaded()),
        Err(timed_out @ Unanswered::TimedOut) => timed_out.into(),
    }
}

/// A chart's number, and over how many seconds it is.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// NaN where there is none.
    value: f64,
    seconds: i64,
}

async fn measure(
    api: &Api,
    host: &HostSnapshot,
    chart: &Chart,
    target: &Target,
) -> Result<Measured, Unanswered> {
    let update_every = i64::from(chart.update_every.max(1));
    let pairs = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut parameters = Parameters::from_pairs(pairs);
    if target.parameter("after").is_none() {
        parameters.after = -update_every;
    }
    // One is shown.
    parameters.points = 1;
    // The chart is known; what else would narrow charts down has no meaning here.
    parameters = Parameters { context: None, chart_label_key: None, chart_labels_filter: None, ..parameters };
    parameters.chart = Some(chart.id.as_str().into());
    let shared = host.charts.iter().find(|other| other.id == chart.id).cloned();
    let queried = queried(api, host, shared.into_iter().collect()).await.ok_or(Unanswered::Overloaded)?;
    let now = api.clock.now();
    let newest = queried.iter().filter_map(|queried| queried.span).map(|span| span.last.0).max();
    let lost = i64::from(api.config.database.gap_when_lost_iterations_above) + LATE_INTERVALS;
    let is_late = newest.is_none_or(|newest| now.saturating_sub(newest) > update_every.saturating_mul(lost));
    let nothing = Measured { value: f64::NAN, seconds: update_every };
    // The newest of a chart that has stopped is not of now; of a window in the past it is.
    if is_late && parameters.before == 0 {
        return Ok(nothing);
    }
    match Plan::new(parameters, queried, now) {
        Ok(plan) => {
            let deadline = Instant::now().checked_add(TIMEOUT);
            let points: Points = carry_out(api, host.shard, plan, deadline).await?;
            Ok(Measured { value: points.row_value(0), seconds: points.grid.view() })
        }
        Err(_) => Ok(nothing),
    }
}

fn draw(chart: &Chart, target: &Target, measured: Measured) -> Answer {
    let factor = |name: &str| {
        target.parameter(name).and_then(|number| number.parse::<f64>().ok()).filter(|number| *number != 0.0)
    };
    let value = measured.value * factor("multiply").unwrap_or(1.0) / factor("divide").unwrap_or(1.0);
    let options = QueryOptions::parse(target.parameter("options").unwrap_or_default());
    let units = match target.parameter("units") {
        Some(units) => units,
        None if options.contains(QueryOption::Percentage) => "%",
        None => &chart.units,
    };
    let precision =
        target.parameter("precision").map(leading_integer).and_then(|digits| usize::try_from(digits).ok());
    let text = ValueText { value, units, precision };
    let colour = Colour::of_value(target.parameter("value_color").unwrap_or("#4c1"), value);
    let dimensions = target.parameter_of(&["dimension", "dim", "dimensions", "dims"]);
    let label = target.parameter("label").or(dimensions).unwrap_or(&chart.name);
    let answer = svg(target, label, &text.to_string(), colour);
    let refresh = match target.parameter("refresh") {
        None => return answer,
        Some("auto") => measured.seconds,
        Some(number) => leading_integer(number),
    };
    // A day is what anything is cached for.
    let Ok(seconds @ 1..) = u64::try_from(refresh.min(86_400)) else { return answer };
    Answer { cacheable: true, ..answer }.with_header(REFRESH, seconds.to_string()).with_header(
        header::EXPIRES,
        httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    )
}

/// A picture without a value.
fn picture(target: &Target, label: &str) -> Answer {
    svg(target, label, "-", Colour::UNKNOWN)
}

fn svg(target: &Target, label: &str, value: &str, colour: Colour<'_>) -> Answer {
    let named = |name: &str, default| target.parameter(name).and_then(Colour::named).unwrap_or(default);
    let width = |name: &str| target.parameter(name).map(leading_integer).filter(|width| *width > 0);
    let scale = target.parameter("scale").map_or(100, leading_integer);
    let badge = Badge {
        label,
        value,
        label_colour: named("label_color", Colour::LABEL),
        value_colour: colour,
        label_text: named("text_color_lbl", Colour::WHITE),
        value_text: named("text_color_val", Colour::WHITE),
        scale_percent: scale,
        widths: width("fixed_width_lbl").zip(width("fixed_width_val")),
    };
    Answer::new(SVG, badge.to_string())
}
