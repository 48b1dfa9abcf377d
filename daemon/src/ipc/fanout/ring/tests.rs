use super::*;

fn push_change_of(ring: &mut Ring, name: &str, line: &[u8]) {
    ring.push_changes([(name, line)].into_iter());
}

fn push_change(ring: &mut Ring, line: &[u8]) {
    push_change_of(ring, "a", line);
}

fn lines_from(ring: &Ring, index: u64) -> String {
    let (begin, ends) = ring.ends_from(index);
    let mut out = Vec::new();
    if let Some(end) = ends.last() {
        ring.copy(&(begin..end), &mut out);
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn lines_come_back_whole_also_when_they_wrap_around() {
    let limit = 4 * (size_of::<u64>() + 4) + size_of::<Stretch>();
    let mut ring = Ring::new(limit, "l", 0);
    for number in 0..100 {
        ring.push(Channel::Notification, Some("a"), format!("{number:03}\n").as_bytes());
        let first = ring.first();
        let expected: String = (first..=number).map(|n| format!("{n:03}\n")).collect();
        assert_eq!(lines_from(&ring, first), expected);
        assert!(ring.used() <= limit);
    }
    assert_eq!((ring.first(), ring.head()), (96, 100));
}

#[test]
fn a_change_is_found_by_its_seq_while_it_is_held() {
    let mut ring = Ring::new(4 * (size_of::<u64>() + 2) + 3 * size_of::<Stretch>(), "l", 10);
    assert_eq!(ring.index_of_change(10), None);
    assert_eq!(ring.index_of_change(11), Some(0));
    push_change(&mut ring, b"a\n");
    ring.push(Channel::Status, None, b"s\n");
    push_change(&mut ring, b"b\n");
    assert_eq!([11, 12, 13].map(|seq| ring.index_of_change(seq)), [Some(0), Some(2), Some(3)]);
    for _ in 0..3 {
        ring.push(Channel::Status, None, b"s\n");
    }
    assert_eq!([11, 12, 13].map(|seq| ring.index_of_change(seq)), [None, Some(2), Some(6)]);
    ring.pass_changes(20);
    assert_eq!([12, 20, 21].map(|seq| ring.index_of_change(seq)), [None, None, Some(6)]);
}

#[test]
fn whatever_comes_in_turn_every_line_is_told_apart_and_every_change_found() {
    // What each line is: its channel, its type, and the seq of the last change.
    let mut lines: Vec<(Channel, Option<&str>, u64)> = Vec::new();
    let mut ring = Ring::new(20 * size_of::<u64>() + 12 * size_of::<Stretch>(), "l", 0);
    let mut held_from = 0;
    let mut dice = 1_u32;
    for _ in 0..2_000 {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = ["a", "b"][(dice >> 9) as usize % 2];
        match (dice >> 16) % 8 {
            0..=4 => push_change_of(&mut ring, name, b"x\n"),
            5 => ring.push(Channel::Outbox, Some(name), b"x\n"),
            6 => ring.push(Channel::Status, None, b"x\n"),
            _ => {
                // The next change follows the last one, but what is between them was never here.
                ring.restart_feed("l", ring.feed().last);
                held_from = ring.head();
                continue;
            }
        }
        lines.push(match (dice >> 16) % 8 {
            0..=4 => (Channel::Change, Some(name), ring.feed().last),
            5 => (Channel::Outbox, Some(name), ring.feed().last),
            _ => (Channel::Status, None, ring.feed().last),
        });
        assert_eq!(ring.head(), lines.len() as u64);
        let held: Vec<_> = ring
            .spans_from(ring.first())
            .flat_map(|span| {
                let step = u64::from(span.channel == Channel::Change);
                let (seq, channel, name) = (span.seq, span.channel, span.entity_type);
                (0..span.lines.end - span.lines.start).map(move |number| (channel, name, seq + number * step))
            })
            .collect();
        let first = usize::try_from(ring.first()).expect("small");
        assert_eq!(held, lines[first..]);
        let from = ring.first().max(held_from);
        for seq in ring.feed().last.saturating_sub(30)..=ring.feed().last + 1 {
            let at = lines.iter().position(|line| line.0 == Channel::Change && line.2 == seq).map(|at| at as u64);
            let expected = if seq > ring.feed().last { Some(ring.head()) } else { at.filter(|at| *at >= from) };
            assert_eq!(ring.index_of_change(seq), expected, "{seq}");
        }
    }
    assert!(ring.first() > 1_000, "lines were dropped");
}

#[test]
fn changes_of_an_earlier_feed_are_not_found_in_a_new_one() {
    let mut ring = Ring::new(1 << 16, "old", 100);
    push_change(&mut ring, b"a\n");
    ring.restart_feed("new", 0);
    push_change(&mut ring, b"b\n");
    assert_eq!([0, 1, 2].map(|seq| ring.index_of_change(seq)), [None, Some(1), Some(2)]);
}

#[test]
fn a_line_larger_than_the_ring_is_counted_as_dropped() {
    let mut ring = Ring::new(64, "l", 0);
    ring.push(Channel::Outbox, Some("a"), &[b'x'; 100]);
    push_change(&mut ring, &[b'x'; 100]);
    assert_eq!((ring.used(), ring.first(), ring.head()), (0, 2, 2));
    assert_eq!(ring.index_of_change(1), None);
    let filter = Filter::new(&[Channel::Outbox], None);
    assert_eq!((ring.published(&filter), ring.dropped(&filter)), (1, 1));
}
