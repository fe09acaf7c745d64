//! One int8 layer while the encoder is being made: the same kernels as on the device, over values in
//! memory.

use crate::asset::encoder::{Layer, LayerKind, LayerRecord};
use crate::encoder::ops::{Geometry, unfold};
use crate::kernels::{self, Added, Kernels, Out, PackedMatrix, Pool, Requant, Rows};

/// A layer with everything that the sections need, except where its parts lie.
pub(super) struct Int8Layer {
    pub(super) name: String,
    pub(super) kind: LayerKind,
    /// Its parts' places are zero until they are written.
    pub(super) record: LayerRecord,
    pub(super) weights: Weights,
    /// One for each output channel, filled up to [`kernels::LANES`].
    pub(super) scale: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// What lies outside of the image, one for each input channel; empty for a pointwise layer.
    pub(super) pad: Vec<u8>,
}

/// Weights as the kernels take them.
pub(super) enum Weights {
    Dense(Vec<i8>),
    Depthwise(Vec<i16>),
}

impl Int8Layer {
    pub(super) fn geometry(&self) -> Geometry {
        Geometry::of(&Layer { name: &self.name, kind: self.kind, record: &self.record })
    }

    fn requant(&self) -> Requant<'_> {
        let LayerRecord { lo, hi, .. } = self.record;
        Requant { lo, hi, ..Requant::to_codes(&self.scale, &self.bias) }
    }

    /// The layer's codes for one image, or nothing for a pooled convolution.
    pub(super) fn run(
        &self,
        kernels: &Kernels,
        pool: &Pool,
        image: &[u8],
        added: Option<&[u8]>,
    ) -> Vec<u8> {
        let g = self.geometry();
        let n = g.channels_out;
        let mut out = vec![0; g.positions_out() * n];
        match &self.weights {
            _ if self.kind == LayerKind::PooledConv => return Vec::new(),
            Weights::Dense(data) => {
                let unfolded;
                let rows = if g.pointwise {
                    image
                } else {
                    let mut rows = vec![0; g.positions_out() * g.columns];
                    unfold(&g, image, &self.pad, 0, &mut rows);
                    unfolded = rows;
                    &unfolded
                };
                let added = match added {
                    Some(codes) => Added::Codes(codes, self.record.residual_scale),
                    None => Added::Nothing,
                };
                let mut sums = vec![0; n.next_multiple_of(kernels::LANES)];
                kernels::row_sums(g.columns, n, data, &mut sums);
                let w = PackedMatrix { k: g.columns, n, data, sums: &sums };
                let rows = Rows::of_codes(rows, g.columns, g.positions_out());
                kernels.gemm(pool, rows, w, self.requant(), added, Out::Codes(&mut out), n);
            }
            Weights::Depthwise(weights) => {
                let layer = kernels::Depthwise {
                    channels: n,
                    kernel: g.kernel,
                    stride: g.stride,
                    pad_top: g.pad_top,
                    pad_left: g.pad_left,
                    height_in: g.height_in,
                    width_in: g.width_in,
                    height_out: g.height_out,
                    width_out: g.width_out,
                    stride_out: n,
                    weights,
                    requant: self.requant(),
                    pad: &self.pad,
                };
                kernels.depthwise(pool, &layer, image, &mut out);
            }
        }
        out
    }
}

/// Packs rows of a dense layer, `[outputs][depth]`, for a product with `columns` inputs.
pub(super) fn pack_dense(codes: &[i8], depth: usize, columns: usize) -> Vec<i8> {
    let outputs = codes.len() / depth;
    let mut rows = vec![0; outputs * columns];
    for (row, codes) in rows.chunks_exact_mut(columns).zip(codes.chunks_exact(depth)) {
        row[..depth].copy_from_slice(codes);
    }
    let mut packed = vec![0; kernels::packed_len(columns, outputs)];
    kernels::pack(columns, outputs, &rows, &mut packed);
    packed
}

/// Packs a depthwise layer, `[channels][taps]`: two taps side by side.
pub(super) fn pack_depthwise(codes: &[i16], taps: usize) -> Vec<i16> {
    let channels = codes.len() / taps;
    let padded = channels.next_multiple_of(kernels::LANES);
    let mut packed = vec![0; taps.div_ceil(2) * padded * 2];
    for (at, code) in codes.iter().enumerate() {
        let (c, tap) = (at / taps, at % taps);
        packed[(tap / 2 * padded + c) * 2 + tap % 2] = *code;
    }
    packed
}
