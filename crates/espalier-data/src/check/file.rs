//! The check of one file, row by row.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use espalier_encoder::{Family, Tokenizer};
use serde_json::Value;

use super::file_kind::FileKind;
use super::findings::{Findings, Problem};
use super::report::FileReport;
use super::rows::{Row, Text, Train};
use super::statistics::{Group, LengthCounts, Lengths, NameCounts};
use crate::error::{DataError, RecordError};
use crate::formats::{Format, format_of, format_of_documents, looks_tagged};
use crate::records::concepts::{Annotation, parse_sentence};
use crate::records::documents::parse_document;
use crate::records::examples::Example;
use crate::records::fields::Fields;
use crate::records::pairs::{default_source, parse_pair};
use crate::records::read_examples::parse_example;
use crate::records::schemes::{Scheme, TagReader};

/// The state of a check.
pub(super) struct FileCheck<'a> {
    path: PathBuf,
    role: Option<&'static str>,
    kind: Option<FileKind>,
    tokenizer: Option<&'a Tokenizer>,
    tags: TagReader,
    rows: u64,
    /// Lengths in words, by the role of the text.
    words: BTreeMap<&'static str, LengthCounts>,
    /// Lengths in tokens, by the role of the text.
    tokens: BTreeMap<&'static str, LengthCounts>,
    names: NameCounts,
    /// The line and the target of each input, by fingerprints.
    seen: HashMap<u64, (usize, u64)>,
    findings: Findings,
}

