//! From the trunk's feature to the one in the space of the text weights.

use crate::asset::encoder::Projection;
use crate::kernels::Kernels;
use crate::math;

/// Scales `x` to unit norm; a vector of zeros stays as it is.
pub fn normalize(kernels: &Kernels, x: &mut [f32]) {
    let norm = math::sqrt(kernels.dot_f32(x, x));
    if norm > 0.0 {
        x.iter_mut().for_each(|x| *x /= norm);
    }
}

/// `unit(unit(weight · trunk + bias) - image_mean)` into `out`, which is `projection.dim` long.
pub fn project(kernels: &Kernels, p: &Projection, trunk: &[f32], out: &mut [f32]) {
    kernels.matvec_f16(p.weight, trunk, out);
    out.iter_mut().zip(p.bias).for_each(|(x, bias)| *x += bias);
    normalize(kernels, out);
    out.iter_mut().zip(p.image_mean).for_each(|(x, mean)| *x -= mean);
    normalize(kernels, out);
}
