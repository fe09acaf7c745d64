//! How sums become activations, written once over [`Lanes`] and compiled for every instruction set
//! (see [`stamp`]). `scalar` is what it must equal.

use super::curve::Curve;
use super::lanes::Lanes;
use super::{Activation, Added, End, HALF, LANES, Requant, Sink};

/// Makes an instruction set's `finish`, which takes `$rows` rows at once: as many as overlap well in
/// its registers.
macro_rules! stamp {
    ($features:literal, $lanes:ty, $rows:literal) => {
        /// Activations of the sums of the rows from `r` on and up to [`LANES`](super::LANES) channels
        /// from `n` on.
        ///
        /// # Safety
        /// The rows and channels lie inside of what `end` belongs to; nobody else writes this part of
        /// the output.
        #[inline]
        #[target_feature(enable = $features)]
        pub(in crate::kernels) unsafe fn finish(
            end: &$crate::kernels::End,
            r: usize,
            n: usize,
            sums: &[[i32; $crate::kernels::LANES]],
        ) {
            if $crate::kernels::end::is_plain(end) {
                // SAFETY: the caller's promise.
                return unsafe { finish_plain(end, r, n, sums) };
            }
            if $crate::kernels::end::is_plain_sum(end) {
                // SAFETY: as above.
                return unsafe { finish_plain_sum(end, r, n, sums) };
            }
            // SAFETY: the caller's promise.
            $crate::kernels::curve::with_curve!(end.q.activation, |curve| unsafe {
                finish_with(end, r, n, sums, curve)
            })
        }

        /// [`finish`] where nothing but rounding is asked for.
        ///
        /// # Safety
        /// As [`finish`], and [`is_plain`]($crate::kernels::end::is_plain).
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn finish_plain(
            end: &$crate::kernels::End,
            r: usize,
            n: usize,
            sums: &[[i32; $crate::kernels::LANES]],
        ) {
            // SAFETY: the caller's promise.
            unsafe { $crate::kernels::end::finish_plain::<$lanes>(end, r, n, sums) }
        }

        /// [`finish`] where codes are added, and nothing else is asked for.
        ///
        /// # Safety
        /// As [`finish`], and [`is_plain_sum`]($crate::kernels::end::is_plain_sum).
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn finish_plain_sum(
            end: &$crate::kernels::End,
            r: usize,
            n: usize,
            sums: &[[i32; $crate::kernels::LANES]],
        ) {
            // SAFETY: the caller's promise.
            unsafe { $crate::kernels::end::finish_plain_sum::<$lanes>(end, r, n, sums) }
        }

        /// [`finish`] for one kind of activation.
        ///
        /// # Safety
        /// As [`finish`].
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn finish_with<C: $crate::kernels::curve::Curve>(
            end: &$crate::kernels::End,
            r: usize,
            n: usize,
            sums: &[[i32; $crate::kernels::LANES]],
            curve: C,
        ) {
            // SAFETY: the caller's promise.
            unsafe { $crate::kernels::end::finish::<$lanes, C, $rows>(end, r, n, sums, curve) }
        }
    };
}
pub(super) use stamp;

/// What [`Requant`] says, for one panel of channels.
#[derive(Clone, Copy)]
pub(super) struct Units<V, C> {
    scale: V,
    bias: V,
    curve: C,
    steps: Option<[V; 2]>,
    /// What is added to an activation that has no steps.
    half_after: Option<V>,
    lo: V,
    hi: V,
    is_bounded: bool,
}

