//! Operators that only move numbers: they give another view of a value.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::StridedSlice;

use super::view::View;

const MOVES: &str = "it moves numbers in a way that is unknown here";

/// An axis added, removed, moved, or some axes in other lengths.
pub(super) fn axes(op: &AxisOp, mut view: View) -> Result<View, String> {
    match op {
        AxisOp::Add(at) => view.reshape(*at, 0, &[1]).ok_or_else(|| MOVES.into()),
        AxisOp::Rm(at) => view.reshape(*at, 1, &[]).ok_or_else(|| MOVES.into()),
        AxisOp::Move(from, to) => {
            let axis = view.axes.remove(*from);
            view.axes.insert(*to, axis);
            Ok(view)
        }
        AxisOp::Reshape(at, from, to) => {
            let to: Result<Vec<usize>, _> = to.iter().map(|dim| dim.to_usize()).collect();
            let to = to.map_err(|_| "its shape is not fixed")?;
            view.reshape(*at, from.len(), &to).ok_or_else(|| MOVES.into())
        }
    }
}

/// Part of an axis.
pub(super) fn slice(view: View, axis: usize, start: &TDim, end: &TDim) -> Result<View, String> {
    match (start.to_usize(), end.to_usize()) {
        (Ok(start), Ok(end)) if start < end && end <= view.axes[axis].len => {
            Ok(view.slice(axis, start, end - start))
        }
        _ => Err("its bounds are not fixed".into()),
    }
}

/// The ONNX operator `Slice`, given its constant inputs after the first.
pub(super) fn strided(
    op: &StridedSlice,
    mut view: View,
    rest: &[Arc<Tensor>],
) -> Result<View, String> {
    let numbers = |tensor: &Tensor| -> TractResult<Vec<i64>> {
        let tensor = tensor.cast_to::<i64>()?;
        Ok(tensor.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    let input = |at: Option<usize>| at.and_then(|at| rest.get(at.checked_sub(1)?));
    let run = || -> TractResult<Option<View>> {
        let (Some(begin), Some(end)) = (input(Some(1)), input(Some(2))) else { return Ok(None) };
        let count = begin.len();
        let axes = input(op.optional_axes_input).map(|t| numbers(t)).transpose()?;
        let steps = input(op.optional_steps_input).map(|t| numbers(t)).transpose()?;
        let steps: Vec<i32> =
            steps.unwrap_or_else(|| vec![1; count]).iter().map(|s| *s as i32).collect();
        let rank = view.axes.len();
        for at in 0..count {
            let axis = axes.as_ref().map_or(Some(at as i64), |axes| axes.get(at).copied());
            let axis = axis.map(|axis| if axis < 0 { axis + rank as i64 } else { axis } as usize);
            let Some(axis) = axis.filter(|axis| *axis < rank) else { return Ok(None) };
            let len = view.axes[axis].len.to_dim();
            let dim = op.prepare_one_dim(at, &len, begin, end, &steps)?;
            let (start, end) = (dim.begin.to_usize()?, dim.end.to_usize()?);
            if dim.stride < 1 || dim.shrink || start >= end {
                return Ok(None);
            }
            let every = dim.stride as usize;
            let len = (end - start).div_ceil(every);
            view = view.clone().slice(axis, start, 1 + (len - 1) * every);
            (view.axes[axis].len, view.axes[axis].step) = match len {
                1 => (1, 0),
                _ => (len, view.axes[axis].step * every),
            };
        }
        Ok(Some(view))
    };
    run().ok().flatten().ok_or_else(|| MOVES.into())
}

/// The element or elements side by side of an axis that the constant `indices` name.
pub(super) fn gather(view: View, axis: usize, indices: &Tensor) -> Result<View, String> {
    let len = view.axes[axis].len as i64;
    let numbers = || -> TractResult<Vec<i64>> {
        let indices = indices.cast_to::<i64>()?;
        Ok(indices.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    let numbers = numbers().map_err(|_| "its indices are unknown")?;
    let numbers: Vec<i64> = numbers.iter().map(|i| if *i < 0 { i + len } else { *i }).collect();
    let first = numbers.first().copied().ok_or("it takes nothing")?;
    let in_order = numbers.iter().enumerate().all(|(at, i)| *i == first + at as i64);
    if !in_order || first < 0 || first + numbers.len() as i64 > len {
        return Err("its indices do not follow each other".into());
    }
    let view = view.slice(axis, first as usize, numbers.len());
    view.reshape(axis, 1, indices.shape()).ok_or_else(|| MOVES.into())
}
