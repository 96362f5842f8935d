//! The only ways to print: lines on standard output, which must arrive, and notes on standard
//! error, which need not.
//!
//! All of them spell out control characters and the like, so that no file can do anything to a
//! terminal.

use espalier_encoder::text::{escape_control, escape_control_lines, excerpt, is_hidden};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::fmt::{self, Arguments, Display};
use std::io::{self, ErrorKind, Write};

/// Characters of a note: what a file makes longer than that is cut.
const LONGEST_NOTE: usize = 4096;

/// Prints a line on standard output, as [`println!`] does, but gives an error where that cannot be
/// written.
macro_rules! say {
    ($($line:tt)*) => { $crate::output::line(format_args!($($line)*)) };
}

/// Says something on standard error, in one line. Where that cannot be written, nothing happens.
macro_rules! note {
    ($($line:tt)*) => { $crate::output::note(format_args!($($line)*)) };
}

/// Standard output cannot be written.
#[derive(Debug)]
pub struct Unwritable(io::Error);

impl Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "standard output cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

impl Unwritable {
    /// Whether whoever reads our output has stopped early (`| head`): no reason to complain.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl From<io::Error> for Unwritable {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

/// What [`say!`] stands for. Line ends in what is printed are spelled out: a line stays one.
pub fn line(line: Arguments) -> Result<(), Unwritable> {
    write(&format!("{}\n", escape_control(&line.to_string())))
}

/// Prints lines that belong together, such as a table. Values in them are escaped where they are
/// put in.
pub fn lines(lines: impl Display) -> Result<(), Unwritable> {
    write(&escape_control_lines(&lines.to_string()))
}

/// Prints a value as JSON, in one line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Visible))?;
    text.push(b'\n');
    Ok(write(std::str::from_utf8(&text)?)?)
}

#[expect(clippy::disallowed_methods, reason = "everything else prints through this module")]
fn write(text: &str) -> Result<(), Unwritable> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// What [`note!`] stands for.
pub fn note(line: Arguments) {
    let line = format!("{}\n", excerpt(&line.to_string(), LONGEST_NOTE));
    // Nobody is left to tell.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// An error in several lines, which are the program's own; what files and servers put into it is
/// escaped.
#[derive(Debug)]
pub struct Explanation(pub String);

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Explanation {}

/// Says an error on standard error: in one line, but for an [`Explanation`].
pub fn error(error: &anyhow::Error) {
    match error.downcast_ref::<Explanation>() {
        // Nobody is left to tell.
        Some(lines) => drop(
            io::stderr()
                .write_all(format!("error: {}\n", escape_control_lines(&lines.0)).as_bytes()),
        ),
        None => note!("error: {error:#}"),
    }
}

/// Compact JSON in which every hidden character is an escape: strings are the same, and a terminal
/// is safe.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // None of them is beyond the characters that one escape can name.
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_hidden(c)) {
            write!(out, "{}\\u{:04x}", &rest[..at], u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_hides_nothing_and_changes_nothing() {
        let text = "a\"\\\u{1b}[0m\u{7f}\u{9b}\u{202e}\u{2028}\n\u{fffd}🙂é";
        let mut out = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut out, Visible)).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(is_hidden), "{out:?}");
        assert!(out.contains("\\u007f\\u009b\\u202e\\u2028") && out.contains("🙂é"), "{out}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
