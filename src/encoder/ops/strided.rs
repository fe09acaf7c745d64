//! In float, what has no int8 form: a function of numbers that lie at regular steps in one or two
//! values, perhaps reduced over some axes. A copy in another order, a sum of two values, a product of
//! two, a maximum over an axis are all this one nest of loops.
//!
//! Every result has one fixed sequence of operations (no fused multiply-add, except in the dot product
//! of the kernels), so the bits are the same everywhere.

use tract_core::internal::*;

use super::{Compute, Engine, Input, Source, reals, reals_of};
use crate::asset::encoder::{Binary, Function, Layer, MAX_AXES, Reducer, greater, lesser};
use crate::kernels::{Kernels, Out};

/// Most steps that a layer's loops may take: a damaged asset must not run for hours. As many as the
/// products of the largest layers.
const MAX_STEPS: u64 = 1 << 36;

/// One axis: its length, and its steps in both inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::encoder) struct Axis {
    pub(in crate::encoder) len: usize,
    pub(in crate::encoder) steps: [usize; 2],
}

/// The loops, their function and what they reduce to. The result is `[kept axes]`, the last fastest.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::encoder) struct Nest {
    pub(in crate::encoder) kept: Vec<Axis>,
    pub(in crate::encoder) reduced: Vec<Axis>,
    /// The first number of each input.
    pub(in crate::encoder) start: [usize; 2],
    pub(in crate::encoder) function: Function,
    pub(in crate::encoder) reducer: Reducer,
    /// What results are multiplied by, and their bounds after that.
    pub(in crate::encoder) factor: f32,
    pub(in crate::encoder) lo: f32,
    pub(in crate::encoder) hi: f32,
}

impl Nest {
    /// One that computes `function` over these axes.
    #[cfg(any(feature = "import", test))]
    pub(in crate::encoder) fn new(function: Function, kept: Vec<Axis>) -> Self {
        Self {
            kept,
            reduced: Vec::new(),
            start: [0; 2],
            function,
            reducer: Reducer::Sum,
            factor: 1.0,
            lo: f32::MIN,
            hi: f32::MAX,
        }
    }

