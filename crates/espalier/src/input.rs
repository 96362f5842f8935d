//! Text lines from a file or from standard input.

use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The lines of a file, or of standard input when no file is given or it is `-`. Line ends are cut off; empty lines are texts too.
pub fn read_lines(path: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let path = path.filter(|path| *path != Path::new("-"));
    let (reader, name): (Box<dyn BufRead>, _) = match path {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
            (Box::new(BufReader::new(file)), path.display().to_string())
        }
        None => (Box::new(std::io::stdin().lock()), "standard input".to_string()),
    };
    let lines = reader.lines().enumerate();
    lines.map(|(index, line)| line.with_context(|| format!("{name}:{}: not UTF-8 text", index + 1))).collect()
}
