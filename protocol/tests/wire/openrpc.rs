//! The checked-in OpenRPC document is what the types say. `AESYNC_WRITE=1` writes it again.

use std::collections::BTreeSet;

use aesync_protocol::request::METHODS;
use aesync_protocol::{ErrorCode, OPENRPC};
use serde_json::Value;

/// What must stand in the file.
fn document() -> String {
    serde_json::to_string_pretty(&aesync_protocol::schema::openrpc()).expect("JSON") + "\n"
}

#[test]
fn the_checked_in_document_is_what_the_types_say() {
    let generated = document();
    if std::env::var_os("AESYNC_WRITE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/openrpc.json"), &generated).expect("written");
        return;
    }
    let differs = generated.lines().zip(OPENRPC.lines()).position(|(new, old)| new != old);
    assert!(
        generated == OPENRPC,
        "openrpc.json is out of date from line {:?} on: AESYNC_WRITE=1 cargo test -p aesync-protocol --test wire openrpc",
        differs.map(|line| line + 1),
    );
}

#[test]
fn every_method_and_every_code_stands_in_the_document() {
    let document: Value = serde_json::from_str(OPENRPC).expect("JSON");
    let methods: Vec<_> = document["methods"].as_array().expect("methods").iter().map(|method| &method["name"]).collect();
    assert_eq!(methods, METHODS);
    for method in document["methods"].as_array().expect("methods") {
        assert!(method["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method}");
    }
    let codes = document["components"]["schemas"]["ErrorCode"].to_string();
    for code in [ErrorCode::Offline, ErrorCode::Unsupported] {
        assert!(codes.contains(&format!("\"{code}\"")), "{codes}");
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(OPENRPC).expect("JSON");
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
