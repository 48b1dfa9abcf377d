//! The service control manager of Windows, which is there what systemd is elsewhere. Outside of a service nothing happens.

use std::ffi::OsString;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use windows_service::service::{ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use super::Signal;

/// A service with a process of its own is known by the name that it was created with; this one goes unread.
const NAME: &str = "aesyncd";
/// How many requests may wait until the daemon has seen them. Further ones say nothing new.
const REQUESTS: usize = 4;
/// How long the manager gives the daemon to start and to stop before it says that it hangs: a long journal is read at the start.
const HINT: Duration = Duration::from_secs(60);

static MAIN: OnceLock<fn() -> u8> = OnceLock::new();
static SERVICE: OnceLock<Service> = OnceLock::new();

struct Service {
    status: ServiceStatusHandle,
    requests: Mutex<Option<mpsc::Receiver<Signal>>>,
}

/// What the manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Running,
    Stopping,
    /// With the process's exit code.
    Stopped(u8),
}

/// Lets the manager run `main`, which returns the process's exit code, and returns when it has ended.
///
/// # Errors
/// When this process was not started by the manager.
pub fn run(main: fn() -> u8) -> windows_service::Result<()> {
    MAIN.get_or_init(|| main);
    service_dispatcher::start(NAME, service_entry)
}

// The macro writes the function that the system calls; what is unsafe in it is windows-service's own.
define_windows_service!(service_entry, service_main);

fn service_main(_: Vec<OsString>) {
    let Some(main) = MAIN.get() else { return };
    let (sender, receiver) = mpsc::channel(REQUESTS);
    let heard = move |control| {
        let wish = match control {
            ServiceControl::Stop | ServiceControl::Shutdown => Signal::Stop,
            ServiceControl::ParamChange => Signal::Reload,
            ServiceControl::Interrogate => return ServiceControlHandlerResult::NoError,
            _ => return ServiceControlHandlerResult::NotImplemented,
        };
        // Full: the daemon has as much to do already as this would ask for.
        let _ = sender.try_send(wish);
        ServiceControlHandlerResult::NoError
    };
    // Without a handler there is nobody to tell; the manager sees the process end.
    let Ok(status) = service_control_handler::register(NAME, heard) else { return };
    SERVICE.get_or_init(|| Service { status, requests: Mutex::new(Some(receiver)) });
    report(Phase::Starting);
    report(Phase::Stopped(main()));
}

/// What the manager asks for from now on; once, and only in a service.
pub(super) fn requests() -> Option<mpsc::Receiver<Signal>> {
    SERVICE.get()?.requests.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Tells the manager how things are.
pub(super) fn report(phase: Phase) {
    let Some(service) = SERVICE.get() else { return };
    let (current_state, exit_code) = match phase {
        Phase::Starting => (ServiceState::StartPending, ServiceExitCode::NO_ERROR),
        Phase::Running => (ServiceState::Running, ServiceExitCode::NO_ERROR),
        Phase::Stopping => (ServiceState::StopPending, ServiceExitCode::NO_ERROR),
        Phase::Stopped(0) => (ServiceState::Stopped, ServiceExitCode::NO_ERROR),
        Phase::Stopped(code) => (ServiceState::Stopped, ServiceExitCode::ServiceSpecific(code.into())),
    };
    let accepted = ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN | ServiceControlAccept::PARAM_CHANGE;
    let is_pending = matches!(phase, Phase::Starting | Phase::Stopping);
    let told = service.status.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted: if phase == Phase::Running { accepted } else { ServiceControlAccept::empty() },
        exit_code,
        checkpoint: 0,
        wait_hint: if is_pending { HINT } else { Duration::ZERO },
        process_id: None,
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service control manager could not be told: {phase:?}");
    }
}
