//! A session bus of the test's own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, connection};

/// Longer than anything here takes; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// As a session's bus has it, but for the services that this machine would start by themselves.
const CONFIGURATION: &str = r#"<busconfig>
<type>session</type>
<listen>unix:path=DIR/bus</listen>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>
</busconfig>"#;

pub(crate) struct Bus {
    child: Child,
    pub(crate) address: String,
    _dir: tempfile::TempDir,
}

impl Bus {
    /// Starts one; `None` where there is no dbus-daemon, which is a failure where the environment says `CI=true`.
    pub(crate) fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let configuration = dir.path().join("bus.conf");
        std::fs::write(&configuration, CONFIGURATION.replace("DIR", &dir.path().display().to_string())).expect("written");
        let started = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--config-file={}", configuration.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It complains of what it may not do as an ordinary process.
            .stderr(Stdio::null())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "dbus-daemon: {error}");
                println!("left out: dbus-daemon: {error}");
                return None;
            }
        };
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut address).expect("its address");
        Some(Self { child, address: address.trim().to_owned(), _dir: dir })
    }

    pub(crate) fn connect(&self) -> connection::Builder<'_> {
        connection::Builder::address(self.address.as_str()).expect("an address")
    }

    /// `aectl` on this bus.
    pub(crate) fn aectl(&self, socket: &Path, command: &str) -> Program {
        let mut aectl = Command::new(env!("CARGO_BIN_EXE_aectl"));
        aectl.arg("--socket").arg(socket).arg(command).env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        Program(aectl.stdin(Stdio::null()).spawn().expect("started"))
    }
}

impl Bus {
    /// The session is over.
    pub(crate) fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program that ends with the test.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn terminate(&self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("small"));
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    }

    /// Its exit code, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        wait_for("the end of the program", || self.0.try_wait().expect("waited")).code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// So that its methods can be served for as long as the test runs.
pub(crate) type Served = Connection;
