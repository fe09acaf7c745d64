//! Where a key's codes lie in the kernels' packed layout, `[n / 16][k / 4][16][4]` with both counts
//! rounded up: panels of 16 keys, in each panel groups of 4 codes of every key.

use crate::kernels::LANES;

const GROUP: usize = 4;

/// Bytes of `n` packed keys of `dim` codes; none when that is beyond a usize.
pub(super) fn packed_len(dim: usize, n: usize) -> Option<usize> {
    n.checked_next_multiple_of(LANES)?.checked_mul(dim.checked_next_multiple_of(GROUP)?)
}

/// Where the groups of one key start, first to last; empty if the key is not within `len` bytes.
fn groups(len: usize, dim: usize, key: usize) -> impl Iterator<Item = usize> {
    let panel = dim.next_multiple_of(GROUP) * LANES;
    let start = (key / LANES).checked_mul(panel).and_then(|start| {
        let end = start.checked_add(panel)?;
        (end <= len).then_some(start + key % LANES * GROUP)
    });
    let count = if start.is_some() { dim.div_ceil(GROUP) } else { 0 };
    let first = start.unwrap_or(0);
    (0..count).map(move |group| first + group * LANES * GROUP)
}

/// The codes of one key in order.
pub(super) fn read(packed: &[i8], dim: usize, key: usize) -> impl Iterator<Item = i8> {
    let groups = groups(packed.len(), dim, key);
    groups.flat_map(move |at| &packed[at..at + GROUP]).copied().take(dim)
}

/// Writes the codes of one key; what is missing at the end becomes 0.
pub(super) fn write(packed: &mut [i8], dim: usize, key: usize, codes: &[i8]) {
    let groups = groups(packed.len(), dim, key);
    let codes = codes.chunks(GROUP).chain(core::iter::repeat(&[][..]));
    for (at, codes) in groups.zip(codes) {
        packed[at..at + GROUP].fill(0);
        packed[at..at + codes.len()].copy_from_slice(codes);
    }
}

/// Copies the codes of key `from` over those of key `to`.
pub(super) fn copy(packed: &mut [i8], dim: usize, from: usize, to: usize) {
    let len = packed.len();
    for (from, to) in groups(len, dim, from).zip(groups(len, dim, to)) {
        packed.copy_within(from..from + GROUP, to);
    }
}
