//! Opening a packed backbone: all sections are checked, and then used in place.

use super::header::{Header, Section, Type, checksum};
use super::{
    PARAMETERS, TOKENIZER_JSON, WORD_EMBEDDINGS, WORDPIECE, linear_layers, scales_of, type_of,
};
use crate::compute::check_threads;
use crate::encoder::Encoder;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::packed::MappedMatrix;
use crate::pooling::TextVectors;
use crate::tensors::check_finite;
use crate::tokenizer::{SerializedTokenizer, Tokenizer, TokenizerLimits};
use espalier_kernels::mapped::{Mapped, Plain, View};
use espalier_kernels::{Bf16, Precision};
use rayon::prelude::*;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The weights of a packed backbone, in a file that is mapped or copied.
#[derive(Debug)]
pub(crate) struct MappedWeights {
    pub path: PathBuf,
    /// The number type of all matrices but those that are in bf16 instead.
    pub dtype: Precision,
    /// Everything but matrices, in a layout without matrices.
    pub parameters: View<f32>,
    pub word_embeddings: MappedMatrix,
    /// The linear layers of each transformer layer.
    pub layers: Vec<[MappedMatrix; 4]>,
    file: Arc<Mapped>,
}

impl MappedWeights {
    /// Whether products can be computed in a precision: in that of the file, from f32 in any, from
    /// bf16 in f32.
    pub fn computes_in(&self, precision: Precision) -> bool {
        self.dtype == precision
            || self.dtype == Precision::F32
            || (self.dtype, precision) == (Precision::Bf16, Precision::F32)
    }

    /// Lets the system drop pages that have been read; it reads them again if they are needed.
    pub fn release(&self) {
        self.file.release(0..self.file.bytes().len());
    }
}

/// What is in a packed backbone.
#[derive(Debug)]
pub(crate) struct Opened {
    pub encoder: Encoder,
    pub tokenizer: Tokenizer,
    pub text_vectors: TextVectors,
    pub fingerprint: String,
    pub weights: MappedWeights,
}

/// Opens a file, mapped or copied by `load`, and checks all of it.
pub(crate) fn open(path: &Path, load: fn(&Path) -> io::Result<Arc<Mapped>>) -> Result<Opened> {
    files::is_regular(path, u64::MAX)?;
    check_threads()?;
    let file = load(path).map_err(EncoderError::io(path))?;
    let (header, ranges) = Header::parse(path, file.bytes())?;
    let sections =
        Sections { path, file: &file, list: header.sections.iter().zip(ranges).collect() };
    header.config.validate().map_err(|what| EncoderError::unsupported(path, what))?;
    let dtype = Precision::ALL.into_iter().find(|precision| precision.name() == header.dtype);
    let dtype = dtype.ok_or_else(|| {
        sections.invalid(format!("its type {:?} is none of f32, bf16 and int8", header.dtype))
    })?;
    if !(2..=header.config.max_tokens()).contains(&header.max_tokens) {
        return Err(sections.invalid(format!(
            "texts of {} tokens are more than it has positions",
            header.max_tokens
        )));
    }
    let config = header.config.clone();
    // The tokenizer is built while the checksums are computed, since both take milliseconds. If its
    // section is damaged, the checksum is what is reported.
    let limits = TokenizerLimits { vocabulary: config.vocab_size, max_tokens: header.max_tokens };
    let tokenizer = || sections.tokenizer(limits);
    let (checked, tokenizer) = rayon::join(|| sections.check(), tokenizer);
    checked?;
    let tokenizer = tokenizer?;

    let layer = |layer| {
        let [a, b, c, d] =
            linear_layers(&config, layer).map(|(name, shape)| sections.matrix(&name, dtype, shape));
        Ok([a?, b?, c?, d?])
    };
    let shape = [config.vocab_size, config.hidden_size];
    let word_embeddings = sections.matrix(WORD_EMBEDDINGS, dtype, shape)?;
    let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
    let encoder = Encoder::without_matrices(config.clone());
    let parameters: View<f32> = sections.numbers(PARAMETERS, Type::F32, &[encoder.layout.len()])?;
    for spec in &encoder.layout.tensors {
        check_finite(path, &spec.name, &parameters[spec.range.clone()], |value| value)?;
    }
    let path = path.to_path_buf();
    let weights = MappedWeights { path, dtype, parameters, word_embeddings, layers, file };
    let (text_vectors, fingerprint) = (header.text_vectors, header.fingerprint);
    Ok(Opened { encoder, tokenizer, text_vectors, fingerprint, weights })
}