    /// Whether the loops stay within their inputs (of these lengths) and fill the result.
    ///
    /// # Errors
    /// What is not so.
    pub(in crate::encoder) fn check(&self, inputs: &[usize], out: usize) -> TractResult<()> {
        ensure!(self.kept.len() + self.reduced.len() <= MAX_AXES, "more axes than allowed");
        let volume = |axes: &[Axis]| {
            axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.len)).unwrap_or(usize::MAX)
        };
        ensure!(volume(&self.kept) == out, "the axes of a strided layer are not its result's");
        let steps = out.checked_mul(volume(&self.reduced));
        let bearable = steps.is_some_and(|steps| steps > 0 && steps as u64 <= MAX_STEPS);
        ensure!(bearable, "a strided layer takes too many steps, or none");
        for (side, len) in inputs.iter().enumerate() {
            let mut last = Some(self.start[side]);
            for axis in self.kept.iter().chain(&self.reduced) {
                let way = (axis.len - 1).checked_mul(axis.steps[side]);
                last = last.zip(way).and_then(|(a, b)| a.checked_add(b));
            }
            ensure!(last.is_some_and(|last| last < *len), "a strided layer reads beyond a value");
        }
        Ok(())
    }

    /// Numbers of the result that lie side by side.
    pub(in crate::encoder) fn row(&self) -> usize {
        self.kept.last().map_or(1, |axis| axis.len)
    }

    /// Whole rows of the result, from row `first` on. Without a second input it is the first one.
    pub(in crate::encoder) fn run(
        &self,
        kernels: &Kernels,
        first: usize,
        inputs: [&[f32]; 2],
        out: &mut [f32],
    ) {
        let one = Axis { len: 1, steps: [0; 2] };
        let (inner, outer) = match self.kept.split_last() {
            Some((inner, outer)) => (*inner, outer),
            None => (one, &[][..]),
        };
        for (row, out) in out.chunks_exact_mut(inner.len).enumerate() {
            let at = place(outer, self.start, first + row);
            self.numbers(kernels, at, inner.steps, inputs, out);
            if (self.factor, self.lo, self.hi) != (1.0, f32::MIN, f32::MAX) {
                for y in out {
                    *y = lesser(greater(*y * self.factor, self.lo), self.hi);
                }
            }
        }
    }

    /// One row of results, whose first reads at `at`.
    fn numbers(
        &self,
        kernels: &Kernels,
        at: [usize; 2],
        steps: [usize; 2],
        inputs: [&[f32]; 2],
        out: &mut [f32],
    ) {
        let Some((last, before)) = self.reduced.split_last() else {
            return self.each(at, steps, inputs, out, |y, x| *y = x);
        };
        let product = self.function == Function::Binary(Binary::Mul);
        if product && self.reducer == Reducer::Sum && last.steps == [1, 1] {
            let count: usize = before.iter().map(|axis| axis.len).product();
            for (i, y) in out.iter_mut().enumerate() {
                *y = 0.0;
                for n in 0..count {
                    let [a, b] = place(before, [at[0] + i * steps[0], at[1] + i * steps[1]], n);
                    *y += kernels.dot_f32(&inputs[0][a..][..last.len], &inputs[1][b..][..last.len]);
                }
            }
            return;
        }
        let count: usize = self.reduced.iter().map(|axis| axis.len).product();
        for n in 0..count {
            let at = place(&self.reduced, at, n);
            match self.reducer {
                _ if n == 0 => self.each(at, steps, inputs, out, |y, x| *y = x),
                Reducer::Sum => self.each(at, steps, inputs, out, |y, x| *y += x),
                reducer => self.each(at, steps, inputs, out, |y, x| *y = reducer.of(*y, x)),
            }
        }
    }

    /// The function along a row, given to `store`. What is frequent gets loops of its own.
    fn each(
        &self,
        at: [usize; 2],
        steps: [usize; 2],
        inputs: [&[f32]; 2],
        out: &mut [f32],
        store: impl Fn(&mut f32, f32),
    ) {
        let function = self.function;
        match function {
            Function::Copy => along(at, steps, inputs, out, store, |a, _| a),
            Function::Binary(Binary::Add) => along(at, steps, inputs, out, store, |a, b| a + b),
            Function::Binary(Binary::Mul) => along(at, steps, inputs, out, store, |a, b| a * b),
            _ => along(at, steps, inputs, out, store, |a, b| function.of(a, b)),
        }
    }
}

/// Where step `n` through `axes` reads.
fn place(axes: &[Axis], start: [usize; 2], mut n: usize) -> [usize; 2] {
    let mut at = start;
    for axis in axes.iter().rev() {
        let i = n % axis.len;
        n /= axis.len;
        at[0] += i * axis.steps[0];
        at[1] += i * axis.steps[1];
    }
    at
}

fn along(
    [a, b]: [usize; 2],
    steps: [usize; 2],
    inputs: [&[f32]; 2],
    out: &mut [f32],
    store: impl Fn(&mut f32, f32),
    f: impl Fn(f32, f32) -> f32,
) {
    let (x, y) = (&inputs[0][a..], &inputs[1][b..]);
    match steps {
        [1, 1] => out.iter_mut().zip(x).zip(y).for_each(|((o, x), y)| store(o, f(*x, *y))),
        [1, 0] => out.iter_mut().zip(x).for_each(|(o, x)| store(o, f(*x, y[0]))),
        [0, 1] => out.iter_mut().zip(y).for_each(|(o, y)| store(o, f(x[0], *y))),
        [s, t] => out.iter_mut().enumerate().for_each(|(i, o)| store(o, f(x[i * s], y[i * t]))),
    }
}

/// A [`Nest`] as a layer.
pub(super) struct Strided(Nest);

impl Strided {
    pub(super) fn new(source: &Source, layer: &Layer) -> TractResult<Self> {
        let r = layer.record;
        let part = source.part(r.values);
        let axes: &[[u32; 3]] = part.get()?;
        let axis =
            |[len, a, b]: &[u32; 3]| Axis { len: *len as usize, steps: [*a as usize, *b as usize] };
        let axes: Vec<Axis> = axes.iter().map(axis).collect();
        ensure!(axes.iter().all(|axis| axis.len > 0), "a strided layer has an empty axis");
        let (kept, reduced) =
            axes.split_at_checked(r.kept as usize).context("axes of a strided layer")?;
        let function = Function::numbered(r.function, r.activation()).context("its function")?;
        let nest = Nest {
            kept: kept.to_vec(),
            reduced: reduced.to_vec(),
            start: [r.at[0] as usize, r.at[1] as usize],
            function,
            reducer: Reducer::numbered(r.reducer).context("its reducer")?,
            factor: r.factor,
            lo: r.lo,
            hi: r.hi,
        };
        let inputs: Vec<usize> = layer.inputs[..2]
            .iter()
            .map(|value| value.or(layer.inputs[0]).map_or(0, |value| value.shape.volume()))
            .collect();
        nest.check(&inputs, r.shape.volume())?;
        Ok(Self(nest))
    }
}

