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

/// Copies the codes of one key into `codes`, `[dim]`; zeros if the key is not there.
pub(super) fn read_into(packed: &[i8], key: usize, codes: &mut [i8]) {
    let panel = codes.len().next_multiple_of(GROUP) * LANES;
    let start = (key / LANES).checked_mul(panel);
    let found = start.and_then(|start| packed.get(start..start.checked_add(panel)?));
    let (Some(panel), lane) = (found, key % LANES) else { return codes.fill(0) };
    // whole groups first: their length is known, which makes it several times faster
    let (whole, rest) = codes.as_chunks_mut::<GROUP>();
    let mut rows = panel.as_chunks::<{ GROUP * LANES }>().0.iter();
    for (codes, row) in whole.iter_mut().zip(&mut rows) {
        codes.copy_from_slice(&row[lane * GROUP..][..GROUP]);
    }
    if let Some(row) = rows.next() {
        rest.copy_from_slice(&row[lane * GROUP..][..rest.len()]);
    }
}

/// Writes the codes of one key; what is missing at the end becomes 0.
pub(super) fn write(packed: &mut [i8], dim: usize, key: usize, codes: &[i8]) {
    let (whole, rest) = codes.as_chunks::<GROUP>();
    let mut last = [0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    let codes = whole.iter().chain([&last]).chain(core::iter::repeat(&[0; GROUP]));
    for (at, codes) in groups(packed.len(), dim, key).zip(codes) {
        packed[at..at + GROUP].copy_from_slice(codes);
    }
}

/// Copies the codes of key `from` over those of key `to`.
pub(super) fn copy(packed: &mut [i8], dim: usize, from: usize, to: usize) {
    let len = packed.len();
    for (from, to) in groups(len, dim, from).zip(groups(len, dim, to)) {
        packed.copy_within(from..from + GROUP, to);
    }
}