impl<V: Lanes, C: Curve> Units<V, C> {
    /// # Safety
    /// `q` has [`LANES`] channels from `n`.
    #[inline(always)]
    pub(super) unsafe fn load(q: &Requant, n: usize, curve: C, to_codes: bool) -> Self {
        let half = V::splat(HALF);
        let is_linear = q.activation == Activation::Linear;
        let [lo, hi] = q.bounds(to_codes);
        // SAFETY: the caller's promise.
        unsafe {
            let mut bias = V::load(q.bias.as_ptr().add(n));
            let mut steps = None;
            if let Some([step, zero]) = q.steps {
                steps = Some([V::load(step.as_ptr().add(n)), V::load(zero.as_ptr().add(n))]);
            }
            let mut half_after = None;
            if to_codes {
                match &mut steps {
                    Some([_, zero]) => *zero = zero.add(half),
                    None if is_linear => bias = bias.add(half),
                    None => half_after = Some(half),
                }
            }
            Self {
                scale: V::load(q.scale.as_ptr().add(n)),
                bias,
                curve,
                steps,
                half_after,
                lo: V::splat(lo),
                hi: V::splat(hi),
                is_bounded: q.is_bounded(),
            }
        }
    }

    /// Sums of some rows up to the activation and the steps after it.
    #[inline(always)]
    pub(super) fn activated<const N: usize>(
        &self,
        sums: [V; N],
        row_scale: Option<[f32; N]>,
    ) -> [V; N] {
        let mut rows = sums;
        for (i, y) in rows.iter_mut().enumerate() {
            let scale = match row_scale {
                Some(rows) => V::splat(rows[i]).mul(self.scale),
                None => self.scale,
            };
            *y = y.mul_add(scale, self.bias);
        }
        rows = self.curve.of(rows);
        if let Some([step, zero]) = self.steps {
            for y in &mut rows {
                *y = y.mul_add(step, zero);
            }
        }
        if let Some(half) = self.half_after {
            for y in &mut rows {
                *y = y.add(half);
            }
        }
        rows
    }

    #[inline(always)]
    pub(super) fn clamped(&self, y: V) -> V {
        if self.is_bounded { y.max(self.lo).min(self.hi) } else { y }
    }
}

/// Whether static codes become codes without more ado, as most of a convolutional network's do: even the bounds
/// are those of a code.
#[inline]
pub(super) fn is_plain(end: &End) -> bool {
    matches!(end.added, Added::Nothing) && are_codes(end)
}

/// Whether sums up to `most` become values far inside of what an i32 holds, as all but broken units make them:
/// what is too great for a code then needs no attention before it is an integer.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_small(end: &End, most: usize) -> bool {
    const LIMIT: f32 = (1 << 30) as f32;
    let units = end.q.scale.iter().zip(end.q.bias).take(end.n);
    // Counted, not searched for: several at once.
    let small = units.map(|(scale, bias)| scale.abs() * most as f32 + bias.abs() < LIMIT);
    small.map(usize::from).sum::<usize>() == end.n
}

/// Whether they are such but for codes that are added.
#[inline]
pub(super) fn is_plain_sum(end: &End) -> bool {
    matches!(end.added, Added::Codes(..)) && are_codes(end)
}

#[inline]
fn are_codes(end: &End) -> bool {
    let End { q, row_scale, row_zero, sink, .. } = end;
    matches!((q.activation, sink), (Activation::Linear, Sink::Codes(_)))
        && row_scale.is_empty()
        && row_zero.is_empty()
        && q.steps.is_none()
        && q.lo <= 0.25
        && q.hi >= 254.5
}

/// Rows whose codes are stored together.
const PLAIN_ROWS: usize = 4;

/// What [`stamp`] makes the function of this name of.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn finish_plain<V: Lanes>(end: &End, r: usize, n: usize, sums: &[[i32; LANES]]) {
    // SAFETY: the caller's promise.
    unsafe { V::store_sums(sums, &Plain::of(end, r, n)) };
}

