//! Attention of several heads: int8 products with a float softmax between them.
//!
//! `softmax(factor * Q Kᵀ) V` for each head (Vaswani et al., "Attention is all you need", 2017,
//! equation 1). Queries become codes row by row, keys and values are packed like weights with a scale
//! for each key and for each channel of the values. What the softmax gives are codes too: their sum
//! divides the result, so that the probabilities of a row add up to one exactly.

use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

use super::pool::Shared;
use super::{
    Added, CodeRows, Gemm, Kernels, LANES, PackedMatrix, Pool, Quantize, Requant, Rows, Sink,
    Values, Worker, packed_len,
};

/// Queries that are looked at together.
const QUERIES: usize = 48;

/// The arguments of attention. Channels of head h are `h * width / heads` and those after it.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// One row for each result.
    pub queries: Values<'a>,
    /// One row for each thing that is looked at.
    pub keys: Values<'a>,
    /// As many rows.
    pub values: Values<'a>,
    /// Heads; they divide the columns.
    pub heads: usize,
    /// Factor of the scores.
    pub factor: f32,
}

/// Memory of one thread for attention.
#[derive(Default)]
pub struct AttentionScratch {
    keys: Vec<i8>,
    key_scale: Vec<f32>,
    key_sums: Vec<i32>,
    values: Vec<i8>,
    value_scale: Vec<f32>,
    value_sums: Vec<i32>,
    queries: Vec<u8>,
    query_scale: Vec<f32>,
    query_zero: Vec<u8>,
    scores: Vec<f32>,
    weights: Vec<u8>,
    over_total: Vec<f32>,
    zeros: Vec<f32>,
}

impl AttentionScratch {
    /// Makes room for `tokens` keys and heads of `depth` channels.
    pub fn reserve(&mut self, tokens: usize, depth: usize) {
        let (t, d) = (tokens.next_multiple_of(LANES), depth.next_multiple_of(LANES));
        grow(&mut self.keys, packed_len(depth, tokens));
        grow(&mut self.key_scale, t);
        grow(&mut self.key_sums, t);
        grow(&mut self.values, packed_len(tokens, depth));
        grow(&mut self.value_scale, d);
        grow(&mut self.value_sums, d);
        grow(&mut self.queries, QUERIES * d);
        grow(&mut self.query_scale, QUERIES);
        grow(&mut self.query_zero, QUERIES);
        grow(&mut self.scores, QUERIES * t);
        grow(&mut self.weights, QUERIES * t);
        grow(&mut self.over_total, QUERIES);
        grow(&mut self.zeros, t.max(d));
    }
}

fn grow<T: Clone + Default>(values: &mut Vec<T>, len: usize) {
    if values.len() < len {
        values.resize(len, T::default());
    }
}

impl Kernels {
    /// Attention; `out` is `[queries.rows][queries.columns]`. `scratch` has one for each thread of the
    /// pool, with enough room.
    pub fn attention(
        &self,
        pool: &Pool,
        a: &Attention,
        scratch: &[Mutex<AttentionScratch>],
        out: &mut [f32],
    ) {
        for values in [a.queries, a.keys, a.values] {
            values.check();
            assert_eq!(values.columns, a.queries.columns, "attention: columns");
        }
        assert_eq!(a.keys.rows, a.values.rows, "attention: rows");
        let width = a.queries.columns;
        assert!(a.heads > 0 && width.is_multiple_of(a.heads), "attention: heads");
        assert_eq!(out.len(), a.queries.rows * width, "attention: out");
        let out = Shared(out.as_mut_ptr());
        pool.run(a.heads, &|head, worker| {
            // A panic while it was lent leaves nothing in it that anybody reads.
            let mut scratch = scratch[worker.index].lock().unwrap_or_else(PoisonError::into_inner);
            self.head(a, head, &mut scratch, worker, out);
        });
    }

    /// One head, which writes its own columns of `out`.
    fn head(
        &self,
        a: &Attention,
        head: usize,
        s: &mut AttentionScratch,
        worker: &mut Worker,
        out: Shared<f32>,
    ) {
        let depth = a.queries.columns / a.heads;
        let columns = head * depth;
        let tokens = a.keys.rows;
        s.reserve(tokens, depth);
        let keys = Values { data: &a.keys.data[columns..], columns: depth, ..a.keys };
        let packed_keys = &mut s.keys[..packed_len(depth, tokens)];
        self.pack_keys(&keys, packed_keys, &mut s.key_scale, &mut s.key_sums);
        let values = Values { data: &a.values.data[columns..], columns: depth, ..a.values };
        let packed_values = &mut s.values[..packed_len(tokens, depth)];
        self.pack_values(&values, packed_values, &mut s.value_scale, &mut s.value_sums);
        // Scores are made for whole panels of keys: nobody reads those of the last one that are none.
        let score_stride = tokens.next_multiple_of(LANES);
        let keys = PackedMatrix { k: depth, n: score_stride, data: packed_keys, sums: &s.key_sums };
        let values = PackedMatrix { k: tokens, n: depth, data: packed_values, sums: &s.value_sums };

        let quantize = Quantize { len: depth, epsilon: None, factors: &[] };
        let (code_stride, weight_stride) = (depth.next_multiple_of(4), tokens.next_multiple_of(4));
        for first in (0..a.queries.rows).step_by(QUERIES) {
            let count = (a.queries.rows - first).min(QUERIES);
            for i in 0..count {
                let row = &a.queries.data[(first + i) * a.queries.stride + columns..][..depth];
                let codes = &mut s.queries[i * code_stride..][..code_stride];
                let (scale, zero) = self.quantize(&quantize, row, codes);
                (s.query_scale[i], s.query_zero[i]) = (scale * a.factor, zero);
            }
            let rows = CodeRows {
                codes: &mut s.queries,
                stride: code_stride,
                scale: &mut s.query_scale,
                zero: &mut s.query_zero,
            };
            let scores = Shared(s.scores.as_mut_ptr());
            let q = Requant::to_real(&s.key_scale, &s.zeros);
            self.product(rows.rows(count), keys, q, scores, score_stride, worker);
            for i in 0..count {
                let row = &s.scores[i * score_stride..][..tokens];
                let codes = &mut s.weights[i * weight_stride..][..weight_stride];
                s.over_total[i] = self.softmax(row, codes);
            }
            let rows = Rows::of_codes(&s.weights, weight_stride, count);
            let rows = Rows { scale: &s.over_total, zero: &[0; QUERIES], ..rows };
            let q = Requant::to_real(&s.value_scale, &s.zeros);
            let out = Shared(out.at(first * a.queries.columns + columns));
            self.product(rows, values, q, out, a.queries.columns, worker);
        }
    }

    /// A product on this thread, to real values at `out`, which has room for its rows and is written
    /// here by nobody else.
    fn product(
        &self,
        a: Rows,
        w: PackedMatrix,
        q: Requant,
        out: Shared<f32>,
        stride_out: usize,
        worker: &mut Worker,
    ) {
        let g = Gemm::with_sink(a, w, q, Added::Nothing, Sink::Real(out), stride_out);
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked; the
        // callers in this file give scores of their own thread, or a head's own columns of an output
        // with `stride_out` values for each of the rows.
        unsafe { (self.gemm)(&g, 0..a.count, 0..w.panels(), worker.scratch) }
    }
}