impl Compute for Strided {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let a = reals_of(inputs, 0)?;
        let b = if inputs.len() > 1 { reals_of(inputs, 1)? } else { a };
        engine.pool.split(reals(out)?, self.0.row(), |first, out, _| {
            self.0.run(engine.kernels, first, [a, b], out);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;

    fn axis(len: usize, a: usize, b: usize) -> Axis {
        Axis { len, steps: [a, b] }
    }

    fn run(nest: &Nest, inputs: [&[f32]; 2]) -> Vec<f32> {
        let len = nest.kept.iter().map(|axis| axis.len).product();
        let mut out = vec![0.0; len];
        nest.check(&[inputs[0].len(), inputs[1].len()], len).unwrap();
        nest.run(kernels::best(), 0, inputs, &mut out);
        out
    }

    #[test]
    fn one_nest_of_loops_transposes_adds_reduces_and_multiplies_matrices() {
        let x: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let transposed = Nest::new(Function::Copy, vec![axis(3, 1, 0), axis(2, 3, 0)]);
        assert_eq!(run(&transposed, [&x, &x]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let add = Function::Binary(Binary::Add);
        let row = Nest::new(add, vec![axis(2, 3, 0), axis(3, 1, 1)]);
        assert_eq!(run(&row, [&x, &[10.0, 20.0, 30.0]]), [10.0, 21.0, 32.0, 13.0, 24.0, 35.0]);
        let greatest = Nest {
            reduced: vec![axis(3, 1, 0)],
            reducer: Reducer::Max,
            ..Nest::new(Function::Copy, vec![axis(2, 3, 0)])
        };
        assert_eq!(run(&greatest, [&x, &x]), [2.0, 5.0]);
        // [2, 3] times [3, 2], and times [2, 3] transposed: accumulated rows and dot products.
        let mul = Function::Binary(Binary::Mul);
        let rows = Nest {
            reduced: vec![axis(3, 1, 2)],
            factor: 0.5,
            hi: 10.0,
            ..Nest::new(mul, vec![axis(2, 3, 0), axis(2, 0, 1)])
        };
        assert_eq!(run(&rows, [&x, &x]), [5.0, 6.5, 10.0, 10.0]);
        let dots = Nest {
            reduced: vec![axis(3, 1, 1)],
            ..Nest::new(mul, vec![axis(2, 3, 0), axis(2, 0, 3)])
        };
        assert_eq!(run(&dots, [&x, &x]), [5.0, 14.0, 14.0, 50.0]);
    }

    #[test]
    fn rows_can_be_computed_from_any_one_on() {
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let nest = Nest {
            start: [1, 0],
            ..Nest::new(Function::Copy, vec![axis(2, 2, 0), axis(3, 4, 0), axis(2, 1, 0)])
        };
        let all = run(&nest, [&x, &x]);
        for first in 0..6 {
            let mut out = vec![0.0; 12 - 2 * first];
            nest.run(kernels::best(), first, [&x, &x], &mut out);
            assert_eq!(out, all[2 * first..]);
        }
    }

    #[test]
    fn loops_that_leave_a_value_are_refused() {
        let nest = Nest::new(Function::Copy, vec![axis(3, 2, 0)]);
        assert!(nest.check(&[5, 5], 3).is_ok());
        assert!(nest.check(&[4, 5], 3).is_err(), "beyond the first input");
        assert!(nest.check(&[5, 5], 4).is_err(), "another result");
        let far = Nest::new(Function::Copy, vec![axis(2, usize::MAX, 0)]);
        assert!(far.check(&[5, 5], 2).is_err(), "beyond all memory");
        let start = Nest { start: [0, 5], ..nest };
        assert!(start.check(&[5, 5], 3).is_err(), "beyond the second input");
    }
}
