//! A last net below a report that should have no secrets in it.

/// What stands in their place.
const GONE: &str = "[removed]";

/// Takes out what looks like a token (three base64url parts that begin like JSON), what follows `Bearer`, and credentials in addresses.
pub(super) fn redact(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut word = String::new();
    let mut after_bearer = false;
    for char in text.chars().chain(['\n']) {
        if char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '=' | '+' | '/' | '~' | ':' | '@' | '%') {
            word.push(char);
            continue;
        }
        if !word.is_empty() {
            kept.push_str(&if after_bearer { GONE.to_owned() } else { redact_word(&word) });
            after_bearer = word.eq_ignore_ascii_case("bearer");
            word.clear();
        }
        kept.push(char);
    }
    kept.pop();
    kept
}

fn redact_word(word: &str) -> String {
    let is_token = |part: &str| part.starts_with("eyJ") && part.split('.').count() == 3;
    if let Some((before, rest)) = word.split_once("://")
        && let Some((credentials, host)) = rest.rsplit_once('@')
        && !credentials.contains('/')
    {
        return format!("{before}://{GONE}@{host}");
    }
    word.split(['=', ':']).find(|part| is_token(part)).map_or_else(|| word.to_owned(), |token| word.replace(token, GONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_credentials_are_taken_out_and_the_rest_stays() {
        for (given, kept) in [
            ("plain text, 12:00 \"a@b.example\"\n", "plain text, 12:00 \"a@b.example\"\n"),
            ("token=eyJhbGci.eyJzdWIi.c2ln-_x end", "token=[removed] end"),
            ("{\"t\":\"eyJhbGci.eyJzdWIi.c2ln\"}", "{\"t\":\"[removed]\"}"),
            ("Authorization: Bearer abc123, next", "Authorization: Bearer [removed], next"),
            ("https://me:pw@a.example/x", "https://[removed]@a.example/x"),
            ("https://a.example/x@y", "https://a.example/x@y"),
            ("", ""),
        ] {
            assert_eq!(redact(given), kept, "{given}");
        }
    }
}
