//! Where a key's codes lie in the kernels' packed layout, `[n / 16][k / 4][16][4]` with both counts
//! rounded up: panels of 16 keys, in each panel groups of 4 codes of every key.

const KEYS: usize = crate::kernels::LANES;
const GROUP: usize = 4;

/// Bytes of `n` packed keys of `dim` codes; none when that is beyond a usize.
pub(super) fn packed_len(dim: usize, n: usize) -> Option<usize> {
    n.checked_next_multiple_of(KEYS)?.checked_mul(dim.checked_next_multiple_of(GROUP)?)
}

/// The place of code `i` of key `key`.
fn place(dim: usize, key: usize, i: usize) -> usize {
    (key / KEYS * dim.div_ceil(GROUP) + i / GROUP) * (KEYS * GROUP) + key % KEYS * GROUP + i % GROUP
}

/// The codes of one key in order.
pub(super) fn read(packed: &[i8], dim: usize, key: usize) -> impl Iterator<Item = i8> {
    (0..dim).map_while(move |i| packed.get(place(dim, key, i)).copied())
}

/// Writes the codes of one key; `key` lies within `packed`.
pub(super) fn write(packed: &mut [i8], dim: usize, key: usize, codes: impl Iterator<Item = i8>) {
    for (i, code) in codes.take(dim).enumerate() {
        packed[place(dim, key, i)] = code;
    }
}

/// Copies the codes of key `from` over those of key `to`.
pub(super) fn copy(packed: &mut [i8], dim: usize, from: usize, to: usize) {
    for i in 0..dim {
        packed[place(dim, to, i)] = packed[place(dim, from, i)];
    }
}
