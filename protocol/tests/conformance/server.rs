//! A development server, spoken to as a person would: over HTTP, below `/__dev`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::house::PATIENCE;
use crate::programs;

/// The password of every customer here.
pub(crate) const PASSWORD: &str = "correct horse";

/// The process; it is killed with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) tenant: String,
    pub(crate) token: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(programs::server());
        command.args(["--listen", "127.0.0.1:0", "--email", "ada@example.com", "--password", PASSWORD]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let (mut url, mut tenant, mut token) = (String::new(), String::new(), String::new());
        for line in BufReader::new(child.stdout.take().expect("stdout")).lines() {
            let line = line.expect("readable");
            match line.split_once(": ") {
                Some(("url", value)) => url = value.to_owned(),
                Some(("tenant", value)) => tenant = value.to_owned(),
                Some(("token", value)) => token = value.to_owned(),
                Some(("ready", _)) => break,
                _ => {}
            }
        }
        assert!(!token.is_empty(), "the development server did not say where it is");
        Self { child, url, tenant, token }
    }

    /// A row, as another device writes it.
    pub(crate) fn edit(&self, edit: &str, id: Option<&str>, row: &Value) -> Value {
        let id = id.unwrap_or_default();
        self.post("rows", &json!({"edit": edit, "tenant": self.tenant, "entityType": "end_user", "id": id, "row": row}))
    }

    /// A fault; gives its number.
    pub(crate) fn fault(&self, rule: &Value) -> Value {
        self.post("faults", rule)["id"].clone()
    }

    pub(crate) fn mend(&self, fault: &Value) {
        self.request("DELETE", &format!("faults/{fault}"), &Value::Null);
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", path, body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let address = self.url.strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(address).expect("the server is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let body = body.to_string();
        let head =
            format!("{method} /__dev/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json");
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
