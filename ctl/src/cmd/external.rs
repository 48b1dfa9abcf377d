//! Other programs, run with a deadline.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The most that is kept of each stream, in bytes.
const KEPT: u64 = 256 * 1024;
/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What a program left behind.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program without stdin. It is killed when it has not ended after `patience`.
pub(super) fn output_of(command: &mut Command, patience: Duration) -> io::Result<Finished> {
    let deadline = Instant::now() + patience;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(read), child.stderr.take().map(read));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {} s", patience.as_secs())));
        }
        std::thread::sleep(LOOK);
    };
    // A grandchild may hold the stream open.
    let text =
        |stream: Option<mpsc::Receiver<String>>| stream.and_then(|stream| stream.recv_timeout(patience).ok()).unwrap_or_default();
    Ok(Finished { success: status.success(), stdout: text(stdout), stderr: text(stderr) })
}

fn read(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error still tells something.
        let _ = stream.take(KEPT).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended() {
        let error = output_of(Command::new("sleep").arg("600"), Duration::from_millis(50)).expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn both_streams_and_the_outcome_are_kept() {
        let done =
            output_of(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), Duration::from_secs(20)).expect("ran");
        assert_eq!((done.success, done.stdout.as_str(), done.stderr.as_str()), (false, "out\n", "err\n"));
    }
}
