//! Problems of a data file, with the rows that have them.

use std::collections::BTreeMap;

use espalier_encoder::text::excerpt;
use serde::Serialize;

/// Rows shown for each problem.
const SHOWN: usize = 3;

/// Characters shown of each row: a label may be a text of megabytes.
const SHOWN_CHARACTERS: usize = 500;

/// Something in a data file that one should look at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// A row that cannot be used at all, so that training would not start.
    Wrong,
    /// A text of white space only.
    Empty,
    /// The file has less than training needs.
    TooFew,
    /// The row is the same as an earlier one.
    Duplicate,
    /// An earlier row has the same text with another label or other entities.
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
    /// An `I-` tag that does not continue an entity.
    StrayTag,
    /// A label that does not occur in train.
    UnknownLabel,
    /// A text that is also in train.
    InTrain,
}

impl Problem {
    /// What it means, to be written after a number of rows.
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
            Problem::StrayTag => "an I- tag that does not continue an entity: read as a B-",
            Problem::UnknownLabel => "a label that never occurs in train",
            Problem::InTrain => "the text is in train too: scores will be too high",
        }
    }

    /// Whether a file that has it cannot be used.
    pub fn is_fatal(self) -> bool {
        matches!(self, Problem::Wrong | Problem::TooFew)
    }
}

/// How often a problem occurs, with the first rows that have it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Finding {
    /// The problem.
    pub problem: Problem,
    /// Number of rows.
    pub rows: u64,
    /// The first few rows, as `file:line: what is there`.
    pub examples: Vec<String>,
}

/// Collects findings.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(BTreeMap<Problem, (u64, Vec<String>)>);

impl Findings {
    pub fn add(&mut self, problem: Problem, example: impl FnOnce() -> String) {
        let (rows, examples) = self.0.entry(problem).or_default();
        *rows += 1;
        if examples.len() < SHOWN {
            examples.push(excerpt(&example(), SHOWN_CHARACTERS));
        }
    }

    pub fn finish(self) -> Vec<Finding> {
        let finding = |(problem, (rows, examples))| Finding { problem, rows, examples };
        self.0.into_iter().map(finding).collect()
    }
}