/// What [`stamp`] makes the function of this name of.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn finish_plain_sum<V: Lanes>(
    end: &End,
    r: usize,
    n: usize,
    sums: &[[i32; LANES]],
) {
    let Added::Codes(codes, factor) = end.added else { return };
    let codes = codes.as_ptr().wrapping_add(r * end.stride_out + n);
    // SAFETY: the caller's promise; what is added is laid out like the output.
    unsafe {
        let plain = Plain::of(end, r, n);
        let (groups, rest) = sums.as_chunks::<PLAIN_ROWS>();
        for (i, group) in groups.iter().enumerate() {
            plain.store_sum(i * PLAIN_ROWS, group, codes, V::splat(factor));
        }
        for (i, sums) in rest.iter().enumerate() {
            let row = groups.len() * PLAIN_ROWS + i;
            plain.store_sum(row, &[*sums], codes, V::splat(factor));
        }
    }
}

/// [`Lanes::store_sums`] as most instruction sets have it.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store_sums<V: Lanes>(sums: &[[i32; LANES]], plain: &Plain<V>) {
    let (groups, rest) = sums.as_chunks::<PLAIN_ROWS>();
    // SAFETY: the caller's promise.
    unsafe {
        for (i, group) in groups.iter().enumerate() {
            let mut y = [V::splat(0.0); PLAIN_ROWS];
            for (y, sums) in y.iter_mut().zip(group) {
                *y = V::load_sums(sums.as_ptr());
            }
            plain.store::<false, _>(i * PLAIN_ROWS, y);
        }
        for (i, sums) in rest.iter().enumerate() {
            let real = V::load_sums(sums.as_ptr());
            plain.store::<false, _>(groups.len() * PLAIN_ROWS + i, [real]);
        }
    }
}

/// Where a [plain](is_plain) panel's codes go, and its units.
pub(super) struct Plain<V> {
    pub(super) scale: V,
    /// With [`HALF`] added.
    pub(super) bias: V,
    /// The first row's codes.
    pub(super) at: *mut u8,
    /// Codes from one row to the next.
    pub(super) stride: usize,
    /// Codes of each row, [`LANES`] at most.
    pub(super) count: usize,
}

impl<V: Lanes> Plain<V> {
    /// # Safety
    /// [`is_plain`] says so, and the rows from `r` on lie inside of what `end` belongs to.
    #[inline(always)]
    pub(super) unsafe fn of(end: &End, r: usize, n: usize) -> Self {
        let at = match &end.sink {
            Sink::Codes(out) => out.at(r * end.stride_out + n),
            _ => core::ptr::null_mut(),
        };
        // SAFETY: the caller's promise.
        let [scale, bias] =
            unsafe { [V::load(end.q.scale.as_ptr().add(n)), V::load(end.q.bias.as_ptr().add(n))] };
        let (bias, count) = (bias.add(V::splat(HALF)), (end.n - n).min(LANES));
        Self { scale, bias, at, stride: end.stride_out, count }
    }

