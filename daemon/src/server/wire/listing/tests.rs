use std::io::Cursor;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: PageLimits = PageLimits { rows: 3, bytes: 200, row_bytes: 1_000 };
const STAMP: &str = "2026-01-01T00:00:00.000Z";

fn parse(body: &str, limits: PageLimits) -> (Result<Listed, ListingError>, Vec<Page>) {
    let asked = ["end_user".to_owned(), "interactions".to_owned()];
    let mut pages = Vec::new();
    let outcome = read(Cursor::new(body), &asked, &SecretFields::new(&["password".into()]), limits, &mut |page| {
        pages.push(page);
        true
    });
    (outcome, pages)
}

fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"id": n.to_string()})).collect()
}

fn listing(data: &Value) -> String {
    json!({"success": true, "data": data, "syncTimestamp": STAMP}).to_string()
}

#[test]
fn rows_come_in_pages_of_one_type_in_the_servers_order() {
    let (outcome, pages) = parse(&listing(&json!({"interactions": rows(1), "end_user": rows(7)})), LIMITS);
    assert_eq!(outcome.expect("a listing").types, ["interactions", "end_user"]);
    let shape: Vec<_> = pages.iter().map(|page| (page.entity_type.as_str(), page.rows.len())).collect();
    assert_eq!(shape, [("interactions", 1), ("end_user", 3), ("end_user", 3), ("end_user", 1)]);
    let ids: Vec<_> = pages.iter().skip(1).flat_map(|page| &page.rows).map(|row| row["id"].clone()).collect();
    assert_eq!(json!(ids), json!(["0", "1", "2", "3", "4", "5", "6"]));
}

