//! One file, row by row.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use espalier_encoder::Tokenizer;
use serde_json::Value;

use super::findings::{Findings, Problem};
use super::groups::Names;
use super::kind::Kind;
use super::lengths::Counted;
use super::report::FileReport;
use super::rows::{Row, Text, Train};
use crate::concepts::sentence;
use crate::examples::{Example, example};
use crate::formats::{Format, Records, looks_tagged};
use crate::pairs::{pair, stem};
use crate::row::Row as RecordKeys;
use crate::scheme::{Scheme, TagReader};
use crate::texts::document;
use crate::{Annotation, DataError, RecordError};

/// A file while it is checked.
pub(super) struct FileCheck<'a> {
    path: PathBuf,
    role: Option<&'static str>,
    kind: Option<Kind>,
    tokenizer: Option<&'a Tokenizer>,
    tags: TagReader,
    rows: u64,
    /// Lengths by what they are of.
    words: BTreeMap<&'static str, Counted>,
    tokens: BTreeMap<&'static str, Counted>,
    names: Names,
    /// For each input its line and answer.
    seen: HashMap<u64, (usize, u64)>,
    findings: Findings,
}

impl<'a> FileCheck<'a> {
    pub fn new(
        path: &Path,
        role: Option<&'static str>,
        kind: Option<Kind>,
        tokenizer: Option<&'a Tokenizer>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            role,
            kind,
            tokenizer,
            tags: TagReader::default(),
            rows: 0,
            words: BTreeMap::new(),
            tokens: BTreeMap::new(),
            names: Names::default(),
            seen: HashMap::new(),
            findings: Findings::default(),
        }
    }

    /// Reads the file. `train` is what is known of the training split, or becomes it.
    pub fn run(mut self, train: &mut Train) -> FileReport {
        let records = match Records::open_as(&self.path, self.format()) {
            Ok(records) => records,
            Err(error) => {
                self.wrong(&error);
                return self.finish("unreadable".into(), train);
            }
        };
        let format = match records.compression {
            Some(compression) => format!("{}, {compression}", records.format.name()),
            None => records.format.name().to_owned(),
        };
        for item in records {
            match item {
                Ok((line, value)) => self.record(line, &value, train),
                Err(error) => self.wrong(&error),
            }
        }
        self.finish(format, train)
    }

    /// A `.txt` file that nobody has said anything of is CoNLL if its first line looks like that.
    fn format(&self) -> Format {
        let (of_texts, of_records) = (Format::of_texts(&self.path), Format::of(&self.path));
        let is_text = match self.kind {
            Some(kind) => kind == Kind::Texts,
            // Looked into only where it matters: what comes through a pipe cannot be read twice.
            None => of_texts != of_records && !looks_tagged(&self.path),
        };
        if is_text { of_texts } else { of_records }
    }

    fn wrong(&mut self, error: &DataError) {
        self.rows += 1;
        self.findings.add(Problem::Wrong, || error.to_string());
    }

    fn record(&mut self, line: usize, value: &Value, train: &Train) {
        match self.row(line, value) {
            Ok(row) => {
                self.rows += 1;
                self.count(line, row, train);
            }
            Err(problem) => {
                self.wrong(&DataError::Record { path: self.path.clone(), line, problem })
            }
        }
    }

    /// A record as what the file holds; the first that is of a kind decides what that is, where it
    /// is not known.
    fn row(&mut self, line: usize, value: &Value) -> Result<Row, RecordError> {
        let known = match self.kind.or_else(|| Kind::of(value)) {
            Some(kind) => *self.kind.insert(kind),
            None => {
                return Err(RecordError::NoKind {
                    found: RecordKeys::of(value).map_or("no keys".into(), |row| row.keys()),
                });
            }
        };
        let (row, kind) = match known {
            Kind::Pairs => (Row::of_pair(pair(value, &stem(&self.path))?), known),
            Kind::Texts => (Row::of_document(document(value)?), known),
            Kind::Concepts | Kind::Sentences => {
                let annotation = if known == Kind::Concepts {
                    Annotation::Required
                } else {
                    Annotation::Optional
                };
                (Row::of_sentence(sentence(value, line, &mut self.tags, annotation)?), known)
            }
            Kind::Ner | Kind::Classification | Kind::Task => {
                match example(value, line, &mut self.tags)? {
                    Example::Ner(text) => (Row::of_annotated(text), Kind::Ner),
                    Example::Classification(text) => (Row::of_text(text), Kind::Classification),
                }
            }
        };
        if known != kind && known != Kind::Task {
            return Err(RecordError::MixedKinds { expected: known.name(), found: kind.name() });
        }
        self.kind = Some(kind);
        Ok(row)
    }

    fn count(&mut self, line: usize, row: Row, train: &Train) {
        let place = |what: &str| format!("{}:{line}: {what}", self.path.display());
        let shown = || row.texts.first().map(|(_, text)| text.excerpt()).unwrap_or_default();
        for (problem, what) in &row.problems {
            self.findings.add(*problem, || place(what));
        }
        match self.seen.entry(row.input) {
            std::collections::hash_map::Entry::Occupied(entry) => {
                let &(first, answer) = entry.get();
                let problem =
                    if answer == row.answer { Problem::Duplicate } else { Problem::Conflict };
                self.findings.add(problem, || place(&format!("as line {first}: {}", shown())));
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                _ = entry.insert((line, row.answer))
            }
        }
        if train.known {
            if train.inputs.contains_key(&row.input) {
                self.findings.add(Problem::InTrain, || place(&shown()));
            }
            if let Some((label, _)) =
                row.names.iter().find(|(label, _)| !train.labels.contains(label))
            {
                self.findings.add(Problem::UnknownLabel, || place(label));
            }
        }
        for (what, text) in &row.texts {
            self.words.entry(what).or_default().add(text.words());
            let Some(tokenizer) = self.tokenizer else { continue };
            let encoded = match text {
                Text::Plain(text) => tokenizer.encode(text),
                Text::Words(words) => tokenizer.encode_words(words),
            };
            self.tokens.entry(what).or_default().add(encoded.ids.len());
            // Running text is cut into pieces, of which none is lost.
            if encoded.truncated && self.kind != Some(Kind::Texts) {
                self.findings.add(Problem::Truncated, || place(&text.excerpt()));
            }
        }
        row.names.iter().for_each(|(name, words)| self.names.add(name, *words));
    }

    fn finish(mut self, format: String, train: &mut Train) -> FileReport {
        let entities = matches!(self.kind, Some(Kind::Ner | Kind::Concepts | Kind::Sentences));
        let too_few = match self.kind {
            _ if self.rows == 0 => Some("no records"),
            Some(Kind::Classification) if self.role == Some("train") && self.names.len() < 2 => {
                Some("only one label")
            }
            Some(Kind::Ner) if self.role == Some("train") && self.names.len() == 0 => {
                Some("no entity")
            }
            Some(Kind::Pairs) if self.rows == 1 => Some("a single pair, which has no negatives"),
            _ => None,
        };
        if let Some(what) = too_few {
            self.findings.add(Problem::TooFew, || format!("{}: {what}", self.path.display()));
        }
        let scheme = self.tags.scheme();
        if let (Some(Scheme::IobWithStrays), Some(line)) = (scheme, self.tags.first_stray()) {
            self.findings.add(Problem::StrayTag, || {
                format!("{}:{line}: the first of them", self.path.display())
            });
        }
        let of = match self.kind {
            Some(Kind::Pairs) => "sources",
            Some(Kind::Concepts | Kind::Sentences) => "concepts",
            _ => "labels",
        };
        let mut groups: Vec<_> = self.names.summary(of).into_iter().collect();
        if self.kind != Some(Kind::Ner) {
            groups.iter_mut().for_each(|group| group.always_one_word.clear());
        }
        if self.role == Some("train") {
            let inputs = self.seen.iter().map(|(&input, &(_, answer))| (input, answer)).collect();
            *train = Train {
                inputs,
                labels: self.names.names().map(str::to_owned).collect(),
                known: true,
            };
        }
        let lengths = |lengths: &BTreeMap<&'static str, Counted>, unit: &str| -> Vec<_> {
            lengths
                .iter()
                .filter_map(|(what, counted)| counted.summary(format!("{what}, {unit}")))
                .collect()
        };
        FileReport {
            lengths: [lengths(&self.words, "words"), lengths(&self.tokens, "tokens")].concat(),
            path: self.path,
            role: self.role,
            format,
            kind: self.kind.filter(|&kind| kind != Kind::Task),
            rows: self.rows,
            scheme: scheme.filter(|_| entities).map(Scheme::name),
            groups,
            findings: self.findings.finish(),
        }
    }
}
