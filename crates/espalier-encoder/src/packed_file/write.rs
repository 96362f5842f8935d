//! Writing a packed backbone.

use super::header::{ALIGNMENT, Header, Section, Type, checksum};
use super::{
    PARAMETERS, PackedFile, Storage, TOKENIZER_JSON, WORD_EMBEDDINGS, WORDPIECE, linear_layers,
    scales_of, type_of,
};
use crate::encoder::Encoder;
use crate::error::Result;
use crate::files::Staged;
use crate::layout::Layout;
use crate::pooling::TextVectors;
use crate::tensors::check_finite;
use crate::tokenizer::SerializedTokenizer;
use espalier_kernels::{Bf16, Precision, quantize_rows};
use std::io::Write;
use std::path::Path;

/// What goes into a packed backbone.
pub(crate) struct Contents<'a> {
    pub encoder: &'a Encoder,
    pub weights: &'a [f32],
    pub fingerprint: &'a str,
    pub text_vectors: TextVectors,
    pub max_tokens: usize,
    pub tokenizer: TokenizerContents<'a>,
}

/// A tokenizer in a packed backbone.
pub(crate) enum TokenizerContents<'a> {
    /// BERT's.
    WordPiece(SerializedTokenizer<'a>),
    /// Any other, as its tokenizer.json.
    Json(&'a [u8]),
}

/// Writes a packed backbone with the number types of `storage` under a temporary name.
pub(crate) fn write(
    contents: Contents,
    storage: &Storage,
    path: &Path,
) -> Result<(PackedFile, Staged)> {
    let mut sections = Sections { path, list: Vec::new(), bytes: Vec::new() };
    let (encoder, weights) = (contents.encoder, contents.weights);
    sections.parameters(encoder, weights)?;
    let config = &encoder.config;
    let embeddings = encoder.layout.embeddings.word_embeddings(weights);
    let shape = [config.vocab_size, config.hidden_size];
    sections.matrix(WORD_EMBEDDINGS, storage.dtype_of(WORD_EMBEDDINGS), shape, embeddings)?;
    for (layer, at) in encoder.layout.layers.iter().enumerate() {
        let names = linear_layers(config, layer);
        for ((name, shape), linear) in names.into_iter().zip(at.linear_layers()) {
            sections.matrix(&name, storage.dtype_of(&name), shape, linear.view(weights).weight)?;
        }
    }
    sections.tokenizer(contents.tokenizer);
    let header = Header {
        dtype: storage.dtype.name().to_string(),
        fingerprint: contents.fingerprint.to_string(),
        config: config.clone(),
        text_vectors: contents.text_vectors,
        max_tokens: contents.max_tokens,
        sections: sections.list,
    };
    let start = header.to_bytes(path)?;
    let staged = Staged::new(path, |file| {
        file.write_all(&start)?;
        file.write_all(&sections.bytes)
    })?;
    let sizes = header.sections.into_iter().map(|section| (section.name, section.length)).collect();
    let bytes = start.len() + sections.bytes.len();
    Ok((PackedFile { path: path.to_path_buf(), bytes, sections: sizes }, staged))
}

/// The sections so far, one after the other.
struct Sections<'a> {
    /// The file, named in errors.
    path: &'a Path,
    list: Vec<Section>,
    bytes: Vec<u8>,
}

impl Sections<'_> {
    fn push(&mut self, name: &str, dtype: Type, shape: &[usize], bytes: Vec<u8>) {
        let offset = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(offset, 0);
        let (name, shape, length) = (name.to_string(), shape.to_vec(), bytes.len());
        self.list.push(Section { name, dtype, shape, offset, length, checksum: checksum(&bytes) });
        self.bytes.extend(bytes);
    }

    /// Everything but matrices, in a layout without matrices.
    fn parameters(&mut self, encoder: &Encoder, weights: &[f32]) -> Result<()> {
        let small = Layout::without_matrices(&encoder.config);
        let all = &encoder.layout.tensors;
        let kept =
            all.iter().filter(|spec| small.tensors.iter().any(|small| small.name == spec.name));
        let mut bytes = Vec::new();
        for spec in kept {
            let values = &weights[spec.range.clone()];
            check_finite(self.path, &spec.name, values, |value| value)?;
            bytes.extend(little_endian(values));
        }
        self.push(PARAMETERS, Type::F32, &[small.len()], bytes);
        Ok(())
    }

    fn tokenizer(&mut self, tokenizer: TokenizerContents) {
        let [settings, vocabulary, tokens] = WORDPIECE;
        match tokenizer {
            TokenizerContents::WordPiece(serialized) => {
                self.text(settings, &serialized.settings);
                self.text(vocabulary, &serialized.text);
                let bytes = serialized
                    .tokens
                    .as_flattened()
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                self.push(tokens, Type::U32, &[serialized.tokens.len(), 2], bytes);
            }
            TokenizerContents::Json(json) => self.text(TOKENIZER_JSON, json),
        }
    }

    fn text(&mut self, name: &str, bytes: &[u8]) {
        self.push(name, Type::U8, &[bytes.len()], bytes.to_vec());
    }

    /// A matrix, in int8 with its scales before it.
    fn matrix(
        &mut self,
        name: &str,
        dtype: Precision,
        shape: [usize; 2],
        values: &[f32],
    ) -> Result<()> {
        // The largest numbers of f32 are infinite in bf16.
        let rounded =
            |x: f32| if dtype == Precision::Bf16 { Bf16::from_f32(x).to_f32() } else { x };
        check_finite(self.path, name, values, rounded)?;
        let bytes = match dtype {
            Precision::F32 => little_endian(values).collect(),
            Precision::Bf16 => {
                values.iter().flat_map(|&x| Bf16::from_f32(x).to_bits().to_le_bytes()).collect()
            }
            Precision::Int8 => {
                let (mut bytes, mut scales) = (vec![0; values.len()], vec![0.0; shape[0]]);
                quantize_rows(values, &mut bytes, &mut scales);
                self.push(
                    &scales_of(name),
                    Type::F32,
                    &[shape[0]],
                    little_endian(&scales).collect(),
                );
                bytes.into_iter().map(|byte| byte as u8).collect()
            }
        };
        self.push(name, type_of(dtype), &shape, bytes);
        Ok(())
    }
}

fn little_endian(values: &[f32]) -> impl Iterator<Item = u8> {
    values.iter().flat_map(|value| value.to_le_bytes())
}
