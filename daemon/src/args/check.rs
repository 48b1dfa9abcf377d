//! `aesyncd --check`: is this configuration one that the daemon can work by?

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use aesync_protocol::endpoint::Scope;

use super::{Args, EXIT_CONFIGURATION};
use crate::config::{Config, Environment, Loaded, secret_file};
use crate::ipc;
use crate::server::token::Claims;
use crate::server::{Rest, RestOptions, ServerUrl};

/// Checks, and prints one line that starts with `ok` on stdout, or everything that is wrong on stderr. Nothing is changed, and nothing is
/// asked of the server.
#[must_use]
pub fn check(args: &Args, environment: &Environment, scope: Scope) -> ExitCode {
    let found = report(args, environment, scope);
    // Who closed these does not want to know.
    let mut stderr = std::io::stderr().lock();
    for warning in &found.warnings {
        let _ = writeln!(stderr, "warning: {warning}");
    }
    for error in &found.errors {
        let _ = writeln!(stderr, "error: {error}");
    }
    if !found.errors.is_empty() {
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    let _ = writeln!(std::io::stdout(), "{}", found.summary);
    ExitCode::SUCCESS
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
    summary: String,
}

fn report(args: &Args, environment: &Environment, scope: Scope) -> Report {
    let loaded = match args.load(environment, scope) {
        Ok(loaded) => loaded,
        Err(error) => return Report { errors: vec![error.to_string()], ..Report::default() },
    };
    let mut warnings = loaded.warnings.clone();
    let Loaded { config, file, .. } = &loaded;
    let mut errors = Vec::new();
    let (socket, state) =
        (args.socket_path(config, environment, scope), config.state_dir(environment, &args.installation(scope)));
    errors.extend(socket.as_ref().err().map(ToString::to_string));
    errors.extend(state.as_ref().err().map(ToString::to_string));
    errors.extend(sign_in_problems(&loaded));
    warnings.extend(strangers(&loaded));
    match server_problem(config) {
        Ok(None) => {}
        Ok(Some(error)) => errors.push(loaded.about("server.ca_file", error)),
        Err(NoServer) => {
            warnings.push(
                "server.url is not set: the daemon syncs only once somebody has named a server with `aectl login`".to_owned(),
            );
        }
    }
    let shown = |path: Option<&Path>, none: &str| path.map_or_else(|| none.to_owned(), |path| path.display().to_string());
    let summary = format!(
        "ok: configuration {}, server {}, socket {}, state {}",
        shown(file.as_deref(), "(defaults)"),
        config.server.url.as_deref().unwrap_or("(none)"),
        shown(socket.ok().as_deref(), "(none)"),
        shown(state.ok().as_deref(), "(none)"),
    );
    Report { errors, warnings, summary }
}

/// There is no `server.url`.
struct NoServer;

/// The certificates of `server.ca_file` are read only here and when the daemon starts.
fn server_problem(config: &Config) -> Result<Option<String>, NoServer> {
    let url = config.server.url.as_deref().ok_or(NoServer)?;
    let tried = ServerUrl::parse(url).map_err(|error| error.to_string()).and_then(|server| {
        let options = RestOptions { ca_file: config.server.ca_file.clone(), ..RestOptions::new(server) };
        Rest::new(options).map_err(|error| error.to_string())
    });
    Ok(tried.err())
}

fn sign_in_problems(loaded: &Loaded) -> Vec<String> {
    let auth = &loaded.config.auth;
    let token = auth.token_file.as_deref().and_then(|path| match secret_file::token(path) {
        Ok(token) => other_tenant(&loaded.config, path, Claims::of(&token).ok()?.tenant.as_deref()),
        Err(error) => Some(error.to_string()),
    });
    let password =
        auth.password_file.as_deref().and_then(|path| secret_file::password(path).err()).map(|error| error.to_string());
    let token = token.map(|problem| loaded.about("auth.token_file", problem));
    token.into_iter().chain(password.map(|problem| loaded.about("auth.password_file", problem))).collect()
}

/// Whom `[access]` names and this system does not know. A directory service may know them later, so that it is no error.
fn strangers(loaded: &Loaded) -> Vec<String> {
    let access = &loaded.config.access;
    let lists =
        [("access.observers", &access.observers), ("access.operators", &access.operators), ("access.admins", &access.admins)];
    let unknown =
        lists.into_iter().flat_map(|(key, names)| names.iter().filter(|name| !ipc::knows(name)).map(move |name| (key, name)));
    unknown
        .map(|(key, name)| {
            let (kind, name) = name.strip_prefix('@').map_or(("user", name.as_str()), |group| ("group", group));
            loaded.about(key, format!("this system knows no {kind} {name:?}, so that the name has no effect for now"))
        })
        .collect()
}

/// Rule R39.
fn other_tenant(config: &Config, path: &Path, found: Option<&str>) -> Option<String> {
    let path = path.display();
    match (config.server.tenant.as_deref(), found) {
        (_, None) => {
            Some(format!("the token in {path} names no tenant (companyId or customerId); the server refuses such a token"))
        }
        (Some(configured), Some(found)) if configured != found => Some(format!(
            "the token in {path} is for the tenant {found}, and server.tenant is {configured}; change the one or the other"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A token of the tenant `abc`, and one without a tenant.
    const TOKEN: &str = "e30.eyJjdXN0b21lcklkIjoiQUJDIn0.c2ln";
    const NO_TENANT: &str = "e30.e30.c2ln";

    fn checked(dir: &Path, text: &str) -> Report {
        let file = dir.join("aesyncd.toml");
        std::fs::write(&file, text).expect("writable");
        let args = Args { config: Some(file), state_dir: Some(PathBuf::from("/state")), ..Args::default() };
        report(&args, &Environment::default(), Scope::System)
    }

    #[test]
    fn a_good_configuration_is_told_in_one_line_with_its_paths() {
        let dir = tempfile::tempdir().expect("a directory");
        let report = checked(dir.path(), "[server]\nurl = 'http://H:3000/'");
        assert_eq!((report.errors, report.warnings), (Vec::new(), Vec::new()));
        let file = dir.path().join("aesyncd.toml");
        let paths = "server http://h:3000, socket /run/aesyncd/aesyncd.sock, state /state";
        assert_eq!(report.summary, format!("ok: configuration {}, {paths}", file.display()));
    }

    #[test]
    fn a_daemon_without_a_server_is_fine_with_a_warning() {
        let dir = tempfile::tempdir().expect("a directory");
        let report = checked(dir.path(), "");
        assert!(report.errors.is_empty() && report.summary.contains("server (none)"), "{report:?}");
        assert!(report.warnings.iter().any(|warning| warning.contains("server.url is not set")), "{report:?}");
    }

    #[test]
    fn files_that_the_configuration_names_are_looked_into() {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, content) in [("token", TOKEN), ("other", NO_TENANT), ("broken", "hunter2"), ("empty", "")] {
            std::fs::write(dir.path().join(name), content).expect("writable");
        }
        for (text, part) in [
            ("[auth]\ntoken_file = 'token'", None),
            ("[server]\ntenant = 'Abc'\n[auth]\ntoken_file = 'token'", None),
            ("[server]\ntenant = 'xyz'\n[auth]\ntoken_file = 'token'", Some("is for the tenant abc, and server.tenant is xyz")),
            ("[auth]\ntoken_file = 'other'", Some("names no tenant")),
            ("[auth]\ntoken_file = 'broken'", Some("no JWT")),
            ("[auth]\ntoken_file = 'missing'", Some("No such file")),
            ("[auth]\nemail = 'a@b.c'\npassword_file = 'broken'", None),
            ("[auth]\nemail = 'a@b.c'\npassword_file = 'empty'", Some("is empty")),
            ("[server]\nurl = 'https://h'\nca_file = 'missing'", Some("reading the CA file")),
            ("[server]\nurl = 'https://h'\nca_file = 'broken'", Some("holds no certificate")),
            ("[ipc]\nsocket = ''", Some("ipc.socket")),
        ] {
            let errors = checked(dir.path(), text).errors;
            assert_eq!(errors.len(), usize::from(part.is_some()), "{text}: {errors:?}");
            assert!(errors.iter().all(|error| error.contains(part.unwrap_or_default())), "{text}: {errors:?}");
            assert!(errors.iter().all(|error| !error.contains("hunter2")), "{errors:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_the_line_and_the_key_that_name_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("aesyncd.toml");
        for (text, place) in [
            ("[auth]\n\ntoken_file = 'missing'", ":3: auth.token_file: "),
            ("[auth]\nemail = 'a@b.c'\npassword_file = 'missing'", ":3: auth.password_file: "),
            ("[server]\nurl = 'https://h'\nca_file = 'missing'", ":3: server.ca_file: "),
        ] {
            let errors = checked(dir.path(), text).errors;
            let begin = format!("{}{place}", file.display());
            assert!(errors.len() == 1 && errors.iter().all(|error| error.starts_with(&begin)), "{errors:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_the_system_does_not_know_are_warned_of() {
        let dir = tempfile::tempdir().expect("a directory");
        let report = checked(dir.path(), "[access]\nadmins = ['root', 'nobody-of-this-name']\noperators = ['@no-such-group']");
        let warned =
            |place: &str, name: &str| report.warnings.iter().any(|warning| warning.contains(place) && warning.contains(name));
        assert!(report.errors.is_empty() && report.warnings.len() == 3, "{report:?}");
        assert!(warned(":2: access.admins: ", "user \"nobody-of-this-name\""), "{report:?}");
        assert!(warned(":3: access.operators: ", "group \"no-such-group\""), "{report:?}");
    }

    #[test]
    fn a_user_without_a_home_is_told_which_places_are_missing() {
        let report = report(&Args::default(), &Environment::default(), Scope::User);
        assert_eq!(report.errors.len(), if cfg!(unix) { 2 } else { 1 }, "{report:?}");
        assert!(report.errors.iter().any(|error| error.contains("--state-dir")), "{report:?}");
    }
}
