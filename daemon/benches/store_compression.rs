//! Whether compressing values pays: their size, and the time that a value takes more when it is written and read, for rows as AdminEngine
//! has them. Values are compressed one by one, as they are stored: a read is of one record.
//!
//! `cargo bench -p aesyncd --bench store_compression`
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Rows of each size.
const ROWS: usize = 500;
/// How often each is written and read.
const ROUNDS: u32 = 20;
/// What texts are made of.
const WORDS: [&str; 40] = [
    "customer",
    "asked",
    "about",
    "the",
    "invoice",
    "of",
    "last",
    "month",
    "and",
    "would",
    "like",
    "to",
    "be",
    "called",
    "back",
    "on",
    "Tuesday",
    "after",
    "lunch",
    "renewal",
    "contract",
    "was",
    "sent",
    "by",
    "e-mail",
    "no",
    "answer",
    "so",
    "far",
    "meeting",
    "with",
    "their",
    "accountant",
    "planned",
    "price",
    "list",
    "delivery",
    "delayed",
    "again",
    "agreed",
];

/// Types of interactions.
const KINDS: [&str; 3] = ["call", "email", "meeting"];

/// A sequence of numbers that is the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn uuid(&mut self) -> String {
        let mut digits = || format!("{:04x}", self.below(0x1_0000));
        format!(
            "{}{}-{}-4{}-8{}-{}{}{}",
            digits(),
            digits(),
            digits(),
            &digits()[1..],
            &digits()[1..],
            digits(),
            digits(),
            digits()
        )
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            match self.below(4) {
                // Names and numbers, which no dictionary knows.
                0 => (0..5).for_each(|_| text.push(char::from(b'a' + u8::try_from(self.below(26)).unwrap()))),
                _ => text.push_str(WORDS[self.below(WORDS.len())]),
            }
            text.push(' ');
        }
        text
    }
}

/// A row whose JSON has about so many bytes.
fn row(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    let mut row = json!({
        "id": dice.uuid(),
        "type": KINDS[dice.below(KINDS.len())],
        "title": dice.text(20),
        "date": format!("2026-01-{:02}T{:02}:00:00.000Z", dice.below(28) + 1, dice.below(24)),
        "is_deleted": 0,
        "created_at": format!("2026-01-{:02}T10:00:{:02}.{:03}Z", dice.below(28) + 1, dice.below(60), dice.below(1000)),
        "updated_at": format!("2026-02-{:02}T10:00:{:02}.{:03}Z", dice.below(28) + 1, dice.below(60), dice.below(1000)),
    });
    let rest = bytes.saturating_sub(row.to_string().len() + 17);
    row["description"] = Value::from(dice.text(rest));
    row.to_string().into_bytes()
}

/// A way to compress, and back.
type Codec<'a> = (&'a str, Box<dyn FnMut(&[u8]) -> Vec<u8> + 'a>, Box<dyn FnMut(&[u8]) -> Vec<u8> + 'a>);

fn codecs(dictionary: &[u8]) -> Vec<Codec<'_>> {
    const MOST: usize = 1 << 20;
    let mut press = zstd::bulk::Compressor::new(1).unwrap();
    let mut open = zstd::bulk::Decompressor::new().unwrap();
    let mut press_known = zstd::bulk::Compressor::with_dictionary(1, dictionary).unwrap();
    let mut open_known = zstd::bulk::Decompressor::with_dictionary(dictionary).unwrap();
    vec![
        ("none", Box::new(<[u8]>::to_vec), Box::new(<[u8]>::to_vec)),
        ("lz4", Box::new(lz4_flex::compress_prepend_size), Box::new(|bytes| lz4_flex::decompress_size_prepended(bytes).unwrap())),
        (
            "zstd 1",
            Box::new(move |bytes| press.compress(bytes).unwrap()),
            Box::new(move |bytes| open.decompress(bytes, MOST).unwrap()),
        ),
        (
            "zstd 1, dictionary",
            Box::new(move |bytes| press_known.compress(bytes).unwrap()),
            Box::new(move |bytes| open_known.decompress(bytes, MOST).unwrap()),
        ),
    ]
}

/// The median time of one value, over all rounds.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    println!("{:>6}  {:<19} {:>6} {:>12} {:>12}", "bytes", "codec", "size", "put more", "get more");
    for bytes in [300, 2_000, 20_000] {
        let mut dice = Dice(7);
        let rows: Vec<Vec<u8>> = (0..ROWS).map(|_| row(&mut dice, bytes)).collect();
        let samples: Vec<Vec<u8>> = (0..2_000).map(|_| row(&mut dice, 300)).collect();
        let dictionary = zstd::dict::from_samples(&samples, 16 * 1024).unwrap();
        let total: usize = rows.iter().map(Vec::len).sum();
        for (name, mut press, mut open) in codecs(&dictionary) {
            let (mut puts, mut gets, mut size) = (Vec::new(), Vec::new(), 0);
            for round in 0..ROUNDS {
                for row in &rows {
                    let start = Instant::now();
                    let pressed = black_box(press(black_box(row)));
                    puts.push(start.elapsed());
                    let start = Instant::now();
                    let back = black_box(open(black_box(&pressed)));
                    gets.push(start.elapsed());
                    assert!(back == *row);
                    size += if round == 0 { pressed.len() } else { 0 };
                }
            }
            let ratio = size as f64 / total as f64;
            println!("{bytes:>6}  {name:<19} {ratio:>6.2} {:>12.1?} {:>12.1?}", median(puts), median(gets));
        }
    }
}
