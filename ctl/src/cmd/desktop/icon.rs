//! The four signs of the indicator as pixels, so that no icon theme has to know them.

use aesync_protocol::StatusWord;

/// The side of the icons, in pixels: what panels show, and twice of it for dense screens.
pub(super) const SIDES: [u16; 2] = [22, 44];
/// Each pixel is looked at in so many rows and columns, which makes edges smooth.
const SAMPLES: u16 = 4;

/// One icon: rows of pixels of four bytes, alpha first, then red, green and blue.
pub(super) fn pixels(word: StatusWord, side: u16) -> Vec<u8> {
    let [red, green, blue] = color(word);
    let mut bytes = Vec::with_capacity(usize::from(side) * usize::from(side) * 4);
    for row in 0..side {
        for column in 0..side {
            let mut inside = 0;
            for sample in 0..SAMPLES * SAMPLES {
                let at = |pixel: u16, part: u16| {
                    (f32::from(pixel) + (f32::from(part) + 0.5) / f32::from(SAMPLES)) / f32::from(side) * 2.0 - 1.0
                };
                inside += u16::from(covers(word, at(column, sample % SAMPLES), at(row, sample / SAMPLES)));
            }
            let alpha = inside * 255 / (SAMPLES * SAMPLES);
            bytes.extend([u8::try_from(alpha).unwrap_or(u8::MAX), red, green, blue]);
        }
    }
    bytes
}

/// The colours of the indicator.
fn color(word: StatusWord) -> [u8; 3] {
    match word {
        StatusWord::Synced => [0x4C, 0xAF, 0x50],
        StatusWord::Syncing => [0x21, 0x96, 0xF3],
        StatusWord::Pending => [0xFF, 0x98, 0x00],
        StatusWord::Offline => [0xF4, 0x43, 0x36],
    }
}

/// Whether the sign covers a point; both coordinates go from -1 to 1, downwards and to the right.
fn covers(word: StatusWord, x: f32, y: f32) -> bool {
    let distance = x.hypot(y);
    match word {
        // A disk.
        StatusWord::Synced => distance < 0.8,
        // Two arcs that chase each other.
        StatusWord::Syncing => (0.5..0.85).contains(&distance) && (x - y).abs() > 0.35,
        // A triangle on its side.
        StatusWord::Pending => y < 0.7 && y > -0.85 + 2.0 * x.abs(),
        // A cross.
        StatusWord::Offline => (x.abs() - y.abs()).abs() < 0.28 && x.abs().max(y.abs()) < 0.8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alpha of each pixel as a digit.
    fn drawn(word: StatusWord) -> String {
        let bytes = pixels(word, 12);
        let rows = bytes.chunks(12 * 4).map(|row| {
            row.chunks(4)
                .map(|pixel| [' ', '.', 'o', '#'][usize::from(pixel[0]) * 3 / 255])
                .collect::<String>()
                .trim_end()
                .to_owned()
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_state_has_a_shape_of_its_own_beside_its_colour() {
        let words = [StatusWord::Synced, StatusWord::Syncing, StatusWord::Pending, StatusWord::Offline];
        insta::assert_snapshot!(words.map(|word| format!("{word}\n{}", drawn(word))).join("\n\n"));
    }

    #[test]
    fn an_icon_has_four_bytes_for_each_pixel() {
        for side in SIDES {
            assert_eq!(pixels(StatusWord::Pending, side).len(), usize::from(side).pow(2) * 4);
        }
    }
}