impl<'a> FileCheck<'a> {
    /// `role` is the split of a task that the file is, `kind` what it must hold, if that is known.
    pub fn new(
        path: &Path,
        role: Option<&'static str>,
        kind: Option<FileKind>,
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
            names: NameCounts::default(),
            seen: HashMap::new(),
            findings: Findings::default(),
        }
    }

    /// Reads the file. `train` is the train split of its task; if the file is that split, it is
    /// set.
    pub fn run(mut self, train: &mut Option<Train>) -> FileReport {
        let format = self.format();
        let records = match (format.open)(&self.path) {
            Ok(records) => records,
            Err(error) => {
                self.invalid(&error);
                return self.finish("unreadable".into(), train);
            }
        };
        let format = match records.compression() {
            Some(compression) => format!("{}, {compression}", format.name),
            None => format.name.to_owned(),
        };
        for record in records {
            match record {
                Ok((line, value)) => self.record(line, &value, train.as_ref()),
                Err(error) => self.invalid(&error),
            }
        }
        self.finish(format, train)
    }

    /// The format by the file's name. A `.txt` file of unknown kind is CoNLL columns if its first
    /// lines look like that, otherwise plain text.
    fn format(&self) -> &'static Format {
        let (documents, records) = (format_of_documents(&self.path), format_of(&self.path));
        let holds_documents = match self.kind {
            Some(kind) => kind == FileKind::Texts,
            // Opened only where it matters: a pipe cannot be read twice.
            None => documents.name != records.name && !looks_tagged(&self.path),
        };
        if holds_documents { documents } else { records }
    }

    fn invalid(&mut self, error: &DataError) {
        self.rows += 1;
        self.findings.add(Problem::Wrong, || error.to_string());
    }

    fn record(&mut self, line: usize, value: &Value, train: Option<&Train>) {
        match self.parse(line, value) {
            Ok(row) => {
                self.rows += 1;
                self.check(line, row, train);
            }
            Err(problem) => {
                self.invalid(&DataError::Record { path: self.path.clone(), line, problem });
            }
        }
    }

    /// Parses a record as what the file holds. If that is not known, the first record that is of a
    /// kind decides it.
    fn parse(&mut self, line: usize, value: &Value) -> Result<Row, RecordError> {
        let Some(kind) = self.kind.or_else(|| FileKind::of(value)) else {
            return Err(RecordError::UnknownKind {
                found: Fields::of(value).map_or("no keys".into(), Fields::keys),
            });
        };
        self.kind = Some(kind);
        Ok(match kind {
            FileKind::Pairs => Row::of_pair(parse_pair(value, &default_source(&self.path))?),
            FileKind::Texts => Row::of_document(parse_document(value)?),
            FileKind::Concepts => self.sentence(line, value, Annotation::Required)?,
            FileKind::Sentences => self.sentence(line, value, Annotation::Optional)?,
            FileKind::Task(mut family) => {
                let example = parse_example(value, line, &mut self.tags)?;
                example.check_family(&mut family)?;
                self.kind = Some(FileKind::Task(family));
                match example {
                    Example::Ner(text) => Row::of_annotated(text),
                    Example::Classification(text) => Row::of_text(text),
                }
            }
        })
    }

    fn sentence(
        &mut self,
        line: usize,
        value: &Value,
        annotation: Annotation,
    ) -> Result<Row, RecordError> {
        parse_sentence(value, line, &mut self.tags, annotation).map(Row::of_sentence)
    }

    /// Collects the problems and the statistics of a row.
    fn check(&mut self, line: usize, row: Row, train: Option<&Train>) {
        let place = |what: &str| format!("{}:{line}: {what}", self.path.display());
        let shown = || row.texts.first().map(|(_, text)| text.excerpt()).unwrap_or_default();
        for (problem, what) in &row.problems {
            self.findings.add(*problem, || place(what));
        }
        match self.seen.entry(row.input) {
            Entry::Occupied(entry) => {
                let &(first, target) = entry.get();
                let same = target == row.target;
                let problem = if same { Problem::Duplicate } else { Problem::Conflict };
                self.findings.add(problem, || place(&format!("as line {first}: {}", shown())));
            }
            Entry::Vacant(entry) => _ = entry.insert((line, row.target)),
        }
        if let Some(train) = train {
            if train.inputs.contains(&row.input) {
                self.findings.add(Problem::InTrain, || place(&shown()));
            }
            let unknown = row.names.iter().find(|(label, _)| !train.labels.contains(label));
            if let Some((label, _)) = unknown {
                self.findings.add(Problem::UnknownLabel, || place(label));
            }
        }
        for (role, text) in &row.texts {
            self.words.entry(role).or_default().add(text.words());
            let Some(tokenizer) = self.tokenizer else { continue };
            let encoded = match text {
                Text::Plain(text) => tokenizer.encode(text),
                Text::Words(words) => tokenizer.encode_words(words),
            };
            self.tokens.entry(role).or_default().add(encoded.ids.len());
            // Documents are cut into pieces; nothing of them is lost.
            if encoded.truncated && self.kind != Some(FileKind::Texts) {
                self.findings.add(Problem::Truncated, || place(&text.excerpt()));
            }
        }
        row.names.iter().for_each(|(name, words)| self.names.add(name, *words));
    }

    fn finish(mut self, format: String, train: &mut Option<Train>) -> FileReport {
        if let Some(what) = self.too_few() {
            self.findings.add(Problem::TooFew, || format!("{}: {what}", self.path.display()));
        }
        let scheme = self.tags.scheme();
        if let (Some(Scheme::IobWithStrays), Some(line)) = (scheme, self.tags.first_stray()) {
            self.findings.add(Problem::StrayTag, || {
                format!("{}:{line}: the first of them", self.path.display())
            });
        }
        if self.role == Some("train") {
            *train = Some(Train {
                inputs: self.seen.keys().copied().collect(),
                labels: self.names.names().map(str::to_owned).collect(),
            });
        }
        let has_entities = matches!(
            self.kind,
            Some(FileKind::Task(Some(Family::Ner)) | FileKind::Concepts | FileKind::Sentences)
        );
        FileReport {
            lengths: [lengths(&self.words, "words"), lengths(&self.tokens, "tokens")].concat(),
            groups: self.group().into_iter().collect(),
            path: self.path,
            role: self.role,
            format,
            kind: self.kind.filter(|&kind| kind != FileKind::Task(None)),
            rows: self.rows,
            scheme: scheme.filter(|_| has_entities).map(Scheme::name),
            findings: self.findings.finish(),
        }
    }

    /// What the file has too little of to train on.
    fn too_few(&self) -> Option<&'static str> {
        let is_train = self.role == Some("train");
        match self.kind {
            _ if self.rows == 0 => Some("no records"),
            Some(FileKind::Task(Some(Family::Tc))) if is_train && self.names.len() < 2 => {
                Some("only one label")
            }
            Some(FileKind::Task(Some(Family::Ner))) if is_train && self.names.len() == 0 => {
                Some("no entity")
            }
            Some(FileKind::Pairs) if self.rows == 1 => {
                Some("a single pair, which has no negatives")
            }
            _ => None,
        }
    }

    /// The labels, concepts or sources of the file, if it has any.
    fn group(&self) -> Option<Group> {
        let mut group = self.names.summary(match self.kind {
            Some(FileKind::Pairs) => "sources",
            Some(FileKind::Concepts | FileKind::Sentences) => "concepts",
            _ => "labels",
        })?;
        if self.kind != Some(FileKind::Task(Some(Family::Ner))) {
            group.always_one_word.clear();
        }
        Some(group)
    }
}

fn lengths(counts: &BTreeMap<&'static str, LengthCounts>, unit: &str) -> Vec<Lengths> {
    let summary =
        |(role, counts): (&&str, &LengthCounts)| counts.summary(format!("{role}, {unit}"));
    counts.iter().filter_map(summary).collect()
}
