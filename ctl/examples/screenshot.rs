//! A picture of what a program shows in a terminal, as SVG: `screenshot FILE ROWS COLUMNS KEYS TEXT PROGRAM [ARGUMENT...]`.
//!
//! KEYS are typed once something is there (`-` for none); the picture is taken when TEXT is on the screen. `ctl/screenshots` calls it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a tool of the developers, which may fail loudly"
)]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use vt100::{Color, Parser, Screen};

/// How long the program may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// The width of a character, in tenths of a pixel; the height of a line and the margin, in pixels.
const WIDTH: u32 = 84;
const HEIGHT: u32 = 18;
const MARGIN: u32 = 12;
/// Of the picture.
const BACKGROUND: &str = "#1d2021";
const FOREGROUND: &str = "#ebdbb2";
/// The sixteen colours that terminals have names for.
const NAMED: [&str; 16] = [
    "#504945", "#fb4934", "#8ec07c", "#fabd2f", "#83a598", "#d3869b", "#8ec0c0", "#d5c4a1", "#7c6f64", "#fb4934", "#b8bb26",
    "#fe8019", "#83a598", "#d3869b", "#8ec07c", "#fbf1c7",
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, rows, columns, keys, text, program, arguments @ ..] = words.as_slice() else {
        eprintln!("screenshot FILE ROWS COLUMNS KEYS TEXT PROGRAM [ARGUMENT...]");
        std::process::exit(2);
    };
    let (rows, columns) = (rows.parse().expect("ROWS is a number"), columns.parse().expect("COLUMNS is a number"));
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    let screen = show(command, rows, columns, keys, text);
    std::fs::write(file, picture(&screen, rows, columns)).expect("the file can be written");
}

/// Runs the program until it shows the text.
fn show(command: CommandBuilder, rows: u16, columns: u16, keys: &str, text: &str) -> Screen {
    let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let screen = Arc::new(Mutex::new(Parser::new(rows, columns, 0)));
    let mut output = pair.master.try_clone_reader().expect("its output");
    let shown = Arc::clone(&screen);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            shown.lock().expect("no panic").process(&bytes[..count]);
        }
    });
    let mut typed = keys == "-";
    let mut input = pair.master.take_writer().expect("its input");
    let start = Instant::now();
    let seen = loop {
        let seen = screen.lock().expect("no panic").screen().clone();
        let now = seen.contents();
        if typed && now.contains(text) {
            break seen;
        }
        if !typed && now.contains("q quit") {
            input.write_all(keys.as_bytes()).expect("it reads");
            typed = true;
        }
        assert!(start.elapsed() < PATIENCE, "{text:?} did not come; the screen is:\n{now}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    seen
}

fn picture(screen: &Screen, rows: u16, columns: u16) -> String {
    let last = (0..rows).rev().find(|row| (0..columns).any(|column| cell_text(screen, *row, column) != " ")).unwrap_or(0);
    let (width, height) = (u32::from(columns) * WIDTH / 10 + 2 * MARGIN, (u32::from(last) + 1) * HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', \
         Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..=last {
        let mut column = 0;
        while column < columns {
            let style = style(screen, row, column);
            let mut run = String::new();
            let first = column;
            while column < columns && self::style(screen, row, column) == style {
                run.push_str(&cell_text(screen, row, column));
                column += 1;
            }
            draw(&mut svg, row, first, column - first, &run, &style);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A piece of a line in one style.
fn draw(svg: &mut String, row: u16, column: u16, cells: u16, run: &str, style: &Style) {
    let (x, y) = (MARGIN + u32::from(column) * WIDTH / 10, MARGIN + u32::from(row) * HEIGHT);
    let width = u32::from(cells) * WIDTH / 10;
    if let Some(background) = &style.background {
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{background}\"/>");
    }
    if run.trim().is_empty() {
        return;
    }
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    let text = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" fill=\"{}\"{weight} textLength=\"{width}\" lengthAdjust=\"spacing\" xml:space=\"preserve\">{text}</text>",
        y + 14,
        style.foreground
    );
}

#[derive(PartialEq)]
struct Style {
    foreground: String,
    background: Option<String>,
    bold: bool,
}

fn style(screen: &Screen, row: u16, column: u16) -> Style {
    let Some(cell) = screen.cell(row, column) else {
        return Style { foreground: FOREGROUND.to_owned(), background: None, bold: false };
    };
    let (mut foreground, mut background) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    if cell.inverse() {
        (foreground, background) = (background.or(Some(BACKGROUND.to_owned())), foreground.or(Some(FOREGROUND.to_owned())));
    }
    let faint = if cell.dim() { "#a89984" } else { FOREGROUND };
    Style { foreground: foreground.unwrap_or_else(|| faint.to_owned()), background, bold: cell.bold() }
}

fn colour(colour: Color) -> Option<String> {
    match colour {
        Color::Default => None,
        Color::Idx(index) => Some(NAMED.get(usize::from(index)).copied().unwrap_or(FOREGROUND).to_owned()),
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
    }
}

fn cell_text(screen: &Screen, row: u16, column: u16) -> String {
    let text = screen.cell(row, column).map(|cell| cell.contents().to_owned()).unwrap_or_default();
    if text.is_empty() { " ".to_owned() } else { text }
}
