//! What becomes of a tile's sums while they are in registers: codes or real values where nothing but units stands between.
//! As `end` has it for sums in memory.

use crate::kernels::end::{are_tokens, is_plain};
use crate::kernels::{Activation, Added, End, HALF, LANES, Requant, Sink};

/// Where the results of a panel's rows go, and their units, which a tile looks up only when it has its sums.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Results {
    /// The panel's scales.
    pub(in crate::kernels) scale: *const f32,
    /// Its biases, with [`HALF`] added where codes are made.
    pub(in crate::kernels) bias: *const f32,
    /// The first row's codes or values, or null where sums are wanted.
    pub(in crate::kernels) at: *mut u8,
    /// Bytes from one row to the next.
    pub(in crate::kernels) stride: usize,
    /// The panel's column sums, or null where the results are codes.
    pub(in crate::kernels) columns: *const i32,
    /// The first row's code of zero, and what one of its steps is worth; one after the other.
    pub(in crate::kernels) zeros: *const u8,
    pub(in crate::kernels) steps: *const f32,
    /// What is added to the first row, or null.
    pub(in crate::kernels) added: *const u8,
}

impl Results {
    pub(in crate::kernels) const SUMS: Self = {
        let (scale, columns) = (core::ptr::null(), core::ptr::null());
        let (at, bytes) = (core::ptr::null_mut(), core::ptr::null());
        let (stride, zeros, added) = (0, bytes, bytes);
        Self { scale, bias: scale, at, stride, columns, zeros, steps: scale, added }
    };

    /// Those of row 0 and channel 0 on.
    pub(in crate::kernels) fn of(end: &End) -> Self {
        let units = Self { scale: end.q.scale.as_ptr(), bias: end.q.bias.as_ptr(), ..Self::SUMS };
        match (&end.sink, end.added) {
            (Sink::Codes(out), _) if is_plain(end) => {
                Self { at: out.at(0), stride: end.stride_out, ..units }
            }
            (Sink::Real(out), added)
                if are_tokens(end, 0) && end.q.activation == Activation::Linear =>
            {
                Self {
                    at: out.at(0).cast(),
                    stride: end.stride_out * size_of::<f32>(),
                    columns: end.column_sums.as_ptr(),
                    zeros: end.row_zero.as_ptr(),
                    steps: end.row_scale.as_ptr(),
                    added: match added {
                        Added::Real(values) => values.as_ptr().cast(),
                        _ => core::ptr::null(),
                    },
                    ..units
                }
            }
            _ => Self::SUMS,
        }
    }

    /// Those of the panel from channel `n` on, of `channels` in all; the biases are those for codes.
    #[inline(always)]
    pub(in crate::kernels) fn panel(self, n: usize, channels: usize, bias: &[f32; LANES]) -> Self {
        if self.at.is_null() || n + LANES > channels {
            return Self::SUMS;
        }
        let columns = self.columns.wrapping_add(n);
        let places = Self { scale: self.scale.wrapping_add(n), ..self };
        if self.columns.is_null() {
            return Self { bias: bias.as_ptr(), at: self.at.wrapping_add(n), ..places };
        }
        let bytes = n * size_of::<f32>();
        let added = if self.added.is_null() { self.added } else { self.added.wrapping_add(bytes) };
        let (bias, at) = (self.bias.wrapping_add(n), self.at.wrapping_add(bytes));
        Self { bias, at, columns, added, ..places }
    }

    /// Those of the rows after the first `count`.
    #[inline(always)]
    pub(in crate::kernels) fn from(self, count: usize) -> Self {
        if self.at.is_null() {
            return self;
        }
        let mut added = self.added;
        if !added.is_null() {
            added = added.wrapping_add(count * self.stride);
        }
        Self {
            at: self.at.wrapping_add(count * self.stride),
            zeros: self.zeros.wrapping_add(count),
            steps: self.steps.wrapping_add(count),
            added,
            ..self
        }
    }
}

/// The biases of the channels from `n` on with [`HALF`] added, which are padded to whole panels.
#[inline(always)]
pub(in crate::kernels) fn bias(q: &Requant, n: usize) -> [f32; LANES] {
    let mut bias = [HALF; LANES];
    for (sum, bias) in bias.iter_mut().zip(&q.bias[n..]) {
        *sum += bias;
    }
    bias
}

/// An instruction for each of four registers.
macro_rules! four {
    ($name:literal: $([$to:literal $($from:literal)*])*) => {
        concat!($($name, " v", $to, ".4s" $(, ", v", $from, ".4s")*, "\n",)*)
    };
    // By the first lane of a register.
    ($name:literal by $lane:literal: $([$to:literal $from:literal])*) => {
        concat!($($name, " v", $to, ".4s, v", $from, ".4s, v", $lane, ".s[0]\n",)*)
    };
}
pub(in crate::kernels) use four;

