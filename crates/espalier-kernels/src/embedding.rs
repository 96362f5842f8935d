//! Sum of word, position and token-type embeddings, gathered by row.

use crate::parallel::for_each_chunk;
use crate::stored::Rows;

/// Rows per task.
const ROWS: usize = 32;

/// The tables of an encoder's input, each a stack of rows of width H.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingTables<'a> {
    /// H.
    pub width: usize,
    /// [vocabulary, H]; only the rows of the batch are read.
    pub word_embeddings: Rows<'a>,
    /// [longest text, H].
    pub position_embeddings: &'a [f32],
    /// The row `[H]` of the only token type that single texts use; empty for encoders without token
    /// types.
    pub token_type_embedding: &'a [f32],
}

/// `out[t]` = `word_embeddings[ids[t]]` + `position_embeddings[positions[t]]` +
/// token_type_embedding, [T, H] (BERT, arXiv 1810.04805).
///
/// ```
/// use espalier_kernels::Rows;
/// use espalier_kernels::embedding::{EmbeddingTables, embed};
///
/// let tables = EmbeddingTables {
///     width: 2,
///     word_embeddings: Rows::F32(&[1.0, 2.0, 3.0, 4.0]),
///     position_embeddings: &[10.0, 10.0, 20.0, 20.0],
///     token_type_embedding: &[],
/// };
/// let mut out = [0.0; 4];
/// embed(tables, &[1, 0], &[0, 1], &mut out);
/// assert_eq!(out, [13.0, 14.0, 21.0, 22.0]);
/// ```
///
/// # Panics
/// If an id or a position has no row, or the shapes do not fit.
pub fn embed(tables: EmbeddingTables, ids: &[u32], positions: &[u32], out: &mut [f32]) {
    let width = tables.width;
    assert!(
        ids.len() == positions.len() && out.len() == ids.len() * width,
        "embed: shapes do not fit"
    );
    assert!([0, width].contains(&tables.token_type_embedding.len()), "embed: shapes do not fit");
    let row = |id: u32| id as usize * width..(id as usize + 1) * width;
    match tables.word_embeddings {
        Rows::F32(words) => sum(tables, |id| words[row(id)].iter().copied(), ids, positions, out),
        Rows::Bf16(words) => {
            sum(tables, |id| words[row(id)].iter().map(|w| w.to_f32()), ids, positions, out)
        }
        Rows::Int8 { bytes, scales } => {
            let word = |id: u32| bytes[row(id)].iter().zip(std::iter::repeat(scales[id as usize]));
            sum(
                tables,
                |id| word(id).map(|(&byte, scale)| scale * f32::from(byte)),
                ids,
                positions,
                out,
            );
        }
    }
}

/// [`embed`], where `word` reads a row of the word embeddings.
fn sum<W: Iterator<Item = f32>>(
    tables: EmbeddingTables,
    word: impl Fn(u32) -> W + Sync,
    ids: &[u32],
    positions: &[u32],
    out: &mut [f32],
) {
    let width = tables.width;
    for_each_chunk(out, ROWS * width, &|block, out| {
        let (ids, positions) = (&ids[block * ROWS..], &positions[block * ROWS..]);
        for ((out, &id), &position) in out.chunks_exact_mut(width).zip(ids).zip(positions) {
            let position = &tables.position_embeddings[position as usize * width..][..width];
            for ((out, w), p) in out.iter_mut().zip(word(id)).zip(position) {
                *out = w + p;
            }
            add(out, tables.token_type_embedding);
        }
    });
}

/// Where the gradients of the tables are accumulated, shaped as [`EmbeddingTables`].
#[derive(Debug)]
pub struct EmbeddingTablesMut<'a> {
    /// H.
    pub width: usize,
    /// [vocabulary, H]; only the rows in the batch are touched.
    pub word_embeddings: &'a mut [f32],
    /// [longest text, H].
    pub position_embeddings: &'a mut [f32],
    /// `[H]`, or empty.
    pub token_type_embedding: &'a mut [f32],
}

/// Backward pass of [`embed`]: adds each row of `d_out` [T, H] to the gradients of the three rows
/// that it is the sum of, in the order of the tokens.
///
/// # Panics
/// If an id or a position has no row, or the shapes do not fit.
pub fn embed_backward(
    ids: &[u32],
    positions: &[u32],
    d_out: &[f32],
    gradients: EmbeddingTablesMut,
) {
    let width = gradients.width;
    assert!(
        ids.len() == positions.len() && d_out.len() == ids.len() * width,
        "embed_backward: shapes do not fit"
    );
    assert!(
        [0, width].contains(&gradients.token_type_embedding.len()),
        "embed_backward: shapes do not fit"
    );
    for ((row, &id), &position) in d_out.chunks_exact(width).zip(ids).zip(positions) {
        add(&mut gradients.word_embeddings[id as usize * width..][..width], row);
        add(&mut gradients.position_embeddings[position as usize * width..][..width], row);
        add(gradients.token_type_embedding, row);
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
