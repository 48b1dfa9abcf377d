//! The real daemon as a process of its own, over a scene's state.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Scene, logs};

/// The process; it is killed and reaped at the latest with the value.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the daemon with the scene's server and token, and with `settings` as further TOML. What it says is appended to
    /// [`log_of`]. `AESYNC_TEST_DAEMON` names another build of it, such as the packaged one.
    pub fn start(scene: &Scene, settings: &str) -> Self {
        Self::start_with(scene, settings, |_| {})
    }

    /// The same, with more that its environment says.
    pub fn start_with(scene: &Scene, settings: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let file = scene.dir.path().join("aesyncd.toml");
        let url = scene.config.server.url.as_deref().expect("a server");
        let token = scene.config.auth.token_file.as_ref().expect("a token");
        std::fs::write(&file, format!("[server]\nurl = {url:?}\n[auth]\ntoken_file = {token:?}\n{settings}")).expect("written");
        let log = || -> File { OpenOptions::new().create(true).append(true).open(log_of(scene)).expect("the log opens") };
        let program = std::env::var_os("AESYNC_TEST_DAEMON").unwrap_or_else(|| env!("CARGO_BIN_EXE_aesyncd").into());
        let mut command = Command::new(program);
        command.arg("--config").arg(&file).arg("--socket").arg(scene.socket()).arg("--state-dir").arg(scene.state_dir());
        command.stdin(Stdio::null()).stdout(log()).stderr(log());
        if logs::dir().is_some() {
            command.env("AESYNC_LOG__FILTER", "trace");
        }
        prepare(&mut command);
        Self { child: command.spawn().expect("the daemon starts") }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its own child").is_none()
    }

    /// SIGKILL; when this returns the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("its own child");
        self.child.wait().expect("its own child");
    }

    /// SIGTERM; when this returns the process has stopped cleanly.
    #[cfg(unix)]
    pub fn end(mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().expect("its own child");
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("its own child");
    }

    /// Waits until it ends by itself; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        super::wait_for("the daemon's end", || !self.is_running()).await;
        self.child.wait().expect("its own child").code()
    }

    /// A number in one of its files below `/proc`, such as `VmHWM:` in `status`, as it stands there.
    pub fn of(&self, file: &str, field: &str) -> u64 {
        number(Path::new(&format!("/proc/{}/{file}", self.id())), field).expect("the process is there")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the scene's processes write what they say, one after the other.
pub fn log_of(scene: &Scene) -> PathBuf {
    let tag = scene.dir.path().file_name().expect("a name").to_string_lossy();
    logs::of_process(&tag).unwrap_or_else(|| scene.dir.path().join("aesyncd.log"))
}

/// The number that follows `field` at the beginning of a line.
pub fn number(file: &Path, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
