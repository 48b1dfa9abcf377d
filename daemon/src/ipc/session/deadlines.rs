//! Until when a connection may wait for what.

use std::future::Future as _;
use std::task::Context;

use aesync_protocol::Error;
use aesync_protocol::error::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Session, Stage};

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    /// When the client must have sent the rest of a line. Never while it is the daemon that reads no further.
    pub(super) fn owes_until(&self) -> Option<Instant> {
        let reads = self.stage == Stage::Open && self.may_take();
        self.owes_since.filter(|_| reads).map(|since| since + self.caller.server.limits.request)
    }

    pub(super) fn refuse_silent(&mut self) {
        let seconds = self.caller.server.limits.request.as_secs();
        let what = if self.lines.is_empty() { "no request came" } else { "the rest of a line did not come" };
        let message =
            format!("the connection is closed: {what} within {seconds} s; connect again when there is something to ask");
        self.refuse(&Error::new(ErrorCode::Timeout, message));
        self.stage = Stage::Finishing { linger: true };
    }

    /// True when a deadline has passed.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        let stalled = self.stalled_since.map(|since| since + self.caller.server.limits.stalled);
        let checkpoint = self.caller.subscription.as_ref().and_then(|subscription| subscription.checkpoint_due());
        let by_stage = match self.stage {
            Stage::Lingering { until } => Some(until),
            Stage::HalfClosed { look_again } => Some(look_again),
            Stage::Open | Stage::Finishing { .. } => None,
        };
        // A checkpoint can wait until the reader takes events again.
        let checkpoint = checkpoint.filter(|_| self.out.is_empty() && self.stage == Stage::Open);
        let Some(deadline) = [stalled, checkpoint, by_stage, self.owes_until()].into_iter().flatten().min() else {
            self.alarm = None;
            return false;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(cx).is_ready()
    }
}
