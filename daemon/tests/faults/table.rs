//! Every fault switch of the development server, how it is set for the pairs, and what it is expected to end in.

use adminengine_dev::{Failure, Fault, Route, Rule};

/// The row that the server refuses while [`Fault::PoisonRow`] is set.
pub(crate) const POISON: &str = "0b5c1a52-6f5e-4b52-9d0e-3a6e1f2c4d77";

/// How long a fault is in force.
#[derive(Clone, Debug)]
pub(crate) enum Stay {
    /// For as many requests as the rule says; the daemon is judged when it is over.
    Passing(Rule),
    /// For good: it leaves the server usable, and the daemon is judged under it.
    Lasting(Rule),
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) stay: Stay,
    /// What `status.attention` may report in the place of a daemon that is converged; nothing: it must be converged.
    pub(crate) ends: &'static [&'static str],
}

/// All switches, in the order of their list.
///
/// | switch | in force | ends |
/// |---|---|---|
/// | delay | for good | converged |
/// | drop_request, drop_answer, truncate_answer | two requests | converged: asked again, or in doubt and confirmed by a pull |
/// | never_answer, never_answer_after_work | two requests over HTTP | converged after the request's deadline |
/// | captive_portal, bad_gateway, redirect, answer | two requests | converged: not the server's, so tried again |
/// | too_many_requests, unavailable | two requests over HTTP | converged after the wait that was asked for |
/// | database_down, fail | two requests | converged: a failure that passes |
/// | login_outage | the first two logins | converged: signed in with the third |
/// | reject_tokens | two requests | `auth_required`; converged when there are credentials to sign in with again |
/// | body_limit | for good | converged: split until each part fits |
/// | store_then_fail, store_prefix_then_fail | two pushes | converged: in doubt, confirmed by a pull |
/// | poison_row | for good | `quarantined`, that row alone |
/// | slow_commit, future_stamp | for good | converged |
/// | notification_storm, mute_notifications | for good | converged |
/// | swallow_error, half_listing, omit_type | two pulls | converged: such an answer moves and deletes nothing |
/// | refuse_upgrade, ignore_authenticate, refuse_authenticate | for good | converged over HTTP alone |
/// | deaf_membership | for good | converged by the poll floor |
pub(crate) fn switches() -> Vec<Switch> {
    let passing = |rule: Rule| Switch { stay: Stay::Passing(rule), ends: &[] };
    let lasting = |fault: Fault| Switch { stay: Stay::Lasting(Rule::new(fault)), ends: &[] };
    let or = |switch: Switch, ends: &'static [&'static str]| Switch { ends, ..switch };
    let refused = || Failure::NotNull("description".to_owned(), "interactions".to_owned());
    vec![
        lasting(Fault::Delay { ms: 60 }),
        passing(twice(Fault::DropRequest)),
        passing(twice(Fault::DropAnswer)),
        passing(twice(Fault::TruncateAnswer)),
        passing(twice_over_http(Fault::NeverAnswer)),
        passing(twice_over_http(Fault::NeverAnswerAfterWork)),
        passing(twice(Fault::CaptivePortal)),
        passing(twice(Fault::BadGateway)),
        passing(twice_over_http(Fault::TooManyRequests { retry_after: None })),
        passing(twice_over_http(Fault::Unavailable { retry_after: Some("1".to_owned()) })),
        passing(twice(Fault::Redirect { status: 302, location: "http://127.0.0.1:1/".to_owned() })),
        passing(twice(answer(200, "application/json", "{\"success\":true,\"data\":[]}"))),
        passing(twice(Fault::DatabaseDown)),
        passing(twice(Fault::LoginOutage)),
        or(passing(twice(Fault::RejectTokens)), &["auth_required"]),
        passing(twice(Fault::Fail { failure: Failure::Terminating })),
        lasting(Fault::BodyLimit { bytes: 600 }),
        passing(twice(Fault::StoreThenFail { failure: Failure::TenantDatabase })),
        passing(twice(Fault::StorePrefixThenFail { rows: 1, failure: Failure::ConnectionRefused })),
        or(lasting(Fault::PoisonRow { id: POISON.to_owned(), failure: refused() }), &["quarantined"]),
        lasting(Fault::SlowCommit { ms: 60 }),
        lasting(Fault::FutureStamp { ms: 3_600_000 }),
        lasting(Fault::NotificationStorm { notifications: 300 }),
        lasting(Fault::MuteNotifications),
        passing(twice(Fault::SwallowError { entity_type: None })),
        passing(twice(Fault::HalfListing { entity_type: None })),
        passing(twice(Fault::OmitType { entity_type: None })),
        lasting(Fault::RefuseUpgrade { status: 403 }),
        lasting(Fault::IgnoreAuthenticate),
        lasting(Fault::RefuseAuthenticate),
        lasting(Fault::DeafMembership),
    ]
}

/// The place of a switch in the table. A new fault has none, and does not compile before it has one.
pub(crate) fn place(fault: &Fault) -> usize {
    match fault {
        Fault::Delay { .. } => 0,
        Fault::DropRequest => 1,
        Fault::DropAnswer => 2,
        Fault::TruncateAnswer => 3,
        Fault::NeverAnswer => 4,
        Fault::NeverAnswerAfterWork => 5,
        Fault::CaptivePortal => 6,
        Fault::BadGateway => 7,
        Fault::TooManyRequests { .. } => 8,
        Fault::Unavailable { .. } => 9,
        Fault::Redirect { .. } => 10,
        Fault::Answer { .. } => 11,
        Fault::DatabaseDown => 12,
        Fault::LoginOutage => 13,
        Fault::RejectTokens => 14,
        Fault::Fail { .. } => 15,
        Fault::BodyLimit { .. } => 16,
        Fault::StoreThenFail { .. } => 17,
        Fault::StorePrefixThenFail { .. } => 18,
        Fault::PoisonRow { .. } => 19,
        Fault::SlowCommit { .. } => 20,
        Fault::FutureStamp { .. } => 21,
        Fault::NotificationStorm { .. } => 22,
        Fault::MuteNotifications => 23,
        Fault::SwallowError { .. } => 24,
        Fault::HalfListing { .. } => 25,
        Fault::OmitType { .. } => 26,
        Fault::RefuseUpgrade { .. } => 27,
        Fault::IgnoreAuthenticate => 28,
        Fault::RefuseAuthenticate => 29,
        Fault::DeafMembership => 30,
    }
}

pub(crate) fn twice(fault: Fault) -> Rule {
    Rule::new(fault).times(2)
}

/// Requests of the socket are left alone: it is tried again only after its own deadline of 15 s.
pub(crate) fn twice_over_http(fault: Fault) -> Rule {
    twice(fault).on(Route::Push).on(Route::Pull)
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> Fault {
    Fault::Answer { status, content_type: content_type.to_owned(), body: body.to_owned() }
}
