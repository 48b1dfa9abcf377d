//! What applications ask, in the engine's terms.

use std::time::Duration;

use aesync_protocol::Request;
use aesync_protocol::request::Keep;

use crate::engine::input::Call;

/// How long a push waits for its entries when it does not say (the contract's `timeoutMs`).
const PUSH_WAIT: Duration = Duration::from_secs(60);
/// The longest that any call waits.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// The engine's call for a request; gives back those that are the driver's own.
pub(super) fn engine_call(request: Request) -> Result<Call, Request> {
    Ok(match request {
        Request::Push(push) => Call::Push {
            changes: push.changes.0,
            request_id: push.request_id,
            wait: push.wait.unwrap_or_default(),
            timeout: push.timeout_ms.map_or(PUSH_WAIT, Duration::from_millis).min(LONGEST_WAIT),
        },
        Request::Pull(pull) => Call::Pull { entity_types: pull.entity_types, full: pull.full.unwrap_or(false) },
        Request::PullPending(pull) => Call::PullPending { entity_types: pull.entity_types },
        Request::Sync(_) => Call::Sync,
        Request::Reconcile(reconcile) => {
            Call::Reconcile { entity_types: reconcile.entity_types, accept: reconcile.accept.unwrap_or(false) }
        }
        Request::OutboxRetry(retry) if retry.entries.is_some() || retry.all == Some(true) => Call::Retry(retry.entries),
        Request::OutboxDiscard(discard) if discard.entries.is_some() || discard.all == Some(true) => {
            Call::Discard(discard.entries)
        }
        Request::OutboxEdit(edit) => Call::Edit(edit.entry, edit.data),
        Request::ConflictsResolve(resolve) => Call::Resolve { entry: resolve.entry, keep_local: resolve.keep == Keep::Local },
        Request::AttentionAcknowledge(acknowledge) => Call::Acknowledge(acknowledge.codes),
        Request::Pause(_) => Call::Pause,
        Request::Resume(_) => Call::Resume,
        other => return Err(other),
    })
}
