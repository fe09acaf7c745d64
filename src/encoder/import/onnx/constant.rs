//! Numbers that do not depend on the picture.

use std::sync::Arc;

use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;

use super::super::ImportError;
use super::view::{Along, View};

/// A constant of the typed graph.
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Constant {
    pub(super) fn new(tensor: &Arc<Tensor>) -> TractResult<Self> {
        let floats = tensor.cast_to::<f32>()?;
        let values = floats.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        Ok(Self { dims: tensor.shape().to_vec(), values })
    }

    /// With axes of length one in front, up to `rank` axes.
    pub(super) fn of_rank(mut self, rank: usize) -> Self {
        while self.dims.len() < rank {
            self.dims.insert(0, 1);
        }
        self
    }

    /// Steps from one element to the next along each axis.
    pub(super) fn steps(&self) -> Vec<usize> {
        let mut steps = vec![1; self.dims.len()];
        for axis in (1..self.dims.len()).rev() {
            steps[axis - 1] = steps[axis] * self.dims[axis];
        }
        steps
    }

    /// The only value that it has, however often.
    pub(super) fn scalar(&self) -> Option<f64> {
        let first = *self.values.first()?;
        self.values.iter().all(|v| *v == first).then_some(f64::from(first))
    }

    /// What it adds to (or multiplies) each channel of the value that `view` shows whole, or each
    /// position and channel if it is not the same everywhere.
    pub(super) fn spread(&self, view: &View) -> Option<Spread> {
        let dims = &self.dims;
        if dims.len() != view.axes.len() {
            return None;
        }
        let steps = self.steps();
        let mut by_row = false;
        for (axis, &len) in dims.iter().enumerate() {
            by_row |= len > 1 && matches!(view.along(axis), Along::Rows(_));
            if len > 1 && (len != view.axes[axis].len || view.axes[axis].step == 0) {
                return None;
            }
        }
        let rows = if by_row { view.rows } else { 1 };
        let mut values = vec![0.0; rows * view.channels];
        // Place in the value and in the constant.
        let mut at = vec![(0, 0)];
        for axis in 0..dims.len() {
            let (step, repeats) = match view.along(axis) {
                Along::Rows(_) if !by_row => continue,
                Along::Nothing => continue,
                _ => (view.axes[axis].step, view.axes[axis].len),
            };
            let own = if dims[axis] > 1 { steps[axis] } else { 0 };
            at = at
                .iter()
                .flat_map(|&(to, from)| (0..repeats).map(move |i| (to + i * step, from + i * own)))
                .collect();
        }
        for (to, from) in at {
            let (row, channel) = (to / view.channels, to % view.channels);
            values[row * view.channels + view.stored(channel)] = f64::from(self.values[from]);
        }
        Some(if by_row { Spread::Rows(values) } else { Spread::Channels(values) })
    }
}

/// A constant in the order of a value.
pub(super) enum Spread {
    /// `[channels]`
    Channels(Vec<f64>),
    /// `[positions][channels]`
    Rows(Vec<f64>),
}

/// The numbers of a tensor in the file.
pub(super) fn floats(tensor: &TensorProto) -> Result<Vec<f32>, ImportError> {
    let read = || -> TractResult<Vec<f32>> {
        let tensor = tract_onnx::tensor::load_tensor(&MmapDataResolver, tensor, None)?;
        let floats = tensor.cast_to::<f32>()?;
        Ok(floats.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    };
    read().map_err(|error| ImportError::Tensor { name: tensor.name.clone(), error })
}

/// Makes a tensor in the file hold `values`, in its shape.
pub(super) fn set_floats(tensor: &mut TensorProto, values: &[f32]) {
    *tensor = TensorProto {
        name: std::mem::take(&mut tensor.name),
        dims: std::mem::take(&mut tensor.dims),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    };
}
