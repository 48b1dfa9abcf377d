//! The list of faults.

use serde::{Deserialize, Serialize};

use super::Route;
use crate::failure::Failure;

/// A misbehaviour. Unless a [`Rule`](super::Rule) says otherwise, it meets every request that it applies to, until it is cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    // Connections, every route and `/socket.io` included
    /// The request waits this long before anything is done with it.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is read, then its connection is closed: nothing was done.
    DropRequest,
    /// The work is done, then the connection is closed without an answer.
    DropAnswer,
    /// Half of the answer's body is sent, then the connection is closed.
    TruncateAnswer,
    /// The request is read and never answered; nothing is done, the connection stays open.
    NeverAnswer,
    /// The work is done and never answered; the connection stays open.
    NeverAnswerAfterWork,

    // Answers of something that stands in front of the server
    /// 200 with a login page in HTML.
    CaptivePortal,
    /// 502 with a page in HTML.
    BadGateway,
    /// 429.
    TooManyRequests {
        /// `Retry-After`, as sent: seconds or a date.
        retry_after: Option<String>,
    },
    /// 503.
    Unavailable {
        /// `Retry-After`, as sent: seconds or a date.
        retry_after: Option<String>,
    },
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `Location`.
        location: String,
    },
    /// Any other answer, in place of the server's own.
    Answer {
        /// The status code.
        status: u16,
        /// `Content-Type`.
        content_type: String,
        /// The body.
        body: String,
    },

    // The server's own failures
    /// The database is down: sync routes answer 500 [`Failure::TenantDatabase`], customer logins 500, staff logins 401; `/health` stays 200.
    DatabaseDown,
    /// Customer logins answer 500 and staff logins 401.
    LoginOutage,
    /// Sync routes answer 401 `Unauthorized` to every token.
    RejectTokens,
    /// Sync routes answer 500 before any work.
    Fail {
        /// The message.
        failure: Failure,
    },
    /// The body limit is another one than 102,400 bytes.
    BodyLimit {
        /// Bytes, after inflation.
        bytes: usize,
    },

    // Push
    /// Everything is stored, then the answer is a 500.
    StoreThenFail {
        /// The message.
        failure: Failure,
    },
    /// The first rows are stored, the others not; the answer is a 500. A push of no more rows than that succeeds.
    StorePrefixThenFail {
        /// How many rows are stored.
        rows: usize,
        /// The message.
        failure: Failure,
    },
    /// A push fails at the row with this id.
    PoisonRow {
        /// Compared without regard to case.
        id: String,
        /// The message.
        failure: Failure,
    },
    /// `updatedAt` is set, and the row becomes visible only this much later: why a cursor equal to `syncTimestamp` loses rows.
    SlowCommit {
        /// Milliseconds between the stamp and the commit of each row.
        ms: u64,
    },
    /// `updatedAt` lies ahead of the server's clock.
    FutureStamp {
        /// Milliseconds ahead.
        ms: u64,
    },
    /// Each push is followed by this many more notifications to the tenant.
    NotificationStorm {
        /// How many.
        notifications: u32,
    },
    /// Pushes notify nobody.
    MuteNotifications,

    // Pull and pull-pending
    /// An error on a type is swallowed: 200, `[]` for the type and a fresh `syncTimestamp`.
    SwallowError {
        /// `None`: every type.
        entity_type: Option<String>,
    },
    /// Every second row of a type is missing.
    HalfListing {
        /// `None`: every type.
        entity_type: Option<String>,
    },
    /// A type is missing from `data`.
    OmitType {
        /// `None`: every type.
        entity_type: Option<String>,
    },

    // Sockets
    /// A websocket upgrade is answered with this status: a network that lets only HTTP through.
    RefuseUpgrade {
        /// The status code.
        status: u16,
    },
    /// `authenticate` is never answered, and nobody joins.
    IgnoreAuthenticate,
    /// `authenticate` is answered with `authentication_error`.
    RefuseAuthenticate,
    /// The socket is told `authenticated` and gets no notification.
    DeafMembership,
}

impl Fault {
    /// Whether the fault means anything on this route.
    pub fn applies_to(&self, route: Route) -> bool {
        match self {
            Self::Delay { .. }
            | Self::DropRequest
            | Self::NeverAnswer
            | Self::CaptivePortal
            | Self::BadGateway
            | Self::TooManyRequests { .. }
            | Self::Unavailable { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. } => route != Route::Authenticate,
            Self::DropAnswer | Self::TruncateAnswer | Self::NeverAnswerAfterWork => {
                !matches!(route, Route::Authenticate | Route::Socket)
            }
            Self::BodyLimit { .. } => !matches!(route, Route::Authenticate | Route::Socket | Route::Health),
            Self::DatabaseDown => route.is_sync() || route.is_login(),
            Self::LoginOutage => route.is_login(),
            Self::RejectTokens | Self::Fail { .. } => route.is_sync(),
            Self::StoreThenFail { .. }
            | Self::StorePrefixThenFail { .. }
            | Self::PoisonRow { .. }
            | Self::SlowCommit { .. }
            | Self::FutureStamp { .. }
            | Self::NotificationStorm { .. }
            | Self::MuteNotifications => route == Route::Push,
            Self::SwallowError { .. } | Self::HalfListing { .. } | Self::OmitType { .. } => {
                matches!(route, Route::Pull | Route::PullPending)
            }
            Self::RefuseUpgrade { .. } => route == Route::Socket,
            Self::IgnoreAuthenticate | Self::RefuseAuthenticate | Self::DeafMembership => route == Route::Authenticate,
        }
    }
}
