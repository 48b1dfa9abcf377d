//! What requests are for.

use serde::{Deserialize, Serialize};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `POST /api/customers/login`
    CustomerLogin,
    /// `POST /api/auth/login`
    StaffLogin,
    /// `POST /api/auth/refresh`
    Refresh,
    /// `GET /health`
    Health,
    /// `POST /api/client/sync/push`
    Push,
    /// `POST /api/client/sync/pull`
    Pull,
    /// `POST /api/client/sync/pull-pending`
    PullPending,
    /// Any request below `/socket.io/`.
    Socket,
    /// The socket event `authenticate`.
    Authenticate,
    /// Anything else.
    Unknown,
}

impl Route {
    pub(crate) fn of(method: &str, path: &str) -> Self {
        match (method, path.trim_end_matches('/')) {
            ("POST", "/api/customers/login") => Self::CustomerLogin,
            ("POST", "/api/auth/login") => Self::StaffLogin,
            ("POST", "/api/auth/refresh") => Self::Refresh,
            ("GET", "/health") => Self::Health,
            ("POST", "/api/client/sync/push") => Self::Push,
            ("POST", "/api/client/sync/pull") => Self::Pull,
            ("POST", "/api/client/sync/pull-pending") => Self::PullPending,
            (_, path) if path.starts_with("/socket.io") => Self::Socket,
            _ => Self::Unknown,
        }
    }

    /// Push, pull and pull-pending.
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Push | Self::Pull | Self::PullPending)
    }

    /// Logins of customers and of staff.
    pub fn is_login(self) -> bool {
        matches!(self, Self::CustomerLogin | Self::StaffLogin)
    }
}