/// The sections of a file.
struct Sections<'a> {
    path: &'a Path,
    file: &'a Arc<Mapped>,
    list: Vec<(&'a Section, Range<usize>)>,
}

impl<'a> Sections<'a> {
    /// Compares all checksums, and checks that matrices are finite.
    fn check(&self) -> Result<()> {
        let faults = self
            .list
            .par_iter()
            .with_max_len(1)
            .map(|(section, range)| self.check_section(section, range));
        faults.find_map_first(Result::err).map_or(Ok(()), Err)
    }

    fn check_section(&self, section: &Section, range: &Range<usize>) -> Result<()> {
        let (name, bytes) = (&section.name, &self.file.bytes()[range.clone()]);
        if checksum(bytes) != section.checksum {
            return Err(
                self.invalid(format!("section {name:?} does not have the checksum that it should"))
            );
        }
        match section.dtype {
            // Checked later, by the names of its tensors.
            Type::F32 if name == PARAMETERS => Ok(()),
            Type::F32 => check_finite(self.path, name, bytes.as_chunks().0, f32::from_le_bytes),
            Type::Bf16 => check_finite(self.path, name, bytes.as_chunks().0, |bytes| {
                Bf16::from_bits(u16::from_le_bytes(bytes)).to_f32()
            }),
            Type::U8 | Type::Int8 | Type::U32 => Ok(()),
        }
    }

    fn invalid(&self, reason: String) -> EncoderError {
        EncoderError::PackedFile { path: self.path.to_path_buf(), reason }
    }

    fn section(&self, name: &str) -> Result<&(&'a Section, Range<usize>)> {
        let found = self.list.iter().find(|(section, _)| section.name == name);
        found.ok_or_else(|| self.invalid(format!("section {name:?} is missing")))
    }

    fn numbers<T: Plain>(&self, name: &str, dtype: Type, shape: &[usize]) -> Result<View<T>> {
        let (section, range) = self.section(name)?;
        if section.dtype != dtype || section.shape != shape {
            let (found, expected) = (&section.shape, shape);
            let reason = format!(
                "section {name:?} is {:?} {found:?}; {dtype:?} {expected:?} is needed",
                section.dtype
            );
            return Err(self.invalid(reason));
        }
        let view = self.file.view(range.clone());
        view.ok_or_else(|| {
            self.invalid(format!("section {name:?} cannot be read in place on this machine"))
        })
    }

    /// A matrix in the file's number type, or in bf16.
    fn matrix(&self, name: &str, dtype: Precision, shape: [usize; 2]) -> Result<MappedMatrix> {
        let in_bf16 = self.section(name)?.0.dtype == Type::Bf16;
        let dtype = if in_bf16 { Precision::Bf16 } else { dtype };
        let stored = type_of(dtype);
        Ok(match dtype {
            Precision::F32 => MappedMatrix::F32(self.numbers(name, stored, &shape)?),
            Precision::Bf16 => MappedMatrix::Bf16(self.numbers(name, stored, &shape)?),
            Precision::Int8 => MappedMatrix::Int8 {
                bytes: self.numbers(name, stored, &shape)?,
                scales: self.numbers(&scales_of(name), Type::F32, &shape[..1])?,
            },
        })
    }

    /// The first dimension of a section.
    fn rows(&self, name: &str) -> Result<usize> {
        Ok(self.section(name)?.0.shape.first().copied().unwrap_or(0))
    }

    fn text(&self, name: &str) -> Result<View<u8>> {
        self.numbers(name, Type::U8, &[self.rows(name)?])
    }

    fn tokenizer(&self, limits: TokenizerLimits) -> Result<Tokenizer> {
        if self.section(TOKENIZER_JSON).is_ok() {
            return Tokenizer::from_json(self.path, &self.text(TOKENIZER_JSON)?, limits);
        }
        let [settings, text, tokens] = WORDPIECE;
        let (settings, text) = (self.text(settings)?, self.text(text)?);
        let tokens: View<u32> = self.numbers(tokens, Type::U32, &[self.rows(tokens)?, 2])?;
        let serialized = SerializedTokenizer {
            settings: Cow::Borrowed(&settings),
            text: Cow::Borrowed(&text),
            tokens: Cow::Borrowed(tokens.as_chunks().0),
        };
        Tokenizer::from_serialized(self.path, &serialized, limits)
    }
}
