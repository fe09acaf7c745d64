//! The order of a tile's rows: eight inputs of each row side by side.

use core::arch::asm;

/// Inputs of a row that lie side by side.
pub(in crate::kernels) const GROUP: usize = 8;

/// Packs the rows, each of `k` codes (and as many more as fill the last group, if it is `filled`), as
/// `[k / GROUP][rows][GROUP]`, with `taken` (128 or 0) taken off every code. What fills the last group meets weights of zero.
///
/// # Safety
/// The rows have so many codes, and all groups have a place.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn pack<const ROWS: usize>(
    rows: [*const u8; ROWS],
    k: usize,
    filled: bool,
    taken: u8,
    to: *mut u8,
) {
    let whole = k / GROUP;
    // SAFETY: the caller's promise.
    unsafe {
        match (ROWS, taken) {
            (6, 0) => six_as_they_are(&rows, whole, taken, to),
            (6, _) => six_signed(&rows, whole, taken, to),
            (4, 0) => four_as_they_are(&rows, whole, taken, to),
            (4, _) => four_signed(&rows, whole, taken, to),
            _ => {
                for (i, row) in rows.iter().enumerate() {
                    for group in 0..whole {
                        let codes = row.add(group * GROUP).cast::<u64>().read_unaligned();
                        store(codes, taken, to.add((group * ROWS + i) * GROUP));
                    }
                }
            }
        }
        let left = k % GROUP;
        if left > 0 {
            for (i, row) in rows.iter().enumerate() {
                let (from, to) = (row.add(whole * GROUP), to.add((whole * ROWS + i) * GROUP));
                if filled {
                    store(from.cast::<u64>().read_unaligned(), taken, to);
                    continue;
                }
                let mut codes = [0; GROUP];
                core::ptr::copy_nonoverlapping(from, codes.as_mut_ptr(), left);
                store(u64::from_ne_bytes(codes), taken, to);
            }
        }
    }
}

/// # Safety
/// A group has a place.
#[inline(always)]
unsafe fn store(codes: u64, taken: u8, to: *mut u8) {
    let signs = u64::from_ne_bytes([taken; GROUP]);
    // SAFETY: the caller's promise.
    unsafe { to.cast::<u64>().write_unaligned(codes ^ signs) };
}

macro_rules! flip {
    ($($r:literal)*) => { concat!($("eor v", $r, ".16b, v", $r, ".16b, v31.16b\n",)*) };
}

/// Makes a function for whole groups of so many rows, two groups at a time: `$two` of 16 codes of each row in the first
/// registers, `$one` of 8.
macro_rules! rows {
    ($name:ident, $flip:expr, $count:literal: $($row:ident $r:literal)*; $two:expr, $one:expr) => {
        /// # Safety
        /// As [`pack`].
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn $name(rows: &[*const u8], groups: usize, taken: u8, to: *mut u8) {
            let [$($row),*] = *rows.first_chunk::<$count>().expect("so many rows");
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    "lsr {twos}, {groups}, #1",
                    "cbz {twos}, 3f",
                    "2:",
                    $(concat!("ldr q", $r, ", [{", stringify!($row), "}], #16"),)*
                    $flip,
                    $two,
                    "subs {twos}, {twos}, #1",
                    "b.ne 2b",
                    "3:",
                    "tbz {groups}, #0, 4f",
                    $(concat!("ldr d", $r, ", [{", stringify!($row), "}]"),)*
                    $flip,
                    $one,
                    "4:",
                    $($row = inout(reg) $row => _,)*
                    twos = out(reg) _,
                    groups = in(reg) groups,
                    to = inout(reg) to => _,
                    in("v31") core::arch::aarch64::vdupq_n_u8(taken),
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Six rows have no instruction that puts them side by side.
macro_rules! six {
    ($name:ident, $flip:expr) => {
        rows!($name, $flip, 6: a 0 b 1 c 2 d 3 e 4 f 5;
            "zip1 v16.2d, v0.2d, v1.2d\n\
             zip1 v17.2d, v2.2d, v3.2d\n\
             zip1 v18.2d, v4.2d, v5.2d\n\
             zip2 v19.2d, v0.2d, v1.2d\n\
             zip2 v20.2d, v2.2d, v3.2d\n\
             zip2 v21.2d, v4.2d, v5.2d\n\
             st1 {{v16.2d, v17.2d, v18.2d, v19.2d}}, [{to}], #64\n\
             st1 {{v20.2d, v21.2d}}, [{to}], #32\n",
            "st3 {{v0.d, v1.d, v2.d}}[0], [{to}], #24\n\
             st3 {{v3.d, v4.d, v5.d}}[0], [{to}], #24\n");
    };
}
six!(six_signed, flip!(0 1 2 3 4 5));
six!(six_as_they_are, "");

macro_rules! four {
    ($name:ident, $flip:expr) => {
        rows!($name, $flip, 4: a 0 b 1 c 2 d 3;
            "st4 {{v0.2d, v1.2d, v2.2d, v3.2d}}, [{to}], #64\n",
            "st4 {{v0.d, v1.d, v2.d, v3.d}}[0], [{to}], #32\n");
    };
}
four!(four_signed, flip!(0 1 2 3));
four!(four_as_they_are, "");
