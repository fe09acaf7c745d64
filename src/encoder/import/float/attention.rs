//! Attention, head by head and query by query.

use super::super::ir::Attention;
use crate::math;

/// Partial sums of a product, added up in a fixed tree.
const LANES: usize = 8;

/// Queries, keys and values, each with the count of channels of a row.
pub(super) fn run(op: &Attention, [q, k, v]: [(&[f32], usize); 3]) -> Vec<f32> {
    let depth = op.width / op.heads;
    let queries = q.0.len() / q.1;
    let mut out = vec![0.0; queries * op.width];
    let mut shares = vec![0.0; k.0.len() / k.1];
    for (query, out) in q.0.chunks_exact(q.1).zip(out.chunks_exact_mut(op.width)) {
        for (head, out) in out.chunks_exact_mut(depth).enumerate() {
            let query = &query[op.q_at + head * depth..][..depth];
            for (share, key) in shares.iter_mut().zip(k.0.chunks_exact(k.1)) {
                *share = dot(query, &key[op.k_at + head * depth..][..depth]) * op.scale;
            }
            softmax(&mut shares);
            for (share, value) in shares.iter().zip(v.0.chunks_exact(v.1)) {
                let value = &value[op.v_at + head * depth..][..depth];
                out.iter_mut().zip(value).for_each(|(out, v)| *out += share * v);
            }
        }
    }
    out
}

fn softmax(scores: &mut [f32]) {
    let greatest = scores.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    scores.iter_mut().for_each(|x| *x = math::exp(*x - greatest));
    let sum: f64 = scores.iter().map(|x| f64::from(*x)).sum();
    scores.iter_mut().for_each(|x| *x = (f64::from(*x) / sum) as f32);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