    /// The same for a whole panel: code that knows this needs fewer registers.
    ///
    /// # Safety
    /// As [`of`](Self::of); [`LANES`] channels from `n` exist.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) unsafe fn of_whole(end: &End, r: usize, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self { count: LANES, ..Self::of(end, r, n) } }
    }

    /// Codes of the `N` rows from `row` on of those that begin where [`of`](Self::of) was told; `SMALL` promises that
    /// [they are](is_small).
    ///
    /// # Safety
    /// They exist, and nobody else writes them.
    #[inline(always)]
    pub(super) unsafe fn store<const SMALL: bool, const N: usize>(&self, row: usize, sums: [V; N]) {
        let mut y = sums;
        for y in &mut y {
            *y = y.mul_add(self.scale, self.bias);
        }
        // SAFETY: the caller's promise.
        unsafe { self.store_cut::<SMALL, N>(row, y) };
    }

    /// The same of sums in memory with codes added, of which the first row's are at `codes`.
    ///
    /// # Safety
    /// As [`store`](Self::store), and codes for the rows can be read.
    #[inline(always)]
    unsafe fn store_sum<const N: usize>(
        &self,
        row: usize,
        sums: &[[i32; LANES]; N],
        codes: *const u8,
        factor: V,
    ) {
        let mut y = [V::splat(0.0); N];
        // SAFETY: the caller's promise.
        unsafe {
            let codes = codes.add(row * self.stride);
            for (i, y) in y.iter_mut().enumerate() {
                let sum = V::load_sums(sums[i].as_ptr()).mul_add(self.scale, self.bias);
                let codes = V::load_codes_part(codes.add(i * self.stride), self.count);
                *y = codes.mul_add(factor, sum);
            }
            self.store_cut::<false, N>(row, y);
        }
    }

    /// # Safety
    /// As [`store`](Self::store).
    #[inline(always)]
    unsafe fn store_cut<const SMALL: bool, const N: usize>(&self, row: usize, y: [V; N]) {
        let (groups, rest) = y.as_chunks::<PLAIN_ROWS>();
        // SAFETY: the caller's promise.
        unsafe {
            let mut at = self.at.add(row * self.stride);
            for group in groups {
                V::store_cut_of::<SMALL>(*group, PLAIN_ROWS, at, self);
                at = at.wrapping_add(PLAIN_ROWS * self.stride);
            }
            if let [first, ..] = rest {
                let mut group = [*first; PLAIN_ROWS];
                group[..rest.len()].copy_from_slice(rest);
                V::store_cut_of::<SMALL>(group, rest.len(), at, self);
            }
        }
    }
}

/// Whether the channels from `n` on are a whole panel of rows with units of their own that become reals
/// without bounds, as a transformer's are.
#[inline(always)]
pub(super) fn are_tokens(end: &End, n: usize) -> bool {
    let End { q, row_scale, row_zero, added, sink, .. } = end;
    matches!((added, sink), (Added::Nothing | Added::Real(_), Sink::Real(_)))
        && !row_scale.is_empty()
        && !row_zero.is_empty()
        && q.steps.is_none()
        && !q.is_bounded()
        && n + LANES <= end.n
}

/// [`finish`] for [tokens](are_tokens).
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn finish_tokens<V: Lanes, C: Curve, const N: usize>(
    end: &End,
    r: usize,
    n: usize,
    sums: &[[i32; LANES]],
    units: &Units<V, C>,
    added: Option<&[f32]>,
) {
    let (groups, rest) = sums.as_chunks::<N>();
    // SAFETY: the caller's promise.
    unsafe {
        for (i, group) in groups.iter().enumerate() {
            tokens(end, r + i * N, n, group, units, added);
        }
        for (i, sums) in rest.iter().enumerate() {
            tokens(end, r + groups.len() * N + i, n, &[*sums], units, added);
        }
    }
}

/// `N` rows of [`finish_tokens`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn tokens<V: Lanes, C: Curve, const N: usize>(
    end: &End,
    r: usize,
    n: usize,
    sums: &[[i32; LANES]; N],
    units: &Units<V, C>,
    added: Option<&[f32]>,
) {
    let Sink::Real(out) = &end.sink else { return };
    let columns = end.column_sums.as_ptr().wrapping_add(n);
    let (at, stride) = (r * end.stride_out + n, end.stride_out);
    let mut y = [V::splat(0.0); N];
    // SAFETY: the caller's promise.
    unsafe {
        let (zero, scale) = (end.row_zero.as_ptr().add(r), end.row_scale.as_ptr().add(r));
        for (i, y) in y.iter_mut().enumerate() {
            let scale = V::splat(*scale.add(i)).mul(units.scale);
            let sums = V::load_sums_less(sums[i].as_ptr(), columns, *zero.add(i));
            *y = sums.mul_add(scale, units.bias);
        }
        y = units.curve.of(y);
        for (i, y) in y.into_iter().enumerate() {
            let at = at + i * stride;
            let y = match added {
                Some(added) => y.add(V::load(added.as_ptr().add(at))),
                None => y,
            };
            y.store(out.at(at));
        }
    }
}

