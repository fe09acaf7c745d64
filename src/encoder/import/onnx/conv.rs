//! Convolutions and average pools.

use tract_onnx::tract_core::internal::TypedNode;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_core::ops::cnn::{
    Conv as TractConv, MaxPool, PaddingSpec, PoolSpec, SumPool,
};

use super::super::ir::{Binary, Conv, Op, Pool};
use super::lower::{Lowered, Lowering};
use super::view::View;
use crate::asset::encoder::MAX_PATCH;

/// Greatest kernel of a depthwise convolution, and of one whose windows overlap or are padded.
const MAX_KERNEL: usize = 7;

/// What a convolution and a pool have in common.
struct Window {
    /// Rows and columns of the kernel in the file, and the steps between them.
    taps: [usize; 2],
    dilation: [usize; 2],
    /// Side of the square that they fit into.
    kernel: usize,
    stride: usize,
    pad_top: usize,
    pad_left: usize,
    padded: bool,
}

impl Window {
    /// Place in the square of a tap of the file.
    fn place(&self, tap: usize) -> usize {
        let [_, columns] = self.taps;
        (tap / columns * self.dilation[0]) * self.kernel + tap % columns * self.dilation[1]
    }

    fn is_square(&self) -> bool {
        self.taps == [self.kernel; 2]
    }
}

