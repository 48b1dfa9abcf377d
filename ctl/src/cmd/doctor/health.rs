//! The server's `GET /health`, asked for without the daemon. Over https only the door is tried: what is behind it is the daemon's to judge.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aesync_protocol::Timestamp;
use serde::Deserialize;

use super::server::{at_most, middle};
use crate::output::now;

/// How long the whole question may take, the look-up of the name included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of an answer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What is known of the server from outside.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) took: Duration,
    /// By what it was tried.
    pub(super) how: &'static str,
    /// Whether it says that it offers websockets.
    pub(super) websocket: Option<bool>,
    /// By how many milliseconds its clock is ahead of this one.
    pub(super) ahead: Option<i64>,
}

/// Asks, for no longer than `patience`.
pub(super) fn ask(url: &str, patience: Duration) -> Result<Health, String> {
    let patience = at_most(patience, PATIENCE);
    let target = Target::parse(url)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    // Looking up a name has no deadline of its own.
    std::thread::spawn(move || {
        let _ = sender.send(try_target(&target, patience));
    });
    receiver.recv_timeout(patience).map_err(|_| format!("nothing came within {} s", patience.as_secs()))?
}

fn try_target(target: &Target, patience: Duration) -> Result<Health, String> {
    let began = Instant::now();
    let tell = |what: &str, error: std::io::Error| format!("{what} failed ({error})");
    let addresses = (target.host.as_str(), target.port).to_socket_addrs().map_err(|error| tell("looking up its name", error))?;
    let mut last = "its name has no address".to_owned();
    let mut connected = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => last = tell("connecting", error),
        }
    }
    let Some(mut stream) = connected else { return Err(last) };
    if target.secure {
        return Ok(Health { took: began.elapsed(), how: "a TCP connection", websocket: None, ahead: None });
    }
    stream.set_read_timeout(Some(patience)).map_err(|error| tell("reading", error))?;
    stream.set_write_timeout(Some(patience)).map_err(|error| tell("asking", error))?;
    let before = now();
    let request = format!("GET {}/health HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n", target.path, target.host);
    stream.write_all(request.as_bytes()).map_err(|error| tell("asking", error))?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).map_err(|error| tell("reading its answer", error))?;
    let at = middle(before, now());
    let mut health = read(&String::from_utf8_lossy(&answer), at)?;
    health.took = began.elapsed();
    Ok(health)
}

fn read(answer: &str, at: Timestamp) -> Result<Health, String> {
    #[derive(Deserialize)]
    struct Body {
        timestamp: Option<Timestamp>,
        websocket: Option<String>,
    }
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("what answers there does not speak HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).ok_or("what answers there does not speak HTTP")?;
    if code != "200" {
        return Err(format!("GET /health was answered with {code}"));
    }
    let body: Body = serde_json::from_str(body).map_err(|_| "what answers there is no AdminEngine".to_owned())?;
    Ok(Health {
        took: Duration::ZERO,
        how: "GET /health",
        websocket: body.websocket.map(|word| word == "enabled"),
        ahead: body.timestamp.map(|theirs| theirs.millis_since(at)),
    })
}

/// What stands in an address.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the address has no http:// or https://")?;
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("the address begins with neither http:// nor https://".to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| "the address's port is no number up to 65535".to_owned())?,
            None if secure => 443,
            None => 80,
        };
        if host.is_empty() || host.contains(char::is_whitespace) || path.contains(char::is_whitespace) {
            return Err("the address names no host".to_owned());
        }
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Self { secure, host: host.to_owned(), port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (url, expected) in [
            ("http://a.example", Some((false, "a.example", 80, ""))),
            ("https://u:p@a.example:8443/base/?x", Some((true, "a.example", 8443, "/base"))),
            ("http://[::1]:3000", Some((false, "::1", 3000, ""))),
            ("https://[::1]", Some((true, "::1", 443, ""))),
            ("ftp://a", None),
            ("a.example", None),
            ("http://:80", None),
            ("http://a:99999", None),
            ("http://a/b\r\nX: y", None),
        ] {
            let parsed = Target::parse(url).ok();
            assert_eq!(parsed.as_ref().map(|t| (t.secure, t.host.as_str(), t.port, t.path.as_str())), expected, "{url}");
        }
    }

    #[test]
    fn health_tells_the_clock_and_whether_websockets_are_offered() {
        let body = r#"{"status":"ok","timestamp":"1970-01-01T00:00:09.000Z","websocket":"enabled"}"#;
        let health = read(&format!("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{body}"), Timestamp::from_millis(2_000)).expect("health");
        assert_eq!((health.websocket, health.ahead), (Some(true), Some(7_000)));
        for answer in ["", "garbage\r\n\r\n{}", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>"] {
            assert!(read(answer, Timestamp::EPOCH).is_err(), "{answer}");
        }
    }
}