/// What [`stamp`] makes `finish` of, `N` rows at once.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn finish<V: Lanes, C: Curve, const N: usize>(
    end: &End,
    r: usize,
    n: usize,
    sums: &[[i32; LANES]],
    curve: C,
) {
    let count = (end.n - n).min(LANES);
    // SAFETY: what is per channel is padded to whole panels; for the rest the caller's promise.
    unsafe {
        let to_codes = matches!(end.sink, Sink::Codes(_));
        let units = Units::load(&end.q, n, curve, to_codes);
        if are_tokens(end, n) {
            if let (Added::Nothing, Some(c)) = (end.added, curve.swish())
                && V::swish_tokens(end, r, n, sums, c)
            {
                return;
            }
            return match end.added {
                Added::Real(added) => {
                    finish_tokens::<V, C, N>(end, r, n, sums, &units, Some(added))
                }
                _ => finish_tokens::<V, C, N>(end, r, n, sums, &units, None),
            };
        }
        let mut total = V::splat(0.0);
        if let Sink::Sums(out) = &end.sink {
            total = V::load_part(out.at(n), count, 0.0);
        }
        let mut panel = Panel { end, n, count, units, total };
        let (groups, rest) = sums.as_chunks::<N>();
        for (i, group) in groups.iter().enumerate() {
            panel.rows(r + i * N, group);
        }
        for (i, sums) in rest.iter().enumerate() {
            panel.rows(r + groups.len() * N + i, &[*sums]);
        }
        if let Sink::Sums(out) = &end.sink {
            panel.total.store_part(out.at(n), count);
        }
    }
}

/// One panel of what [`finish`] has to do.
struct Panel<'a, V, C> {
    end: &'a End<'a>,
    /// First channel.
    n: usize,
    /// Channels.
    count: usize,
    units: Units<V, C>,
    /// Added up over the rows, where that is wanted.
    total: V,
}

impl<V: Lanes, C: Curve> Panel<'_, V, C> {
    /// # Safety
    /// As [`finish`], for the rows from `r` on.
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, r: usize, sums: &[[i32; LANES]; N]) {
        let Self { end, n, count, .. } = *self;
        let (at, stride) = (r * end.stride_out + n, end.stride_out);
        // SAFETY: `count` channels of rows that exist are read and written; the sums of columns are
        // padded to whole panels.
        unsafe {
            let mut y = [V::splat(0.0); N];
            for (i, y) in y.iter_mut().enumerate() {
                let sums = sums[i].as_ptr();
                *y = if end.row_zero.is_empty() {
                    V::load_sums(sums)
                } else {
                    let zero = *end.row_zero.as_ptr().add(r + i);
                    V::load_sums_less(sums, end.column_sums.as_ptr().add(n), zero)
                };
            }
            let mut row_scale = None;
            if !end.row_scale.is_empty() {
                row_scale = Some(end.row_scale.as_ptr().add(r).cast::<[f32; N]>().read());
            }
            let mut y = self.units.activated(y, row_scale);
            match end.added {
                Added::Nothing => (),
                Added::Codes(codes, scale) => {
                    for (i, y) in y.iter_mut().enumerate() {
                        let codes = V::load_codes_part(codes.as_ptr().add(at + i * stride), count);
                        *y = codes.mul_add(V::splat(scale), *y);
                    }
                }
                Added::Real(values) => {
                    for (i, y) in y.iter_mut().enumerate() {
                        let values = values.as_ptr().add(at + i * stride);
                        *y = y.add(V::load_part(values, count, 0.0));
                    }
                }
            }
            for (i, y) in y.into_iter().enumerate() {
                let y = self.units.clamped(y);
                match &end.sink {
                    Sink::Codes(out) => y.store_cut_part(out.at(at + i * stride), count),
                    Sink::Real(out) => y.store_part(out.at(at + i * stride), count),
                    Sink::Sums(_) => self.total = self.total.add(y),
                }
            }
        }
    }
}
