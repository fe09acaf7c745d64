//! Convolutions and average pools.

use tract_onnx::tract_core::internal::TypedNode;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, PaddingSpec, PoolSpec, SumPool};

use super::super::ir::{Conv, Op};
use super::lower::{Lowered, Lowering};
use super::view::View;

/// Greatest kernel of a depthwise convolution, and of one whose windows overlap or are padded.
const MAX_KERNEL: usize = 7;

/// What a convolution and a pool have in common.
struct Window {
    kernel: usize,
    stride: usize,
    pad_top: usize,
    pad_left: usize,
    padded: bool,
}

impl Lowering<'_> {
    /// An image, which convolutions read.
    pub(super) fn image(&mut self, node: &TypedNode, outlet: OutletId) -> Lowered {
        let view = self.view(outlet)?;
        let view = self.whole(node, view)?;
        let dims = view.dims();
        let &[height, width] = dims.last_chunk::<2>().ok_or("its input is not an image")?;
        let shape = [height, width, view.channels];
        if !view.is_image(shape) {
            return Err("its input is not an image".into());
        }
        if let (Some(at), true) = (view.value.checked_sub(1), height * width == view.rows) {
            // Tokens that are an image's positions again.
            self.net.nodes[at].shape = shape;
        }
        Ok(view)
    }

    pub(super) fn conv(&mut self, node: &TypedNode, op: &TractConv) -> Lowered {
        let view = self.image(node, node.inputs[0])?;
        let (Some(kernel), Some(bias)) =
            (self.constant(node.inputs[1]), node.inputs.get(2).and_then(|b| self.constant(*b)))
        else {
            return Err("its weights are not constants".into());
        };
        if op.q_params.is_some() || op.kernel_fmt != KernelFormat::OIHW {
            return Err("it is quantized, or its weights lie in an unusual order".into());
        }
        let window = self.window(node, &op.pool_spec)?;
        let (channels, outputs) = (view.channels, op.pool_spec.output_channels);
        let depthwise = op.group > 1;
        if depthwise && (op.group != channels || outputs % channels != 0) {
            return Err(format!("it has {} groups", op.group));
        }
        if window.kernel > MAX_KERNEL
            && (depthwise || window.padded || window.stride != window.kernel)
        {
            return Err(format!("its kernel is {0} x {0}", window.kernel));
        }
        let (inside, taps) = (if depthwise { 1 } else { channels }, window.kernel * window.kernel);
        if kernel.values.len() != outputs * inside * taps {
            return Err("its weights have an unusual shape".into());
        }
        // Of output `n` in the tensor: the place where we keep it.
        let multiple = outputs / channels.max(1);
        let place = |n: usize| match depthwise {
            true => n % multiple * channels + view.stored(n / multiple),
            false => n,
        };
        let mut weights = vec![0.0; kernel.values.len()];
        let mut biases = vec![0.0; outputs];
        for (n, from) in kernel.values.chunks_exact(inside * taps).enumerate() {
            let to = &mut weights[place(n) * inside * taps..][..inside * taps];
            for i in 0..inside {
                let column = if depthwise { 0 } else { view.stored(i) };
                for tap in 0..taps {
                    to[tap * inside + column] = from[i * taps + tap];
                }
            }
            let bias = bias.values.get(if bias.values.len() == 1 { 0 } else { n });
            biases[place(n)] = *bias.ok_or("its bias has an unusual shape")?;
        }
        let places: Vec<usize> = (0..outputs).map(place).collect();
        let conv = Conv {
            kernel: window.kernel,
            stride: window.stride,
            pad_top: window.pad_top,
            pad_left: window.pad_left,
            depthwise: depthwise.then_some(multiple),
            ..Conv::new(weights, biases)
        };
        let mut result = self.windowed(node, conv, &view)?;
        if places.iter().enumerate().any(|(n, place)| n != *place) {
            result.order = Some(places.into());
        }
        Ok(result)
    }

    /// An average pool: a depthwise convolution with equal weights.
    pub(super) fn sum_pool(&mut self, node: &TypedNode, op: &SumPool) -> Lowered {
        let view = self.image(node, node.inputs[0])?;
        let window = self.window(node, &op.pool_spec)?;
        if window.padded && op.normalize && !op.count_include_pad {
            return Err("its windows at the edges have other sizes".into());
        }
        let [height, width, channels] = self.net.shape(view.value);
        if op.normalize && [height, width] == [window.kernel; 2] && !window.padded {
            let value = self.push(node, Op::Mean, &[view.value], [1, 1, channels]);
            let order = view.order.clone();
            return Ok(View { order, ..View::image(value, [1, 1, channels], view.axes.len()) });
        }
        if window.kernel > MAX_KERNEL {
            return Err(format!("its kernel is {0} x {0}", window.kernel));
        }
        let taps = window.kernel * window.kernel;
        let weight = if op.normalize { 1.0 / taps as f32 } else { 1.0 };
        let conv = Conv {
            kernel: window.kernel,
            stride: window.stride,
            pad_top: window.pad_top,
            pad_left: window.pad_left,
            depthwise: Some(1),
            ..Conv::new(vec![weight; channels * taps], vec![0.0; channels])
        };
        let order = view.order.clone();
        Ok(View { order, ..self.windowed(node, conv, &view)? })
    }

    fn windowed(&mut self, node: &TypedNode, conv: Conv, view: &View) -> Lowered {
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let &[_, height, width] = dims.last_chunk::<3>().ok_or("its result is not an image")?;
        let shape = [height, width, conv.bias.len()];
        let value = self.push(node, Op::Conv(conv), &[view.value], shape);
        Ok(View::image(value, shape, dims.len()))
    }

    fn window(&self, node: &TypedNode, pool: &PoolSpec) -> Result<Window, String> {
        let &[kh, kw] = pool.kernel_shape.as_slice() else {
            return Err("it is not two-dimensional".into());
        };
        if kh != kw {
            return Err(format!("its kernel is {kh} x {kw}"));
        }
        if pool.stride(0) != pool.stride(1) {
            return Err("its strides differ".into());
        }
        if pool.dilation(0) != 1 || pool.dilation(1) != 1 {
            return Err("it is dilated".into());
        }
        let dims = self.dims(node.inputs[0])?;
        if pool.data_format.c_is_last() || pool.data_format.has_n() != (dims.len() == 4) {
            return Err("its data lie in an unusual order".into());
        }
        if matches!(pool.padding, PaddingSpec::ExplicitOnnxPool(_, _, true)) {
            return Err("its windows reach beyond the padding".into());
        }
        // Height and width are those of the padded input.
        let &[height, width] = dims.last_chunk::<2>().ok_or("its input is not an image")?;
        let padding = pool.computed_padding(&[height, width]);
        let around = self.paddings.get(&node.inputs[0]).copied().unwrap_or_default();
        let (top, left) =
            (padding[0].pad_before + around[0].0, padding[1].pad_before + around[1].0);
        let after = padding.iter().zip(around).any(|(own, pad)| own.pad_after + pad.1 > 0);
        Ok(Window {
            kernel: kh,
            stride: pool.stride(0),
            pad_top: top,
            pad_left: left,
            padded: top + left > 0 || after,
        })
    }
}
