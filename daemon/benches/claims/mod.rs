//! What the project says of a figure, and whether it is so in this run.

/// One line: the ratio, what it must be at least, and whether it is.
#[allow(dead_code, reason = "each bench uses a part")]
pub(crate) fn at_least(what: &str, ratio: f64, least: f64) {
    say(what, ratio, &format!("at least {least:.2}"), ratio >= least);
}

/// One line: the ratio, what it may be at most, and whether it is.
#[allow(dead_code, reason = "each bench uses a part")]
pub(crate) fn at_most(what: &str, ratio: f64, most: f64) {
    say(what, ratio, &format!("at most {most:.2}"), ratio <= most);
}

fn say(what: &str, ratio: f64, claim: &str, is_met: bool) {
    println!("claim: {what}: {ratio:.2}, {claim}: {}", if is_met { "met" } else { "NOT MET" });
}
