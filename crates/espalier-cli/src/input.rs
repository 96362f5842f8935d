//! Lines of text from a file or from standard input.

use anyhow::{Context, ensure};
use espalier_data::MAX_LINE_BYTES;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The lines of a file, or of standard input if `path` is `None` or `-`, without line ends. Empty
/// lines are texts too.
pub fn read_lines(path: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let path = path.filter(|path| *path != Path::new("-"));
    let (mut reader, name): (Box<dyn BufRead>, _) = match path {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
            (Box::new(BufReader::new(file)), path.display().to_string())
        }
        None => (Box::new(std::io::stdin().lock()), "standard input".to_string()),
    };
    let (mut texts, mut line) = (Vec::new(), Vec::new());
    loop {
        let place = format!("{name}:{}", texts.len() + 1);
        line.clear();
        // One byte more than allowed, to notice longer lines.
        let mut limited = reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        limited.read_until(b'\n', &mut line).with_context(|| place.clone())?;
        if line.is_empty() {
            return Ok(texts);
        }
        ensure!(
            line.len() <= MAX_LINE_BYTES,
            "{place}: longer than {MAX_LINE_BYTES} bytes: put one text on each line"
        );
        let text =
            std::str::from_utf8(&line).with_context(|| format!("{place}: not UTF-8 text"))?;
        let text =
            text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        texts.push(text.to_string());
    }
}
