//! The only way to print: results on standard output, where failing to write is an error, and notes
//! on standard error, where it is ignored.
//!
//! Control characters and the like are escaped, so that no file can manipulate the terminal.

use espalier_encoder::text::{escape_control, escape_control_lines, excerpt, is_hidden};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::fmt::{self, Arguments, Display};
use std::io::{self, ErrorKind, Write};

/// Maximum length of a note in characters; longer ones are cut.
const LONGEST_NOTE: usize = 4096;

/// Prints a line on standard output, like [`println!`], but returns an error instead of panicking.
macro_rules! say {
    ($($line:tt)*) => { $crate::output::line(format_args!($($line)*)) };
}

/// Prints a line on standard error, like [`eprintln!`], but ignores errors.
macro_rules! note {
    ($($line:tt)*) => { $crate::output::note(format_args!($($line)*)) };
}

/// Standard output cannot be written to.
#[derive(Debug)]
pub struct Unwritable(io::Error);

impl Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "standard output cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

impl Unwritable {
    /// Whether the reader of the output has closed it (`| head`), which is not an error.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl From<io::Error> for Unwritable {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

/// The function behind [`say!`]. Line ends are escaped, so that it stays one line.
pub fn line(line: Arguments) -> Result<(), Unwritable> {
    write(&format!("{}\n", escape_control(&line.to_string())))
}

/// Prints several lines, such as a table. Line ends are kept, so that values in them must have been
/// escaped.
pub fn lines(lines: impl Display) -> Result<(), Unwritable> {
    write(&escape_control_lines(&lines.to_string()))
}

/// Prints a value as one line of JSON.
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

/// The function behind [`note!`].
pub fn note(line: Arguments) {
    let line = format!("{}\n", excerpt(&line.to_string(), LONGEST_NOTE));
    // There is nowhere to report an error.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// An error message of several lines. What comes from files and servers in it must have been
/// escaped.
#[derive(Debug)]
pub struct Explanation(pub String);

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Explanation {}

/// Prints an error on standard error: one line, except for an [`Explanation`].
pub fn error(error: &anyhow::Error) {
    match error.downcast_ref::<Explanation>() {
        // There is nowhere to report a failure to write.
        Some(lines) => drop(
            io::stderr()
                .write_all(format!("error: {}\n", escape_control_lines(&lines.0)).as_bytes()),
        ),
        None => note!("error: {error:#}"),
    }
}

/// Compact JSON in which hidden characters are escapes, which parse to the same strings.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // All hidden characters are below U+10000, so that one escape is enough.
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
    fn json_escapes_hidden_characters_and_keeps_strings() {
        let text = "a\"\\\u{1b}[0m\u{7f}\u{9b}\u{202e}\u{2028}\n\u{fffd}🙂é";
        let mut out = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut out, Visible)).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(is_hidden), "{out:?}");
        assert!(out.contains("\\u007f\\u009b\\u202e\\u2028") && out.contains("🙂é"), "{out}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
