//! The report of a check, as data and as text.

use std::fmt;
use std::path::{Path, PathBuf};

use espalier_encoder::text::{escape_control, excerpt};
use serde::Serialize;

use super::file_kind::FileKind;
use super::findings::Finding;
use super::statistics::{Group, Lengths};

/// Characters shown of a label.
const SHOWN_CHARACTERS: usize = 60;

/// The result of checking a file or a task.
///
/// Its `Display` is a report for people; it serializes to the JSON of `data check --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The file or the task's folder.
    pub path: PathBuf,
    /// Whether training can use it.
    pub usable: bool,
    /// The conclusion, in one line.
    pub verdict: String,
    /// The files.
    pub files: Vec<FileReport>,
}

/// The result of checking one file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Which split of a task it is: `train`, `dev` or `test`.
    pub role: Option<&'static str>,
    /// Format and compression.
    pub format: String,
    /// What the records are, if they are of a known kind.
    pub kind: Option<FileKind>,
    /// Number of records, including invalid ones.
    pub rows: u64,
    /// The scheme of the tags, if there are tags.
    pub scheme: Option<&'static str>,
    /// How long the texts are.
    pub lengths: Vec<Lengths>,
    /// Labels, concepts or sources.
    pub groups: Vec<Group>,
    /// Problems, with the rows that have them.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(path: &Path, files: Vec<FileReport>) -> Report {
        let findings = || files.iter().flat_map(|file| &file.findings);
        let fatal = findings().find(|finding| finding.problem.is_fatal());
        let odd: u64 = findings().map(|finding| finding.rows).sum();
        let verdict = match fatal {
            Some(finding) => {
                format!("cannot be used: {}", finding.examples.first().map_or("", String::as_str))
            }
            None if odd == 0 => "can be used; nothing odd was found".into(),
            None => format!(
                "can be used; {odd} {} to look at",
                if odd == 1 { "oddity" } else { "oddities" }
            ),
        };
        Report { path: path.to_owned(), usable: fatal.is_none(), verdict, files }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.files.iter().try_for_each(|file| write!(f, "{file}"))?;
        write!(f, "{}: {}", shown(&self.path), escape_control(&self.verdict))
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = self.kind.map_or("of no kind known here", FileKind::name);
        let scheme = self.scheme.map(|scheme| format!(", tags in {scheme}")).unwrap_or_default();
        writeln!(
            f,
            "{}: {}, {kind}{scheme}, {}",
            shown(&self.path),
            self.format,
            counted(self.rows, "rows")
        )?;
        self.lengths.iter().try_for_each(|lengths| writeln!(f, "  {lengths}"))?;
        self.groups.iter().try_for_each(|group| write_group(f, group))?;
        for finding in &self.findings {
            writeln!(f, "  {}: {}", counted(finding.rows, "rows"), finding.problem.describe())?;
            finding
                .examples
                .iter()
                .try_for_each(|example| writeln!(f, "    {}", escape_control(example)))?;
        }
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    escape_control(&path.display().to_string()).into_owned()
}

/// A number with its noun, which is passed in the plural.
fn counted(number: u64, nouns: &str) -> String {
    let noun = if number == 1 { nouns.strip_suffix('s').unwrap_or(nouns) } else { nouns };
    format!("{number} {noun}")
}

fn write_group(f: &mut fmt::Formatter, group: &Group) -> fmt::Result {
    let joined = |names: &[String]| {
        names.iter().map(|name| excerpt(name, SHOWN_CHARACTERS)).collect::<Vec<_>>().join(", ")
    };
    let most: Vec<String> = group
        .most
        .iter()
        .map(|(name, count)| format!("{} {count}", excerpt(name, SHOWN_CHARACTERS)))
        .collect();
    let dots = |shown: usize, all: usize| if shown < all { " ..." } else { "" };
    let (names, mentions) =
        (counted(group.distinct as u64, group.of), counted(group.mentions, "mentions"));
    writeln!(f, "  {names}, {mentions}: {}{}", most.join(", "), dots(most.len(), group.distinct))?;
    if group.once > 0 && group.of != "sources" {
        let names = joined(&group.seen_once);
        writeln!(
            f,
            "  {} seen once: {names}{}",
            group.once,
            dots(group.seen_once.len(), group.once)
        )?;
    }
    if !group.always_one_word.is_empty() {
        writeln!(
            f,
            "  never more than one word (no I- tag to learn): {}",
            joined(&group.always_one_word)
        )?;
    }
    Ok(())
}
