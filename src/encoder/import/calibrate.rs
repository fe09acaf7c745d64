//! What the float network does on the calibration pictures: ranges and means of every channel.

use rayon::prelude::*;

use super::float::FloatNet;

/// Figures of one layer, one of each for every channel.
#[derive(Clone)]
pub(super) struct Observed {
    /// Least and greatest result.
    pub(super) min: Vec<f32>,
    pub(super) max: Vec<f32>,
    /// Mean before a residual is added and bounds are applied.
    pub(super) mean: Vec<f64>,
    /// Of what a linear layer reads.
    pub(super) input: InputStatistics,
}

/// Figures of each channel of a linear layer's input, after its normalisation and before its factors;
/// empty where nobody asks.
#[derive(Clone, Default)]
pub(super) struct InputStatistics {
    /// Greatest absolute value.
    pub(super) max: Vec<f32>,
    /// Mean.
    pub(super) mean: Vec<f64>,
    /// Mean square.
    pub(super) square: Vec<f64>,
}

/// Runs all pictures, `bytes` each. `done` is called after each.
pub(super) fn observe(
    net: &FloatNet,
    pictures: &[u8],
    bytes: usize,
    done: &(dyn Fn() + Sync),
) -> Vec<Observed> {
    let each = pictures.par_chunks_exact(bytes).map(|picture| {
        let mut layers = Vec::new();
        net.run(picture, |computed| {
            let channels = computed.sums.len();
            let positions = (computed.result.len() / channels) as f64;
            let mut min = vec![f32::INFINITY; channels];
            let mut max = vec![f32::NEG_INFINITY; channels];
            for row in computed.result.chunks_exact(channels) {
                min.iter_mut().zip(row).for_each(|(min, x)| *min = min.min(*x));
                max.iter_mut().zip(row).for_each(|(max, x)| *max = max.max(*x));
            }
            let mean = computed.sums.iter().map(|sum| sum / positions).collect();
            layers.push(Observed { min, max, mean, input: InputStatistics::default() });
        });
        done();
        layers
    });
    // Added up in the pictures' order, whichever thread was first.
    let each: Vec<Vec<Observed>> = each.collect();
    let count = each.len() as f64;
    let mut total: Vec<Observed> = Vec::new();
    for picture in each {
        if total.is_empty() {
            total = picture;
            continue;
        }
        for (total, one) in total.iter_mut().zip(picture) {
            total.min.iter_mut().zip(one.min).for_each(|(a, b)| *a = a.min(b));
            total.max.iter_mut().zip(one.max).for_each(|(a, b)| *a = a.max(b));
            total.mean.iter_mut().zip(one.mean).for_each(|(a, b)| *a += b);
        }
    }
    total.iter_mut().flat_map(|layer| &mut layer.mean).for_each(|mean| *mean /= count);
    total
}
