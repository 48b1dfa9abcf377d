//! Did you mean ...?

/// The candidate that `word` most likely is: the one is the beginning of the other, or at most a third of the letters are different.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No candidate is longer, and the comparison takes time in the product of the lengths.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = |candidate: &'a str| {
        let one_begins_the_other = candidate.starts_with(&word) || word.starts_with(candidate);
        let distance = if one_begins_the_other { 1 } else { strsim::osa_distance(&word, candidate) };
        (distance <= word.len().max(3) / 3).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_word_and_another_word_finds_nothing() {
        let candidates = ["interval", "overlap", "token_file", "password_file", "socket"];
        for (word, found) in [
            ("intervall", Some("interval")),
            ("Interval", Some("interval")),
            ("overalp", Some("overlap")),
            ("token", Some("token_file")),
            ("token-file", Some("token_file")),
            ("password", Some("password_file")),
            ("sokcet", Some("socket")),
            ("colour", None),
            ("", None),
            (&"x".repeat(100_000), None),
        ] {
            assert_eq!(nearest(word, candidates), found, "{word:.20}");
        }
    }
}
