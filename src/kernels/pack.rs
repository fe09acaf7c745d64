//! The order in which the kernels read weights and keys.

use super::LANES;

/// Bytes of `n` packed rows (output channels, keys) of `k` weights each.
pub const fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(LANES) * k.div_ceil(4) * LANES * 4
}

/// Packs `rows` (`n` rows of `k`) as [`PackedMatrix`](super::PackedMatrix) wants them; `out` is
/// [`packed_len`] long.
pub fn pack(k: usize, n: usize, rows: &[i8], out: &mut [i8]) {
    assert_eq!(rows.len(), n * k, "pack: rows");
    assert_eq!(out.len(), packed_len(k, n), "pack: out");
    out.fill(0);
    let panel = packed_len(k, LANES);
    for r in 0..n {
        for i in 0..k {
            out[r / LANES * panel + (i / 4 * LANES + r % LANES) * 4 + i % 4] = rows[r * k + i];
        }
    }
}

/// The sums of the rows of packed weights, as [`PackedMatrix`](super::PackedMatrix) wants them; `out`
/// is `n` rounded up to [`LANES`] long.
pub fn row_sums(k: usize, n: usize, packed: &[i8], out: &mut [i32]) {
    assert_eq!(packed.len(), packed_len(k, n), "row_sums: packed");
    assert_eq!(out.len(), n.next_multiple_of(LANES), "row_sums: out");
    let panel = packed_len(k, LANES);
    for (out, panel) in out.chunks_exact_mut(LANES).zip(packed.chunks_exact(panel.max(1))) {
        out.fill(0);
        for group in panel.chunks_exact(4 * LANES) {
            for (sum, four) in out.iter_mut().zip(group.chunks_exact(4)) {
                *sum += four.iter().map(|w| i32::from(*w)).sum::<i32>();
            }
        }
    }
}