/// Loads or stores four registers that follow each other.
macro_rules! quad {
    ($name:literal $a:literal $b:literal $c:literal $d:literal, $at:literal) => {
        concat!($name, " {{v", $a, ".4s, v", $b, ".4s, v", $c, ".4s, v", $d, ".4s}}, ", $at, "\n")
    };
}
pub(in crate::kernels) use quad;

/// Four registers of sums (from `a` on) to the codes of a row at `at`: by the scales in those from `s` on and the biases at
/// `bias`, through those from `e` on, which follow each other.
macro_rules! codes {
    (
        $a:literal $b:literal $c:literal $d:literal, $s:literal $t:literal $u:literal $v:literal,
        $e:literal $f:literal $g:literal $h:literal
    ) => {
        concat!(
            $crate::kernels::neon::quad!("ld1" $e $f $g $h, "[{bias}]"),
            $crate::kernels::neon::four!("scvtf": [$a $a] [$b $b] [$c $c] [$d $d]),
            $crate::kernels::neon::four!("fmla": [$e $a $s] [$f $b $t] [$g $c $u] [$h $d $v]),
            $crate::kernels::neon::codes!(cut $e $f $g $h),
            "st1 {{v", $e, ".16b}}, [{at}], {stride}\n",
        )
    };
    // To whole numbers of 2^-24, of which the highest byte is the code: what lies outside becomes the nearest one.
    (cut $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            "fcvtzu v", $e, ".4s, v", $e, ".4s, #24\n",
            "fcvtzu v", $f, ".4s, v", $f, ".4s, #24\n",
            "fcvtzu v", $g, ".4s, v", $g, ".4s, #24\n",
            "fcvtzu v", $h, ".4s, v", $h, ".4s, #24\n",
            "uzp2 v", $e, ".8h, v", $e, ".8h, v", $f, ".8h\n",
            "uzp2 v", $g, ".8h, v", $g, ".8h, v", $h, ".8h\n",
            "uzp2 v", $e, ".16b, v", $e, ".16b, v", $g, ".16b\n",
        )
    };
}
pub(in crate::kernels) use codes;

/// Four registers of sums (from `a` on) to the real values of a row with a zero and steps of its own, through those from
/// `s` on and from `e` on, which follow each other; `$added` what is done before they are written.
macro_rules! tokens {
    (
        $a:literal $b:literal $c:literal $d:literal, $s:literal $t:literal $u:literal $v:literal,
        $e:literal $f:literal $g:literal $h:literal, $added:expr
    ) => {
        concat!(
            $crate::kernels::neon::quad!("ld1" $s $t $u $v, "[{columns}]"),
            "ldr b", $e, ", [{zeros}], #1\n",
            $crate::kernels::neon::four!("mls" by $e: [$a $s] [$b $t] [$c $u] [$d $v]),
            $crate::kernels::neon::quad!("ld1" $s $t $u $v, "[{scale}]"),
            "ldr s", $e, ", [{steps}], #4\n",
            $crate::kernels::neon::four!("scvtf": [$a $a] [$b $b] [$c $c] [$d $d]),
            $crate::kernels::neon::four!("fmul" by $e: [$s $s] [$t $t] [$u $u] [$v $v]),
            $crate::kernels::neon::quad!("ld1" $e $f $g $h, "[{bias}]"),
            $crate::kernels::neon::four!("fmla": [$e $a $s] [$f $b $t] [$g $c $u] [$h $d $v]),
            $added,
            $crate::kernels::neon::quad!("st1" $e $f $g $h, "[{at}], {stride}"),
        )
    };
    (add $s:literal $t:literal $u:literal $v:literal, $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            $crate::kernels::neon::quad!("ld1" $s $t $u $v, "[{added}], {stride}"),
            $crate::kernels::neon::four!("fadd": [$e $e $s] [$f $f $t] [$g $g $u] [$h $h $v]),
        )
    };
}
pub(in crate::kernels) use tokens;

/// The results of the rows of a tile, or their sums where nothing else is wanted; eight registers are free.
macro_rules! results {
    ($([$a:literal $b:literal $c:literal $d:literal])*) => {
        concat!(
            "cbz {at}, 8f\n",
            "cbnz {columns}, 6f\n",
            $crate::kernels::neon::quad!("ld1" 4 5 6 7, "[{scale}]"),
            $($crate::kernels::neon::codes!($a $b $c $d, 4 5 6 7, 0 1 2 3),)*
            "b 9f\n",
            "6:\n",
            "cbnz {added}, 7f\n",
            $($crate::kernels::neon::tokens!($a $b $c $d, 0 1 2 3, 4 5 6 7, ""),)*
            "b 9f\n",
            "7:\n",
            $($crate::kernels::neon::tokens!($a $b $c $d, 0 1 2 3, 4 5 6 7,
                $crate::kernels::neon::tokens!(add 0 1 2 3, 4 5 6 7)),)*
            "b 9f\n",
            "8:\n",
            $($crate::kernels::neon::quad!("st1" $a $b $c $d, "[{sums}], #64"),)*
            "9:\n",
        )
    };
}
pub(in crate::kernels) use results;
