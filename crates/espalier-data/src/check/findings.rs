//! What is wrong or odd, with the rows where it is.

use std::collections::BTreeMap;

use espalier_encoder::text::excerpt;
use serde::Serialize;

/// Rows shown of each finding.
const SHOWN: usize = 3;

/// Characters of each of them: a label may be a text of megabytes.
const LONGEST: usize = 500;

/// Something that a person should look at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// Rows that cannot be used at all, so that no training starts.
    Wrong,
    /// A text without anything but white space.
    Empty,
    /// The file has less than training needs.
    TooFew,
    /// The row is the same as an earlier one.
    Duplicate,
    /// The same text has another label or other entities elsewhere.
    Conflict,
    /// Anchor and positive are the same text.
    Same,
    /// Anchor and positive differ in case, punctuation or white space only.
    NearlySame,
    /// A hard negative is the anchor or a positive.
    NegativeIsPositive,
    /// A text without a letter or a digit.
    NoLetters,
    /// Characters that were lost or misread when the text was converted.
    Broken,
    /// A text of very many words.
    VeryLong,
    /// A text of more tokens than the encoder takes.
    Truncated,
    /// Entities that share words.
    Overlap,
    /// An entity of very many words.
    LongEntity,
    /// An `I-` that continues nothing.
    StrayTag,
    /// A label that never occurs in train.
    UnknownLabel,
    /// A text that is in train too.
    InTrain,
}

impl Problem {
    /// What it means, after a number of rows.
    pub fn describe(self) -> &'static str {
        match self {
            Problem::Wrong => "cannot be used; training would stop at the first",
            Problem::Empty => "without text",
            Problem::TooFew => "not enough to learn from",
            Problem::Duplicate => "the same as an earlier row",
            Problem::Conflict => "the text of an earlier row with another label or other entities",
            Problem::Same => "anchor and positive are the same: nothing to learn",
            Problem::NearlySame => {
                "anchor and positive differ in case, punctuation or spaces only: little to learn"
            }
            Problem::NegativeIsPositive => "a hard negative is the anchor or a positive",
            Problem::NoLetters => "a text without a letter or a digit",
            Problem::Broken => {
                "broken characters: a wrong encoding was assumed when the text was converted"
            }
            Problem::VeryLong => "more than 1000 words",
            Problem::Truncated => "longer than the encoder takes: the end is not read",
            Problem::Overlap => "entities share words",
            Problem::LongEntity => "an entity of more than 20 words",
            Problem::StrayTag => "an I- tag that continues nothing: read as a B-",
            Problem::UnknownLabel => "a label that never occurs in train",
            Problem::InTrain => "the text is in train too: scores flatter",
        }
    }

    /// Whether data with it cannot be used.
    pub fn is_fatal(self) -> bool {
        matches!(self, Problem::Wrong | Problem::TooFew)
    }
}

/// How often a problem occurs, with the first rows that have it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Finding {
    /// Which.
    pub problem: Problem,
    /// Number of rows.
    pub rows: u64,
    /// `file:line: what is there` of the first few.
    pub examples: Vec<String>,
}

/// Findings while they are gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(BTreeMap<Problem, (u64, Vec<String>)>);

impl Findings {
    pub fn add(&mut self, problem: Problem, example: impl FnOnce() -> String) {
        let (rows, examples) = self.0.entry(problem).or_default();
        *rows += 1;
        if examples.len() < SHOWN {
            examples.push(excerpt(&example(), LONGEST));
        }
    }

    pub fn finish(self) -> Vec<Finding> {
        let finding = |(problem, (rows, examples))| Finding { problem, rows, examples };
        self.0.into_iter().map(finding).collect()
    }
}
