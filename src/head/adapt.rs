//! Features that a head makes of the encoder's.

use crate::asset::{Adapter, Branch};
use crate::kernels::Kernels;
use crate::math;
use crate::project::{normalize, project};

/// The adapted feature, in the first part of `out`, which has room for what lies between the layers.
pub(super) fn run<'o>(
    kernels: &Kernels,
    adapter: &Adapter<'_>,
    feature: &[f32],
    out: &'o mut [f32],
) -> &'o [f32] {
    let (out, rest) = out.split_at_mut(adapter.dim());
    match adapter {
        Adapter::Projection(projection) => project(kernels, projection, feature, out),
        Adapter::Branch(Branch { keep, ratio, hidden, down, up, .. }) => {
            if *hidden == 0 {
                kernels.matvec_f16(up, feature, out);
            } else {
                let hidden = &mut rest[..*hidden];
                kernels.matvec_f16(down, feature, hidden);
                rectify(hidden);
                kernels.matvec_f16(up, hidden, out);
                rectify(out);
            }
            for (g, &f) in out.iter_mut().zip(feature) {
                *g = math::mul_add(*ratio, *g, keep * f);
            }
            normalize(kernels, out);
        }
    }
    out
}

/// The channels of a feature, made length 1, in the first part of `out`.
pub(super) fn choose<'o>(
    kernels: &Kernels,
    channels: &[u16],
    feature: &[f32],
    out: &'o mut [f32],
) -> &'o [f32] {
    let out = &mut out[..channels.len()];
    for (value, &channel) in out.iter_mut().zip(channels) {
        *value = feature[usize::from(channel)];
    }
    normalize(kernels, out);
    out
}

fn rectify(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
}
