//! Values as people read them. Pure: the time is an argument.

use std::borrow::Cow;
use std::fmt::Write as _;

use aesync_protocol::{Record, Timestamp};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Makes text from elsewhere harmless: whatever could move the cursor, change colours or reorder what is shown becomes visible.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\n' => cleaned.push_str("\\n"),
            '\r' => cleaned.push_str("\\r"),
            '\t' => cleaned.push_str("\\t"),
            _ if is_unsafe(char) => {
                // Writing to a string can't fail.
                let _ = write!(cleaned, "\\u{{{:x}}}", u32::from(char));
            }
            _ => cleaned.push(char),
        }
    }
    Cow::Owned(cleaned)
}

/// The same for JSON, which stays JSON with the same meaning: what a JSON string may hold unescaped is escaped.
pub(crate) fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut cleaned = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        match char {
            // Between tokens; inside a string they are escaped already.
            '\n' | '\r' | '\t' => cleaned.push(' '),
            _ if is_unsafe(char) => {
                let _ = write!(cleaned, "\\u{:04x}", u32::from(char));
            }
            _ => cleaned.push(char),
        }
    }
    Cow::Owned(cleaned)
}

/// Control characters (C0, DEL, C1) and those that reorder text or end a line without being one. All below U+10000.
fn is_unsafe(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// "just now", "12 s ago", "3 h ago"; a time ahead counts as now, since clocks differ.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.millis_since(then) {
        ..2000 => "just now".to_owned(),
        millis => format!("{} ago", span(millis)),
    }
}

/// "in 40 s"; "now" when it is due.
pub(crate) fn until(now: Timestamp, then: Timestamp) -> String {
    match then.millis_since(now) {
        ..=0 => "now".to_owned(),
        millis => format!("in {}", span(millis)),
    }
}

/// A duration of whole units, rounded down but never to nothing.
pub(crate) fn span(millis: i64) -> String {
    const SECOND: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match millis.max(0) {
        millis if millis < SECOND => "1 s".to_owned(),
        millis if millis < MINUTE => format!("{} s", millis / SECOND),
        millis if millis < HOUR => format!("{} min", millis / MINUTE),
        millis if millis < 2 * DAY => format!("{} h", millis / HOUR),
        millis => format!("{} days", millis / DAY),
    }
}

/// How long the server takes to answer a ping, in whole milliseconds: "round trip 23 ms".
pub(crate) fn round_trip(millis: u64) -> String {
    match millis {
        0 => "round trip under 1 ms".to_owned(),
        millis => format!("round trip {millis} ms"),
    }
}

/// `1,204`
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 change`, `2 changes`
pub(crate) fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// `512 B`, `1.2 KiB`, `3.4 MiB`
pub(crate) fn bytes(value: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    const GIB: u64 = 1024 * MIB;
    let tenths = |unit: u64| {
        let tenths = value.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match value {
        ..KIB => format!("{value} B"),
        KIB..MIB => format!("{} KiB", tenths(KIB)),
        MIB..GIB => format!("{} MiB", tenths(MIB)),
        GIB.. => format!("{} GiB", tenths(GIB)),
    }
}

/// A value on one line: strings as they are, everything else as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text).into_owned(),
        other => clean(&other.to_string()).into_owned(),
    }
}

/// A record on one line, without its id, which stands beside it.
pub(crate) fn fields(record: &Record) -> String {
    let mut line = String::new();
    for (name, field) in record.iter().filter(|(name, _)| *name != "id") {
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(&clean(name));
        line.push('=');
        line.push_str(&value(field));
    }
    line
}

/// How many columns it takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Cut to `width` columns, with an ellipsis where something is missing. The text must be free of colour.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 1;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(char);
    }
    if width > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Breaks a line at words, so that it fits `width` columns; what follows stands `indent` columns in. Without a width it stays as it
/// is.
///
/// Colours take no columns. A word that is longer than a line stays whole, and so does what stands between backticks while it fits:
/// both are there to be copied.
pub(crate) fn wrap(line: &str, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_owned() };
    // Where there is hardly any room, an indentation must not take it.
    let indent = if indent * 2 > width { indent.min(2) } else { indent };
    let mut wrapped = String::with_capacity(line.len() + 16);
    let mut used = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.len() - rest.trim_start_matches(' ').len();
        let (space, after) = rest.split_at(gap);
        let word = after.get(..end_of_word(after, width.saturating_sub(indent))).unwrap_or(after);
        let columns = columns(&anstream::adapter::strip_str(word).to_string());
        if used + gap + columns > width && used > indent {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = indent;
        } else {
            wrapped.push_str(space);
            used += gap;
        }
        wrapped.push_str(word);
        used += columns;
        rest = after.get(word.len()..).unwrap_or_default();
    }
    wrapped
}

/// The next space, but for those between backticks in what is no longer than `room`.
fn end_of_word(text: &str, room: usize) -> usize {
    let mut from = 0;
    loop {
        let space = text.get(from..).and_then(|rest| rest.find(' ')).map_or(text.len(), |at| from + at);
        let word = text.get(..space).unwrap_or(text);
        if word.matches('`').count() % 2 == 0 || space == text.len() {
            return space;
        }
        if columns(word) > room {
            return text.find(' ').unwrap_or(text.len());
        }
        from = space + 1;
    }
}

/// The lines of a text that may be `width` columns wide, broken at words, and within them where it must be.
pub(crate) fn fill(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrap(text, 0, Some(width)).split('\n') {
        let mut part = String::new();
        let mut used = 0;
        for char in line.chars() {
            let columns = char.width().unwrap_or(0);
            if used + columns > width && !part.is_empty() {
                lines.push(std::mem::take(&mut part));
                used = 0;
            }
            part.push(char);
            used += columns;
        }
        lines.push(part);
    }
    lines
}

