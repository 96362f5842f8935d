//! Reads the files of a corpus into its parts.

use std::collections::HashMap;
use std::path::Path;

use espalier_encoder::Tokenizer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::CorpusConfig;
use super::pieces::{TextPiece, pieces};
use super::spool::{self, SpoolWriter};
use super::{Corpus, Part};
use crate::error::DataError;
use crate::records::concepts::{self, Annotation, ConceptSentence};
use crate::records::pairs::{self, TextPair};
use crate::sampling::{Shuffled, Weighted, generator};

/// The most sources that a corpus may have.
pub const MAX_SOURCES: usize = 1 << 16;

impl Corpus<TextPair> {
    /// The pairs of several files, with a part for each source that has two or more: the other
    /// pairs of a batch are the negatives of each. If there is no such source, the corpus is empty.
    ///
    /// # Errors
    /// The first record that cannot be read or is not valid, a file without records, more than
    /// [`MAX_SOURCES`] sources, a full disk.
    pub fn pairs(files: &[CorpusConfig], exponent: f64, seed: u64) -> Result<Self, DataError> {
        let mut builder = Builder::new("tc")?;
        for file in files {
            builder.add(file, pairs::pairs(&file.path)?, |pair: &TextPair| pair.source.clone())?;
        }
        builder.finish(2, exponent, seed)
    }
}

impl Corpus<ConceptSentence> {
    /// The sentences of several files. Files of one weight are one part, so that with equal weights
    /// an epoch goes over all files.
    ///
    /// # Errors
    /// The first record that cannot be read or is not valid, a file without records, a full disk.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::{Annotation, Corpus};
    ///
    /// let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/corpora");
    /// let files = [format!("{samples}/concepts.jsonl.gz").into()];
    /// let mut corpus = Corpus::sentences(&files, Annotation::Required, 7)?;
    /// assert_eq!(corpus.batch(16)?.len(), 16);
    /// # Ok::<(), espalier_data::DataError>(())
    /// ```
    pub fn sentences(
        files: &[CorpusConfig],
        annotation: Annotation,
        seed: u64,
    ) -> Result<Self, DataError> {
        let mut builder = Builder::new("ner")?;
        for file in files {
            let sentences = concepts::sentences(&file.path, annotation)?;
            builder.add(file, sentences, |_| file.weight.to_string())?;
        }
        builder.finish(1, 1.0, seed)
    }
}

impl Corpus<TextPiece> {
    /// The documents of several files as tokens, cut into pieces of at most `max_tokens`. Files of
    /// one weight are one part.
    ///
    /// # Errors
    /// The first record that cannot be read or is not valid, a file without words, a full disk.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::{Corpus, Role};
    /// use espalier_encoder::{Tokenizer, TokenizerLimits};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("book.txt");
    /// std::fs::write(&path, "the hotels in london\n\nthe trains\n")?;
    /// let backbone = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    /// let tokenizer = Tokenizer::read(backbone.as_ref(), TokenizerLimits::new(1000, 24))?;
    /// let mut corpus = Corpus::texts(&[path.into()], &tokenizer, 24, 7)?;
    /// for piece in corpus.batch(2)? {
    ///     assert_eq!(piece.roles[..2], [Role::Special, Role::First]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn texts(
        files: &[CorpusConfig],
        tokenizer: &Tokenizer,
        max_tokens: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let mut builder = Builder::new("mlm")?;
        for file in files {
            let pieces = pieces(&file.path, tokenizer, max_tokens)?;
            builder.add(file, pieces, |_| file.weight.to_string())?;
        }
        builder.finish(1, 1.0, seed)
    }
}

/// A corpus while its files are read.
struct Builder<T> {
    /// Distinguishes the random streams of corpora of one seed.
    purpose: &'static str,
    writer: SpoolWriter<T>,
    /// Number of each part by its name.
    numbers: HashMap<String, usize>,
    /// Names of the parts, and the sums of their records' weights.
    parts: Vec<(String, f64)>,
}

impl<T: Serialize + DeserializeOwned> Builder<T> {
    fn new(purpose: &'static str) -> Result<Self, DataError> {
        let writer = SpoolWriter::new().map_err(spool::failed)?;
        Ok(Self { purpose, writer, numbers: HashMap::new(), parts: Vec::new() })
    }

    fn add(
        &mut self,
        file: &CorpusConfig,
        records: impl Iterator<Item = Result<T, DataError>>,
        part_of: impl Fn(&T) -> String,
    ) -> Result<(), DataError> {
        let mut empty = true;
        for record in records {
            let record = record?;
            let part = self.part(part_of(&record), &file.path)?;
            self.writer.push(part, &record).map_err(spool::failed)?;
            self.parts[part].1 += file.weight;
            empty = false;
        }
        if empty { Err(DataError::Empty { path: file.path.clone() }) } else { Ok(()) }
    }

    /// The number of the part with this name, which is added if it is new.
    fn part(&mut self, name: String, path: &Path) -> Result<usize, DataError> {
        if let Some(&part) = self.numbers.get(&name) {
            return Ok(part);
        }
        if self.parts.len() == MAX_SOURCES {
            return Err(DataError::Sources { path: path.to_owned(), limit: MAX_SOURCES });
        }
        self.parts.push((name.clone(), 0.0));
        self.numbers.insert(name, self.parts.len() - 1);
        Ok(self.parts.len() - 1)
    }

    /// Leaves out parts of fewer than `min_size` records.
    fn finish(self, min_size: u64, exponent: f64, seed: u64) -> Result<Corpus<T>, DataError> {
        let purpose = self.purpose;
        let (mut parts, mut weights) = (Vec::new(), Vec::new());
        for (number, ((name, weight), &size)) in
            self.parts.iter().zip(self.writer.counts()).enumerate()
        {
            if size >= min_size {
                // The mean weight of the part's records, times size^exponent.
                weights.push(weight * (size as f64).powf(exponent - 1.0));
                let size = size as usize;
                let order =
                    Shuffled::new(size, generator(seed, &format!("{purpose} order {name}")));
                parts.push(Part { number, size, order, gaps: Vec::new() });
            }
        }
        let spool = self.writer.finish().map_err(spool::failed)?;
        // Without parts nothing is drawn.
        let weights = if weights.is_empty() { vec![0.0] } else { weights };
        let draw = Weighted::new(weights, generator(seed, &format!("{purpose} source")));
        Ok(Corpus { spool, parts, draw })
    }
}