#[test]
fn a_page_closes_before_the_row_that_would_make_it_too_large() {
    let row = |bytes: usize| json!({"x": "x".repeat(bytes)});
    let limits = PageLimits { rows: 100, ..LIMITS };
    let (outcome, pages) = parse(&listing(&json!({"end_user": [row(80), row(80), row(80), row(500), row(1)]})), limits);
    assert!(outcome.is_ok());
    assert_eq!(pages.iter().map(|page| page.rows.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
}

#[test]
fn empty_lists_are_listed_and_have_no_page() {
    let (outcome, pages) = parse(&listing(&json!({"end_user": []})), LIMITS);
    let listed = Listed { sync_timestamp: STAMP.parse().expect("a timestamp"), types: vec!["end_user".into()] };
    assert_eq!((outcome, pages), (Ok(listed), vec![]));
}

#[test]
fn types_that_were_not_asked_for_are_passed_over() {
    let (outcome, pages) = parse(&listing(&json!({"other": rows(2), "strange": {"a": [1]}, "end_user": rows(1)})), LIMITS);
    assert_eq!((outcome.expect("a listing").types, pages.len()), (vec!["end_user".to_owned()], 1));
}

#[test]
fn secret_fields_are_gone_at_the_top_level_alone() {
    let row = json!({"id": "1", "password": "a", "PASSWORD": {"b": 1}, "nested": {"password": "c"}});
    let (_, pages) = parse(&listing(&json!({"end_user": [row]})), LIMITS);
    assert_eq!(json!(pages[0].rows), json!([{"id": "1", "nested": {"password": "c"}}]));
}

#[test]
fn the_order_of_the_answers_fields_does_not_matter() {
    let body = format!(r#"{{"syncTimestamp":"{STAMP}","more":[{{}}],"data":{{"end_user":[{{"id":"1"}}]}},"success":true}}"#);
    let (outcome, pages) = parse(&body, LIMITS);
    assert_eq!((outcome.is_ok(), pages.len()), (true, 1));
}

#[test]
fn what_is_no_listing_is_refused_with_the_place_and_without_values() {
    for (body, part) in [
        ("", "middle"),
        ("secret", "no JSON"),
        ("[]", "the answer has another shape"),
        (r#""secret""#, "the answer has another shape"),
        ("{}", "success"),
        (r#"{"success":true,"data":{}}"#, "syncTimestamp"),
        (r#"{"success":true,"data":{},"syncTimestamp":"secret"}"#, "syncTimestamp"),
        (r#"{"success":true,"data":{},"syncTimestamp":5}"#, "syncTimestamp"),
        (r#"{"success":true,"syncTimestamp":"2026-01-01T00:00:00Z"}"#, "no data"),
        (r#"{"success":1,"data":{},"syncTimestamp":"2026-01-01T00:00:00Z"}"#, "success"),
        (r#"{"data":{},"syncTimestamp":"2026-01-01T00:00:00Z"}"#, "success"),
        (r#"{"success":true,"data":"secret"}"#, "the data of the answer"),
        (r#"{"success":true,"data":{"end_user":"secret"}}"#, "the list of a type"),
        (r#"{"success":true,"data":{"end_user":{"secret":1}}}"#, "the list of a type"),
        (r#"{"success":true,"data":{"end_user":[{"id":"1"},"secret"]}}"#, "a row"),
        (r#"{"success":true,"data":{"end_user":[null]}}"#, "a row"),
        (r#"{"success":true,"data":{"end_user":[],"end_user":[]}}"#, "twice"),
        (r#"{"success":true,"data":{},"data":{}}"#, "twice"),
        (r#"{"success":true,"data":{"end_user":[{"id":"1"} {"id":"2"}]}}"#, "no JSON"),
        (r#"{"success":true,"data":{},"syncTimestamp":"2026-01-01T00:00:00Z"} secret"#, "no JSON"),
    ] {
        let message = parse(body, LIMITS).0.expect_err(body).to_string();
        assert!(message.contains(part), "{body}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn every_truncation_is_an_error_however_many_rows_came_before() {
    let body = listing(&json!({"end_user": rows(5), "interactions": rows(1)}));
    for end in 0..body.len() {
        let (outcome, pages) = parse(&body[..end], LIMITS);
        assert_eq!(outcome, Err(ListingError::Truncated), "{}", &body[..end]);
        assert!(pages.len() <= 3);
    }
}

#[test]
fn one_element_over_the_limit_ends_it_wherever_it_stands() {
    let large = "x".repeat(2_000);
    for body in [
        listing(&json!({"end_user": [{"x": large}]})),
        listing(&json!({"end_user": [{"password": large}]})),
        listing(&json!({ large.as_str(): [] })),
        json!({ "more": large }).to_string(),
        json!({ large.as_str(): 1 }).to_string(),
        json!({ "success": large }).to_string(),
        format!("{{{}", " ".repeat(2_000)),
        format!(r#"{{"success":true,"data":{{}},"syncTimestamp":"{STAMP}"}}{}"#, " ".repeat(2_000)),
    ] {
        assert_eq!(parse(&body, LIMITS).0, Err(ListingError::RowTooLarge(1_000)), "{}", &body[..60]);
    }
}

#[test]
fn the_limit_is_for_one_row_and_not_for_all() {
    let (outcome, pages) = parse(&listing(&json!({"end_user": rows(1_000)})), LIMITS);
    assert!(outcome.is_ok());
    assert_eq!(pages.iter().map(|page| page.rows.len()).sum::<usize>(), 1_000);
}

#[test]
fn a_receiver_that_has_enough_ends_it() {
    let body = listing(&json!({"end_user": rows(7)}));
    let asked = ["end_user".to_owned()];
    let mut taken = 0;
    let outcome = read(Cursor::new(body), &asked, &SecretFields::new(&[]), LIMITS, &mut |_| {
        taken += 1;
        taken < 2
    });
    assert_eq!((outcome, taken), (Err(ListingError::Unwanted), 2));
}

#[test]
fn deep_nesting_ends_it_instead_of_the_stack() {
    let body = format!(r#"{{"success":true,"data":{{"end_user":[{{"x":{}"#, "[".repeat(100_000));
    let limits = PageLimits { row_bytes: 1_000_000, ..LIMITS };
    assert!(matches!(parse(&body, limits).0, Err(ListingError::NotOurs(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(Cursor::new(bytes), &["end_user".into()], &SecretFields::new(&[]), LIMITS, &mut |_| true);
    }

    #[test]
    fn no_mutation_of_a_listing_makes_the_reader_panic_or_invent_rows(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut bytes = listing(&json!({"end_user": rows(5), "interactions": rows(2)})).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut count = 0;
        let _ = read(Cursor::new(bytes), &["end_user".into(), "interactions".into()], &SecretFields::new(&[]), LIMITS, &mut |page| {
            count += page.rows.len();
            true
        });
        prop_assert!(count <= 7);
    }
}