/// What must be whole, on one line or more, and as much of the rest as the last of them has room for, or else a line of its own.
pub(crate) fn head_and_rest(
    head: &str,
    rest: &str,
    indent: usize,
    width: Option<usize>,
    paint: impl Fn(&str) -> String,
) -> String {
    const GAP: usize = 2;
    /// Less of it says nothing.
    const WORTH: usize = 10;
    let head = wrap(head, indent, width);
    let Some(width) = width.filter(|_| !rest.is_empty()) else {
        return if rest.is_empty() { head } else { format!("{head}  {}", paint(rest)) };
    };
    let last = head.rsplit('\n').next().unwrap_or_default();
    let room = width.saturating_sub(columns(&anstream::adapter::strip_str(last).to_string()) + GAP);
    if room >= WORTH.min(columns(rest)) {
        return format!("{head}  {}", paint(&cut(rest, room)));
    }
    let indent = if indent * 2 > width { indent.min(2) } else { indent };
    format!("{head}\n{}{}", " ".repeat(indent), paint(&cut(rest, width.saturating_sub(indent))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        for (given, shown) in [
            ("plain ünïcode 漢字 🙂", "plain ünïcode 漢字 🙂"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "a\\u{202e}b\\u{2066}c\\u{2028}d"),
        ] {
            assert_eq!(clean(given), shown);
        }
    }

    #[test]
    fn cleaned_json_means_the_same() {
        let json = "{\"a\":\"\u{9b}31m\u{7f}\u{202e}\",\n\t\"b\":\"\\u001b ü\"}";
        let cleaned = clean_json(json);
        assert_eq!(cleaned, "{\"a\":\"\\u009b31m\\u007f\\u202e\",  \"b\":\"\\u001b ü\"}");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("valid JSON");
        assert_eq!(parse(&cleaned), parse(json));
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        for (millis, expected) in [
            (-5_000, "just now"),
            (1_999, "just now"),
            (2_000, "2 s ago"),
            (59_999, "59 s ago"),
            (60_000, "1 min ago"),
            (3_599_999, "59 min ago"),
            (3_600_000, "1 h ago"),
            (172_799_999, "47 h ago"),
            (172_800_000, "2 days ago"),
        ] {
            assert_eq!(ago(now, now.plus_millis(-millis)), expected, "{millis}");
        }
        for (millis, expected) in [(-1, "now"), (0, "now"), (1, "in 1 s"), (40_000, "in 40 s"), (90_000, "in 1 min")] {
            assert_eq!(until(now, now.plus_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        for (value, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_300_000, "1.2 MiB"), (u64::MAX, "1717986918.3 GiB")]
        {
            assert_eq!(bytes(value), expected);
        }
        assert_eq!((round_trip(0).as_str(), round_trip(23).as_str()), ("round trip under 1 ms", "round trip 23 ms"));
        assert_eq!((count(1, "change", "changes"), count(0, "change", "changes")), ("1 change".into(), "0 changes".into()));
    }

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        for (text, width, expected) in
            [("hello", 5, "hello"), ("hello", 4, "hel…"), ("漢字漢字", 5, "漢字…"), ("x", 0, ""), ("ab", 1, "…")]
        {
            assert_eq!(cut(text, width), expected, "{text} {width}");
        }
    }

    #[test]
    fn a_line_is_broken_at_words_and_goes_on_at_its_indentation() {
        for (text, indent, width, expected) in [
            ("  one two three four", 2, Some(11), "  one two\n  three\n  four"),
            ("one  two", 0, Some(8), "one  two"),
            ("one  two", 0, Some(7), "one\ntwo"),
            ("see `aectl outbox list` now", 0, Some(20), "see\n`aectl outbox list`\nnow"),
            ("see `aectl outbox list`", 0, Some(12), "see `aectl\noutbox list`"),
            ("it`s not closed here", 0, Some(9), "it`s not\nclosed\nhere"),
            ("a 0af0c1d2-aaaa-4bbb b", 0, Some(10), "a\n0af0c1d2-aaaa-4bbb\nb"),
            ("漢字 漢字", 0, Some(8), "漢字\n漢字"),
            ("\u{1b}[2mone\u{1b}[0m two", 0, Some(7), "\u{1b}[2mone\u{1b}[0m two"),
            ("a name  b c", 8, Some(10), "a name  b\n  c"),
            ("one two", 0, None, "one two"),
            ("", 2, Some(10), ""),
        ] {
            assert_eq!(wrap(text, indent, width), expected, "{text} {width:?}");
        }
    }

    #[test]
    fn a_cell_is_broken_within_words_where_it_must_be() {
        assert_eq!(fill("a longword 漢字漢", 5), ["a", "longw", "ord", "漢字", "漢"]);
        assert_eq!(fill("", 5), [""]);
    }

    #[test]
    fn the_rest_is_cut_on_the_last_line_or_has_a_line_of_its_own() {
        let shown = |width| head_and_rest("7  upsert  0af0c1d2", "title=Call back", 3, width, |rest| format!("<{rest}>"));
        assert_eq!(shown(None), "7  upsert  0af0c1d2  <title=Call back>");
        assert_eq!(shown(Some(32)), "7  upsert  0af0c1d2  <title=Call…>");
        assert_eq!(shown(Some(24)), "7  upsert  0af0c1d2\n   <title=Call back>");
        assert_eq!(shown(Some(16)), "7  upsert\n   0af0c1d2\n   <title=Call b…>");
    }
}
