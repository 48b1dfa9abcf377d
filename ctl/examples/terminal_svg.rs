//! Runs a program in a pseudo-terminal and writes the screen that it shows as SVG.
//!
//! `terminal_svg OUT.svg COLUMNSxROWS TEXT=KEYS... -- PROGRAM ARGS...`: each time that TEXT is on the screen, KEYS are typed; an
//! empty KEYS only waits. The picture is of the screen behind the last one. Rows that are empty at the end are left out.
#![allow(clippy::print_stderr, reason = "a program of this repository's own")]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use vt100::{Cell, Color, Parser, Screen};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DEADLINE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A cell in pixels, and the room around the screen.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 12.0;

const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d5d8de";
/// The sixteen basic colours.
const BASIC: [&str; 16] = [
    "#16181d", "#e5636b", "#7fc46b", "#d9b45b", "#6aa6e8", "#c08ae0", "#5bbfc4", "#d5d8de", "#6b7280", "#ff7b83", "#98dd84",
    "#f0cb72", "#86bcf7", "#d6a3f3", "#76d7dc", "#ffffff",
];

fn main() -> Result<()> {
    let mut before: Vec<String> = std::env::args().skip(1).collect();
    let split = before.iter().position(|word| word == "--").ok_or("the program is missing: give it behind --")?;
    let program = before.split_off(split + 1);
    before.pop();
    let [out, size, steps @ ..] = before.as_slice() else { return Err("give OUT.svg and COLUMNSxROWS first".into()) };
    let (columns, rows) = size.split_once('x').ok_or("a size is written 80x24")?;
    let svg = shown(&program, columns.parse()?, rows.parse()?, steps)?;
    std::fs::write(out, &svg)?;
    eprintln!("{out}: {} bytes", svg.len());
    Ok(())
}

/// What the program shows when all steps are done.
fn shown(program: &[String], columns: u16, rows: u16, steps: &[String]) -> Result<String> {
    let pair = native_pty_system().openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })?;
    let (name, args) = program.split_first().ok_or("the program is missing")?;
    let mut command = CommandBuilder::new(name);
    command.args(args);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    let mut child = pair.slave.spawn_command(command)?;
    let mut output = pair.master.try_clone_reader()?;
    let mut keyboard = pair.master.take_writer()?;
    let parser = Arc::new(Mutex::new(Parser::new(rows, columns, 0)));
    let screen = Arc::clone(&parser);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            screen.lock().unwrap_or_else(PoisonError::into_inner).process(bytes.get(..count).unwrap_or_default());
        }
    });
    for step in steps {
        let (text, keys) = step.split_once('=').ok_or("a step is written TEXT=KEYS")?;
        let started = Instant::now();
        while !parser.lock().unwrap_or_else(PoisonError::into_inner).screen().contents().contains(text) {
            if started.elapsed() > DEADLINE {
                let seen = parser.lock().unwrap_or_else(PoisonError::into_inner).screen().contents();
                child.kill()?;
                return Err(format!("{text:?} was not shown within {DEADLINE:?}, but:\n{seen}").into());
            }
            std::thread::sleep(LOOK);
        }
        keyboard.write_all(keys.as_bytes())?;
    }
    // Charts have something to show after a few seconds.
    if let Some(pause) = std::env::var_os("SETTLE_SECONDS") {
        std::thread::sleep(Duration::from_secs(pause.to_string_lossy().parse()?));
    }
    let svg = svg(parser.lock().unwrap_or_else(PoisonError::into_inner).screen(), columns, rows)?;
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    Ok(svg)
}

fn svg(screen: &Screen, columns: u16, rows: u16) -> Result<String> {
    let used = screen.rows(0, columns).take(rows.into()).enumerate().filter(|(_, row)| !row.trim().is_empty()).last();
    let used = used.map_or(1, |(last, _)| u16::try_from(last).unwrap_or(rows) + 1);
    let (width, height) = (f64::from(columns) * WIDTH + 2.0 * MARGIN, f64::from(used) * HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..used {
        let mut column = 0;
        while column < columns {
            let Some(first) = screen.cell(row, column) else { break };
            let start = column;
            let mut text = String::new();
            while let Some(cell) = screen.cell(row, column).filter(|cell| same_style(cell, first)) {
                text.push_str(if cell.has_contents() { cell.contents() } else { " " });
                column += 1;
            }
            run(&mut svg, first, &text, (start, row, column - start))?;
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn same_style(a: &Cell, b: &Cell) -> bool {
    let style = |cell: &Cell| (cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.dim(), cell.inverse());
    style(a) == style(b)
}

/// Cells of one style, as wide as they are on a terminal whatever the font.
fn run(svg: &mut String, style: &Cell, text: &str, (column, row, cells): (u16, u16, u16)) -> Result<()> {
    let (x, y) = (MARGIN + f64::from(column) * WIDTH, MARGIN + f64::from(row) * HEIGHT);
    let (mut ink, mut paper) = (hex(style.fgcolor(), FOREGROUND), hex(style.bgcolor(), BACKGROUND));
    if style.inverse() {
        std::mem::swap(&mut ink, &mut paper);
    }
    if paper != BACKGROUND {
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>",
            f64::from(cells) * WIDTH
        )?;
    }
    // Words apart from each other are placed each by itself: spaces are not what all viewers keep.
    let mut at = 0_u16;
    for word in text.split_inclusive("  ") {
        let (shown, length) = (word.trim_end(), u16::try_from(word.chars().count())?);
        let lead = u16::try_from(shown.chars().take_while(|char| *char == ' ').count())?;
        let shown = shown.trim_start();
        if !shown.is_empty() {
            let (left, wide) = (x + f64::from(at + lead) * WIDTH, f64::from(u16::try_from(shown.chars().count())?) * WIDTH);
            let weight = if style.bold() { " font-weight=\"bold\"" } else { "" };
            let faint = if style.dim() { " opacity=\".65\"" } else { "" };
            let escaped = shown.replace('&', "&amp;").replace('<', "&lt;");
            let base = y + 13.5;
            writeln!(
                svg,
                "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{ink}\"{weight}{faint}>{escaped}</text>"
            )?;
        }
        at += length;
    }
    Ok(())
}

fn hex(color: Color, default: &str) -> String {
    match color {
        Color::Default => default.to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Idx(index) => match (BASIC.get(usize::from(index)), index) {
            (Some(basic), _) => (*basic).to_owned(),
            (None, 232..) => format!("#{0:02x}{0:02x}{0:02x}", 8 + (index - 232) * 10),
            (None, _) => {
                let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
                let cube = index - 16;
                format!("#{:02x}{:02x}{:02x}", level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
        },
    }
}
