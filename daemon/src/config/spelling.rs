//! Did you mean ...?

/// The candidate that `word` most likely is: it starts with it, or at most a third of it is different.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No key is longer, and the comparison takes time in the square of the length.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = |candidate: &'a str| {
        let distance = if candidate.starts_with(&word) || word.starts_with(candidate) { 1 } else { distance(&word, candidate) };
        (distance <= word.len().max(3) / 3).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Letters to insert, to remove, to replace or to swap with their neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        let mut previous_other = None;
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], back: usize| {
                column.checked_add(1).and_then(|end| end.checked_sub(back)).and_then(|index| line.get(index)).copied()
            };
            let replaced = at(&last, 1).map(|cost| cost.saturating_add(usize::from(letter != *other)));
            let swapped = (previous_letter == Some(*other) && previous_other == Some(letter))
                .then(|| at(&before, 2).map(|cost| cost.saturating_add(1)))
                .flatten();
            let removed = at(&last, 0).map(|cost| cost.saturating_add(1));
            let inserted = at(&current, 1).map(|cost| cost.saturating_add(1));
            current.push([replaced, swapped, removed, inserted].into_iter().flatten().min().unwrap_or_default());
            previous_other = Some(*other);
        }
        before = std::mem::replace(&mut last, current);
        previous_letter = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}
