//! The one thing that is under way with the server (rule R8): a push, a pull, or what has to be written because of one.

use super::durable::Entry;
use super::effect::CallId;
use super::input::RequestId;
use super::pull_run::PullRun;

/// What is under way. While it is not idle, nothing else begins.
#[derive(Debug, Default)]
pub enum Lane {
    /// Nothing.
    #[default]
    Idle,
    /// The next batch is being marked as sent.
    Taking,
    /// A push is at the server.
    Pushing {
        /// The request.
        request: RequestId,
        /// What it carries, in order.
        batch: Vec<Entry>,
    },
    /// What came of a push is being written.
    Settling,
    /// A pull's rows are coming and being written.
    Pulling(Box<PullRun>),
    /// A pull's end is being written.
    Finishing(Box<PullRun>),
    /// A full listing is being compared with the replica.
    Sweeping(Box<PullRun>),
    /// A pull-pending is at the server.
    PullPending {
        /// The request.
        request: RequestId,
        /// The call to answer.
        call: CallId,
    },
}

impl Lane {
    /// Whether something is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self, Self::Idle)
    }

    /// The request that is at the server.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::Pushing { request, .. } | Self::PullPending { request, .. } => Some(*request),
            Self::Pulling(run) => Some(run.request),
            _ => None,
        }
    }
}
