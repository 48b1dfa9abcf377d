//! The forms in which faults come alone: on one route or all, with other texts, statuses and times.

use adminengine_dev::{Failure, Fault, Route, Rule};

use crate::play::Case;
use crate::table::{answer, twice, twice_over_http};

/// Each of them is over after a few requests, and then the daemon is converged; or, where a code is named, it may report that instead.
pub(crate) fn forms() -> Vec<Case> {
    let not_null = || Failure::NotNull("email".to_owned(), "end_user".to_owned());
    let mut cases = vec![
        alone(twice(Fault::Delay { ms: 300 }), &[]),
        alone(twice(Fault::DropRequest), &[]),
        alone(twice(Fault::DropAnswer), &[]),
        alone(twice(Fault::TruncateAnswer), &[]),
        alone(twice_over_http(Fault::NeverAnswer), &[]),
        alone(twice_over_http(Fault::NeverAnswerAfterWork), &[]),
        alone(twice(Fault::CaptivePortal), &[]),
        alone(twice(Fault::BadGateway), &[]),
        alone(twice_over_http(Fault::TooManyRequests { retry_after: Some("1".to_owned()) }), &[]),
        alone(twice_over_http(Fault::TooManyRequests { retry_after: None }), &[]),
        alone(twice_over_http(Fault::Unavailable { retry_after: Some("1".to_owned()) }), &[]),
        alone(twice(Fault::Redirect { status: 302, location: "http://127.0.0.1:1/".to_owned() }), &[]),
        alone(twice(answer(200, "application/json", "{}")), &[]),
        alone(twice(answer(200, "application/json", "{\"success\":true,\"data\":[]}")), &[]),
        alone(twice(answer(200, "application/json", "not JSON")), &[]),
        alone(twice(answer(404, "text/html", "<h1>not found</h1>")), &[]),
        alone(twice(answer(502, "application/json", "{\"message\":\"Bad gateway\"}")), &[]),
        alone(twice(answer(404, "application/json", "{\"message\":\"Route not found\"}")).on(Route::Pull), &[]),
        alone(twice(answer(404, "application/json", "{\"message\":\"Route not found\"}")).on(Route::Push), &["push_stopped"]),
        alone(twice(answer(400, "application/json", "{\"error\":\"\\\"table\\\" is required\"}")).on(Route::Push), &[]),
        alone(twice(Fault::DatabaseDown), &[]),
        alone(twice(Fault::RejectTokens), &["auth_required"]),
        alone(twice(Fault::Fail { failure: not_null() }).on(Route::Push), &[]),
        alone(twice(Fault::BodyLimit { bytes: 10 }), &[]),
        alone(twice(Fault::StorePrefixThenFail { rows: 1, failure: not_null() }), &[]),
        alone(twice(Fault::SlowCommit { ms: 200 }), &[]),
        alone(twice(Fault::FutureStamp { ms: 3_600_000 }), &[]),
        alone(twice(Fault::NotificationStorm { notifications: 2_000 }), &[]),
        alone(twice(Fault::MuteNotifications), &[]),
        alone(twice(Fault::RefuseUpgrade { status: 403 }), &[]),
        alone(Rule::new(Fault::IgnoreAuthenticate).times(1), &[]),
        alone(Rule::new(Fault::RefuseAuthenticate).times(1), &[]),
        alone(Rule::new(Fault::DeafMembership).times(1), &[]),
    ];
    for failure in Failure::PASSING {
        cases.push(alone(twice(Fault::Fail { failure: failure.clone() }), &[]));
        cases.push(alone(twice(Fault::StoreThenFail { failure }), &[]));
    }
    for entity_type in [None, Some("end_user".to_owned())] {
        cases.push(alone(twice(Fault::SwallowError { entity_type: entity_type.clone() }), &[]));
        cases.push(alone(twice(Fault::OmitType { entity_type: entity_type.clone() }), &[]));
        cases.push(alone(twice(Fault::HalfListing { entity_type }), &[]));
    }
    cases
}

fn alone(rule: Rule, ends: &'static [&'static str]) -> Case {
    Case { passing: vec![rule], lasting: Vec::new(), ends: ends.to_vec(), must_strike: true }
}
