use crate::asset::Cache;
use crate::kernels::{Kernels, LANES, Query};
use crate::math;

/// A feature centred and coded for comparison with a cache's keys.
pub struct CodedQuery<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scale: f32,
    /// Feature · mean.
    pub(super) base: f32,
}

impl<'a> CodedQuery<'a> {
    /// Codes that a query needs: the keys' dimensions, rounded up to what the kernel reads at once.
    #[must_use]
    pub fn codes_len(cache: &Cache<'_>) -> usize {
        cache.dim.next_multiple_of(4)
    }

    /// Codes r = `feature - mean` into `codes`, which is [`codes_len`](Self::codes_len) long, in steps
    /// of max|r| / 127 and with the scale that brings the codes closest to r, as keys are coded.
    /// `feature` has the keys' dimensions.
    pub fn new(
        kernels: &Kernels,
        cache: &Cache<'_>,
        feature: &[f32],
        codes: &'a mut [i8],
    ) -> CodedQuery<'a> {
        let centred = || feature.iter().zip(cache.mean).map(|(q, mean)| q - mean);
        let largest = centred().fold(0.0f32, |max, value| max.max(value.abs()));
        let per_step = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        codes.fill(0);
        let (mut products, mut squares) = (0.0, 0.0);
        for (code, value) in codes.iter_mut().zip(centred()) {
            let rounded = math::round_even(value * per_step).clamp(-127.0, 127.0);
            *code = rounded as i8;
            products += rounded * value;
            squares += rounded * rounded;
        }
        let scale = if squares > 0.0 { products / squares } else { 0.0 };
        CodedQuery { codes, scale, base: kernels.dot_f32(feature, cache.mean) }
    }
}

/// Calls `visit` with each key's place, its cosine with the query and its affinity
/// `exp(-(beta - beta * cosine))`, in the order of the keys.
pub fn scan(
    kernels: &Kernels,
    cache: &Cache<'_>,
    query: &CodedQuery<'_>,
    beta: f32,
    mut visit: impl FnMut(usize, f32, f32),
) {
    let CodedQuery { codes, scale, base } = *query;
    let query = Query { codes, scale, base, beta, keys: cache.keys.len() };
    let panels = cache.keys.chunks_exact(codes.len() * LANES);
    let (scales, biases) = (cache.scale.as_chunks::<LANES>().0, cache.bias.as_chunks::<LANES>().0);
    let (mut cosine, mut affinity) = ([0.0; LANES], [0.0; LANES]);
    for (panel, (keys, (scale, bias))) in panels.zip(scales.iter().zip(biases)).enumerate() {
        let first = panel * LANES;
        if first >= cache.len {
            break;
        }
        kernels.affinity(keys, &query, scale, bias, &mut cosine, &mut affinity);
        for lane in 0..LANES.min(cache.len - first) {
            visit(first + lane, cosine[lane], affinity[lane]);
        }
    }
}
