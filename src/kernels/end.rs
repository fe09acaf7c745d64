//! How sums become activations, written once over [`Lanes`] and compiled for every instruction set
//! (see [`stamp`]). `scalar` is what it must equal.

use super::lanes::{self, Lanes};
use super::{Activation, Added, End, LANES, Requant, Sink};

/// Makes an instruction set's `finish`, which takes `$rows` rows at once: as many as overlap well in
/// its registers.
macro_rules! stamp {
    ($features:literal, $lanes:ty, $rows:literal) => {
        /// Activations of the sums of the rows from `r` on and up to [`LANES`](super::LANES) channels
        /// from `n` on; `taken` was taken off every code before the product.
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
            taken: i32,
        ) {
            if $crate::kernels::end::is_plain(end, n) {
                // SAFETY: the caller's promise; the channels are a whole panel.
                return unsafe { finish_plain(end, r, n, sums, taken) };
            }
            // SAFETY: the caller's promise.
            $crate::kernels::end::with_curve!(end.q.activation, |curve| unsafe {
                finish_with(end, r, n, sums, taken, curve)
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
            taken: i32,
        ) {
            // SAFETY: the caller's promise.
            unsafe { $crate::kernels::end::finish_plain::<$lanes>(end, r, n, sums, taken) }
        }

        /// [`finish`] for one kind of activation.
        ///
        /// # Safety
        /// As [`finish`].
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn finish_with<C: $crate::kernels::end::Curve>(
            end: &$crate::kernels::End,
            r: usize,
            n: usize,
            sums: &[[i32; $crate::kernels::LANES]],
            taken: i32,
            curve: C,
        ) {
            // SAFETY: the caller's promise.
            unsafe {
                $crate::kernels::end::finish::<$lanes, C, $rows>(end, r, n, sums, taken, curve)
            }
        }
    };
}
pub(super) use stamp;

/// The expression with the [`Curve`] of an [`Activation`].
macro_rules! with_curve {
    ($activation:expr, |$curve:ident| $body:expr) => {
        match $activation {
            $crate::kernels::Activation::Linear => {
                let $curve = $crate::kernels::end::Linear;
                $body
            }
            $crate::kernels::Activation::Gated([c, 0.0, 0.0]) => {
                let $curve = $crate::kernels::end::Swish(c);
                $body
            }
            $crate::kernels::Activation::Gated(c) => {
                let $curve = $crate::kernels::end::Gated(c);
                $body
            }
            $crate::kernels::Activation::HardSwish => {
                let $curve = $crate::kernels::end::HardSwish;
                $body
            }
            $crate::kernels::Activation::Sigmoid => {
                let $curve = $crate::kernels::end::Sigmoid;
                $body
            }
        }
    };
}
pub(super) use with_curve;

/// An [`Activation`] as a type: each has loops of its own, which hold nothing of what the others need.
pub(super) trait Curve: Copy {
    fn of<V: Lanes, const N: usize>(self, x: [V; N]) -> [V; N];
}

macro_rules! curve {
    ($(#[$doc:meta])* $name:ident $(($field:ty))?, |$x:ident $(, $c:ident)?| $y:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name $((pub(super) $field))?;

        impl Curve for $name {
            #[inline(always)]
            fn of<V: Lanes, const N: usize>(self, $x: [V; N]) -> [V; N] {
                $(let Self($c) = self;)?
                $y
            }
        }
    };
}

curve!(Linear, |x| x);
curve!(
    /// [`Gated`] without what depends on the square.
    Swish(f32), |x, c| lanes::swish(x, c)
);
curve!(Gated([f32; 3]), |x, c| lanes::gated(x, c));
curve!(HardSwish, |x| lanes::hard_swish(x));
curve!(Sigmoid, |x| lanes::sigmoid(x));

/// What [`Requant`] says, for one panel of channels.
#[derive(Clone, Copy)]
pub(super) struct Units<V, C> {
    scale: V,
    bias: V,
    curve: C,
    steps: Option<[V; 2]>,
    lo: V,
    hi: V,
    is_bounded: bool,
}

impl<V: Lanes, C: Curve> Units<V, C> {
    /// # Safety
    /// `q` has [`LANES`] channels from `n`.
    #[inline(always)]
    pub(super) unsafe fn load(q: &Requant, n: usize, curve: C) -> Self {
        let mut steps = None;
        if let Some([step, zero]) = q.steps {
            // SAFETY: the caller's promise.
            steps = unsafe { Some([V::load(step.as_ptr().add(n)), V::load(zero.as_ptr().add(n))]) };
        }
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                scale: V::load(q.scale.as_ptr().add(n)),
                bias: V::load(q.bias.as_ptr().add(n)),
                curve,
                steps,
                lo: V::splat(q.lo),
                hi: V::splat(q.hi),
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
        rows
    }

    #[inline(always)]
    pub(super) fn clamped(&self, y: V) -> V {
        if self.is_bounded { y.max(self.lo).min(self.hi) } else { y }
    }
}

/// Whether the channels from `n` on are a whole panel of static codes that become codes without more
/// ado, as most of a convolutional network's are.
#[inline]
pub(super) fn is_plain(end: &End, n: usize) -> bool {
    let End { q, row_scale, row_zero, added, sink, .. } = end;
    matches!((q.activation, added, sink), (Activation::Linear, Added::Nothing, Sink::Codes(_)))
        && row_scale.is_empty()
        && row_zero.is_empty()
        && q.steps.is_none()
        && n + LANES <= end.n
}

/// Rows that [`finish_plain`] takes at once.
const PLAIN_ROWS: usize = 4;

/// What [`stamp`] makes the function of this name of.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn finish_plain<V: Lanes>(
    end: &End,
    r: usize,
    n: usize,
    sums: &[[i32; LANES]],
    taken: i32,
) {
    let Sink::Codes(out) = &end.sink else { return };
    let columns = end.column_sums.as_ptr().wrapping_add(n);
    // SAFETY: the caller's promise; what is per channel is padded to whole panels.
    unsafe {
        let units = Units::<V, _>::load(&end.q, n, Linear);
        let mut at = out.at(r * end.stride_out + n);
        let (groups, rest) = sums.as_chunks::<PLAIN_ROWS>();
        for group in groups {
            let mut y = [V::splat(0.0); PLAIN_ROWS];
            for (y, sums) in y.iter_mut().zip(group) {
                *y = V::load_sums(sums.as_ptr(), columns, taken).mul_add(units.scale, units.bias);
            }
            V::store_clamped_of_four(y, units.lo, units.hi, at, end.stride_out);
            at = at.wrapping_add(PLAIN_ROWS * end.stride_out);
        }
        for sums in rest {
            let y = V::load_sums(sums.as_ptr(), columns, taken).mul_add(units.scale, units.bias);
            y.store_clamped(units.lo, units.hi, at);
            at = at.wrapping_add(end.stride_out);
        }
    }
}

/// Whether the channels from `n` on are a whole panel of rows with units of their own that become reals,
/// as a transformer's are.
#[inline(always)]
fn are_tokens(end: &End, n: usize) -> bool {
    let End { q, row_scale, row_zero, added, sink, .. } = end;
    matches!((added, sink), (Added::Nothing | Added::Real(_), Sink::Real(_)))
        && !row_scale.is_empty()
        && !row_zero.is_empty()
        && q.steps.is_none()
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
    taken: i32,
    units: &Units<V, C>,
    added: Option<&[f32]>,
) {
    let (groups, rest) = sums.as_chunks::<N>();
    // SAFETY: the caller's promise.
    unsafe {
        for (i, group) in groups.iter().enumerate() {
            tokens(end, r + i * N, n, group, taken, units, added);
        }
        for (i, sums) in rest.iter().enumerate() {
            tokens(end, r + groups.len() * N + i, n, &[*sums], taken, units, added);
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
    taken: i32,
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
            let factor = taken - i32::from(*zero.add(i));
            let scale = V::splat(*scale.add(i)).mul(units.scale);
            *y = V::load_sums(sums[i].as_ptr(), columns, factor).mul_add(scale, units.bias);
        }
        y = units.curve.of(y);
        for (i, y) in y.into_iter().enumerate() {
            let at = at + i * stride;
            let y = match added {
                Some(added) => y.add(V::load(added.as_ptr().add(at))),
                None => y,
            };
            units.clamped(y).store(out.at(at));
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
    taken: i32,
    curve: C,
) {
    let count = (end.n - n).min(LANES);
    // SAFETY: what is per channel is padded to whole panels; for the rest the caller's promise.
    unsafe {
        let units = Units::load(&end.q, n, curve);
        if are_tokens(end, n) {
            return match end.added {
                Added::Real(added) => {
                    finish_tokens::<V, C, N>(end, r, n, sums, taken, &units, Some(added))
                }
                _ => finish_tokens::<V, C, N>(end, r, n, sums, taken, &units, None),
            };
        }
        let mut total = V::splat(0.0);
        if let Sink::Sums(out) = &end.sink {
            total = V::load_part(out.at(n), count, 0.0);
        }
        let mut panel = Panel { end, n, count, units, taken, total };
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
    taken: i32,
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
                let mut factor = self.taken;
                if !end.row_zero.is_empty() {
                    factor -= i32::from(*end.row_zero.as_ptr().add(r + i));
                }
                *y = V::load_sums(
                    sums[i].as_ptr(),
                    end.column_sums.as_ptr().wrapping_add(n),
                    factor,
                );
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
                    Sink::Codes(out) => y.store_codes_part(out.at(at + i * stride), count),
                    Sink::Real(out) => y.store_part(out.at(at + i * stride), count),
                    Sink::Sums(_) => self.total = self.total.add(y),
                }
            }
        }
    }
}
