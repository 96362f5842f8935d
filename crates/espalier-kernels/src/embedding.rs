//! Sum of word, position and token-type embeddings, gathered by row.

use rayon::prelude::*;

/// Rows a task takes at a time.
const ROWS: usize = 32;

/// The three tables of BERT's input, each a stack of rows of width H.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingTables<'a> {
    /// [vocabulary, H].
    pub words: &'a [f32],
    /// [longest text, H].
    pub positions: &'a [f32],
    /// The row `[H]` of the only token type that single texts use.
    pub token_type: &'a [f32],
}

/// `out[t]` = `words[ids[t]]` + `positions[positions[t]]` + token_type, [T, H].
///
/// # Panics
/// If an id or a position has no row, or the shapes do not fit.
pub fn embed(tables: EmbeddingTables, ids: &[u32], positions: &[u32], out: &mut [f32]) {
    let width = tables.token_type.len();
    assert!(ids.len() == positions.len() && out.len() == ids.len() * width, "embed: shapes do not fit");
    out.par_chunks_mut(ROWS * width).zip(ids.par_chunks(ROWS)).zip(positions.par_chunks(ROWS)).for_each(
        |((out, ids), positions)| {
            for ((out, &id), &position) in out.chunks_exact_mut(width).zip(ids).zip(positions) {
                let word = &tables.words[id as usize * width..][..width];
                let position = &tables.positions[position as usize * width..][..width];
                for (((out, w), p), t) in out.iter_mut().zip(word).zip(position).zip(tables.token_type) {
                    *out = w + p + t;
                }
            }
        },
    );
}

/// Where the gradients of the tables are accumulated, shaped as [`EmbeddingTables`].
#[derive(Debug)]
pub struct EmbeddingTablesMut<'a> {
    /// [vocabulary, H]; only the rows in the batch are touched.
    pub words: &'a mut [f32],
    /// [longest text, H].
    pub positions: &'a mut [f32],
    /// `[H]`.
    pub token_type: &'a mut [f32],
}

/// Adds each row of `d_out` [T, H] to the rows it came from, in the order of the tokens.
///
/// # Panics
/// If an id or a position has no row, or the shapes do not fit.
pub fn embed_backward(ids: &[u32], positions: &[u32], d_out: &[f32], gradients: EmbeddingTablesMut) {
    let width = gradients.token_type.len();
    assert!(ids.len() == positions.len() && d_out.len() == ids.len() * width, "embed_backward: shapes do not fit");
    for ((row, &id), &position) in d_out.chunks_exact(width).zip(ids).zip(positions) {
        add(&mut gradients.words[id as usize * width..][..width], row);
        add(&mut gradients.positions[position as usize * width..][..width], row);
        add(gradients.token_type, row);
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