impl Lowering<'_> {
    /// An image, which convolutions read.
    pub(super) fn image(&mut self, node: &TypedNode, outlet: OutletId) -> Lowered {
        let seen = self.view(outlet)?;
        let dims = seen.dims();
        let &[height, width] = dims.last_chunk::<2>().ok_or("its input is not an image")?;
        let is_image = |view: &View| view.is_image([height, width, view.channels]);
        let before = self.net.nodes.len();
        let view = match self.whole(node, seen.clone()) {
            Ok(view) if is_image(&view) => view,
            _ => {
                self.net.nodes.truncate(before);
                let view = self.as_image(node, seen)?;
                self.whole(node, view)?
            }
        };
        if !is_image(&view) {
            return Err("its input is not an image".into());
        }
        let shape = [height, width, view.channels];
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
        let groups = op.group.max(1);
        if channels % groups != 0 || outputs % groups != 0 {
            return Err(format!("its {channels} channels are not {groups} groups"));
        }
        // Groups of several channels become one dense convolution with zeros between them.
        let depthwise = groups > 1 && groups == channels;
        let overlaps = depthwise || window.padded || window.stride != window.kernel;
        if window.kernel > if overlaps { MAX_KERNEL } else { MAX_PATCH as usize } {
            return Err(format!("its kernel is {0} x {0}", window.kernel));
        }
        let (own, taps) = (channels / groups, window.taps.iter().product::<usize>());
        if kernel.values.len() != outputs * own * taps {
            return Err("its weights have an unusual shape".into());
        }
        // Of output `n` in the tensor: the place where we keep it.
        let multiple = outputs / channels.max(1);
        let place = |n: usize| match depthwise {
            true => n % multiple * channels + view.stored(n / multiple),
            false => n,
        };
        let inside = if depthwise { 1 } else { channels };
        let square = window.kernel * window.kernel;
        let mut weights = vec![0.0; outputs * inside * square];
        let mut biases = vec![0.0; outputs];
        for (n, from) in kernel.values.chunks_exact(own * taps).enumerate() {
            let to = &mut weights[place(n) * inside * square..][..inside * square];
            let first = n / (outputs / groups) * own;
            for i in 0..own {
                let column = if depthwise { 0 } else { view.stored(first + i) };
                for tap in 0..taps {
                    to[window.place(tap) * inside + column] = from[i * taps + tap];
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

    /// An average pool: a depthwise convolution with equal weights; where windows at the edges count
    /// only what is inside, a factor for each position more.
    pub(super) fn sum_pool(&mut self, node: &TypedNode, op: &SumPool) -> Lowered {
        let view = self.image(node, node.inputs[0])?;
        let window = self.window(node, &op.pool_spec)?;
        let [height, width, channels] = self.net.shape(view.value);
        let whole = window.is_square() && [height, width] == [window.kernel; 2];
        if op.normalize && whole && !window.padded {
            let value = self.push(node, Op::Mean, &[view.value], [1, 1, channels]);
            let order = view.order.clone();
            return Ok(View { order, ..View::image(value, [1, 1, channels], view.axes.len()) });
        }
        if window.kernel > MAX_KERNEL {
            return Err(format!("its kernel is {0} x {0}", window.kernel));
        }
        let taps = window.taps.iter().product::<usize>();
        let inside_only = window.padded && op.normalize && !op.count_include_pad;
        let weight = if op.normalize && !inside_only { 1.0 / taps as f32 } else { 1.0 };
        let square = window.kernel * window.kernel;
        let mut weights = vec![0.0; channels * square];
        for each in weights.chunks_exact_mut(square) {
            (0..taps).for_each(|tap| each[window.place(tap)] = weight);
        }
        let conv = Conv {
            kernel: window.kernel,
            stride: window.stride,
            pad_top: window.pad_top,
            pad_left: window.pad_left,
            depthwise: Some(1),
            ..Conv::new(weights, vec![0.0; channels])
        };
        let order = view.order.clone();
        let mut result = View { order, ..self.windowed(node, conv, &view)? };
        if inside_only {
            let [rows, columns, _] = self.net.shape(result.value);
            let inside = |at: usize, side: usize, pad: usize, len: usize| {
                let places = (0..window.taps[side]).map(|tap| tap * window.dilation[side]);
                let places = places.map(|tap| at * window.stride + tap);
                places.filter(|place| (pad..pad + len).contains(place)).count().max(1)
            };
            let counts = (0..rows * columns).map(|at| {
                let down = inside(at / columns, 0, window.pad_top, height);
                1.0 / (down * inside(at % columns, 1, window.pad_left, width)) as f32
            });
            let factors = self.push(node, Op::Constant(counts.collect()), &[], [rows, columns, 1]);
            let op = Op::Binary(Binary::Mul);
            let inputs = [result.value, factors];
            result.value = self.push(node, op, &inputs, [rows, columns, channels]);
        }
        Ok(result)
    }

    /// The greatest value of each window; what is outside of the image does not count.
    pub(super) fn max_pool(&mut self, node: &TypedNode, op: &MaxPool) -> Lowered {
        let view = self.image(node, node.inputs[0])?;
        let window = self.window(node, &op.pool_spec)?;
        if !window.is_square() || window.kernel > MAX_KERNEL {
            return Err(format!("its kernel is {} x {}", window.taps[0], window.taps[1]));
        }
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let &[height, width] = dims.last_chunk::<2>().ok_or("its result is not an image")?;
        let Window { kernel, stride, pad_top, pad_left, .. } = window;
        let shape = [height, width, view.channels];
        let op = Op::MaxPool(Pool { kernel, stride, pad_top, pad_left });
        let value = self.push(node, op, &[view.value], shape);
        let order = view.order.clone();
        Ok(View { order, ..View::image(value, shape, dims.len()) })
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
        if kh == 0 || kw == 0 {
            return Err("its kernel is empty".into());
        }
        if pool.stride(0) != pool.stride(1) {
            return Err("its strides differ".into());
        }
        let dims = self.dims(node.inputs[0])?;
        if pool.data_format.c_is_last() || pool.data_format.has_n() != (dims.len() == 4) {
            return Err("its data lie in an unusual order".into());
        }
        let greatest = node.op_is::<MaxPool>();
        if !greatest && matches!(pool.padding, PaddingSpec::ExplicitOnnxPool(_, _, true)) {
            return Err("its windows reach beyond the padding".into());
        }
        // Height and width are those of the padded input.
        let &[height, width] = dims.last_chunk::<2>().ok_or("its input is not an image")?;
        let padding = pool.computed_padding(&[height, width]);
        let around = self.paddings.get(&node.inputs[0]).copied().unwrap_or_default();
        let (top, left) =
            (padding[0].pad_before + around[0].0, padding[1].pad_before + around[1].0);
        let after = padding.iter().zip(around).any(|(own, pad)| own.pad_after + pad.1 > 0);
        let dilation = [pool.dilation(0), pool.dilation(1)];
        let kernel = ((kh - 1) * dilation[0]).max((kw - 1) * dilation[1]) + 1;
        Ok(Window {
            taps: [kh, kw],
            dilation,
            kernel,
            stride: pool.stride(0),
            pad_top: top,
            pad_left: left,
            padded: top + left > 0 || after,
        })
    }
}
