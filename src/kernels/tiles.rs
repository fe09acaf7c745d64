//! The order in which the vector kernels make a matrix product: blocks of rows, each against all
//! panels, each panel (or few) against tiles of rows that fit the registers.

use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use core::ops::Range;

use super::{Gemm, LANES, Sink};

/// Bytes of a block's codes and results. They stay in the level-2 cache (1 MiB or more where there
/// are vectors that it could hold up) while the panels pass by.
const BLOCK: usize = 512 * 1024;

/// A range in as few parts as hold at most so many each, none more than one longer than another.
#[derive(Clone)]
pub(super) struct Parts {
    start: usize,
    count: usize,
    each: usize,
    /// Parts, the first ones, that are one longer.
    longer: usize,
}

impl Parts {
    #[inline]
    pub(super) fn new(range: Range<usize>, most: usize) -> Self {
        let count = range.len().div_ceil(most);
        let [each, longer] = match count {
            0 => [0; 2],
            _ => [range.len() / count, range.len() % count],
        };
        Self { start: range.start, count, each, longer }
    }
}

impl ExactSizeIterator for Parts {}

impl Iterator for Parts {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        self.count = self.count.checked_sub(1)?;
        let start = self.start;
        self.start += self.each;
        if self.longer > 0 {
            self.longer -= 1;
            self.start += 1;
        }
        Some(start..self.start)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

/// Fetching the panels that follow those at hand, evenly while these are multiplied: a processor keeps few
/// requests open at once, and waits with everything when they are too many.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    at: *const i8,
    /// Bytes for each four inputs of a tile.
    step: usize,
}

/// Bytes of weights, which a level-2 cache holds from one frame to the next only if there are no more.
const FEW_WEIGHTS: usize = 256 * 1024;

impl Ahead {
    /// Whether it is worth while.
    #[inline]
    pub(super) fn pays(g: &Gemm) -> bool {
        g.w.data.len() > FEW_WEIGHTS
    }

    /// While `panels` are multiplied in `tiles` tiles; as many are fetched, which need not exist.
    #[inline]
    pub(super) fn new(g: &Gemm, panels: Range<usize>, tiles: usize) -> Self {
        let at = g.w.data.as_ptr().wrapping_add(panels.end * g.w.panel_len());
        Ahead { at, step: (panels.len() * 4 * LANES).div_ceil(tiles.max(1)) }
    }

    /// To be called once for each four inputs of a tile.
    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        // SAFETY: fetching touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(self.at) };
        self.at = self.at.wrapping_add(self.step);
    }
}

/// The rows between two visits of a panel.
#[inline]
pub(super) fn blocks(g: &Gemm, rows: Range<usize>) -> Parts {
    let results = g.w.panels() * LANES;
    let bytes = match g.end.sink {
        Sink::Codes(_) => g.w.k + results,
        Sink::Real(_) => g.w.k + size_of::<f32>() * results,
        Sink::Sums(_) => g.w.k,
    };
    Parts::new(rows, (BLOCK / bytes.max(1)).max(LANES))
}

/// The last `k % 4` inputs of `R` rows from `r` on, filled with zeros. To be had before a product's sums
/// are in registers.
#[inline(always)]
pub(super) fn last_fours<const R: usize>(g: &Gemm, r: usize) -> [i32; R] {
    let mut fours = [0; R];
    if !g.w.k.is_multiple_of(4) {
        for (i, four) in fours.iter_mut().enumerate() {
            *four = g.last_four(r + i);
        }
    }
    fours
}
