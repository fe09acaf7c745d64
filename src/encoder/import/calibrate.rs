//! What the float network does on the calibration pictures: ranges and means of every channel.

use rayon::prelude::*;

use super::float::{Computed, FloatNet};

/// Figures of one node, one of each for every channel.
#[derive(Clone)]
pub(super) struct Observed {
    /// Least, greatest and mean result.
    pub(super) min: Vec<f32>,
    pub(super) max: Vec<f32>,
    pub(super) result_mean: Vec<f64>,
    /// Of a convolution: mean of the weighted sum and bias, before activation, residual and bounds.
    pub(super) mean: Vec<f64>,
    /// Of a convolution: what it multiplies, normalized where it does that, before its factors.
    pub(super) input: Input,
}

/// Figures of a convolution's input, one of each for every input channel.
#[derive(Clone)]
pub(super) struct Input {
    /// Greatest magnitude.
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
        net.run(picture, |computed| layers.push(Observed::of(&computed, net)));
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
            total.add(&one);
        }
    }
    for layer in &mut total {
        let means = layer.mean.iter_mut().chain(&mut layer.result_mean);
        let inputs = layer.input.mean.iter_mut().chain(&mut layer.input.square);
        means.chain(inputs).for_each(|mean| *mean /= count);
    }
    total
}

impl Observed {
    fn of(computed: &Computed, net: &FloatNet) -> Self {
        let (inputs, channels) = net.channels(computed.layer);
        let positions = (computed.result.len() / channels) as f64;
        let (mut min, mut max) = (vec![f32::INFINITY; channels], vec![f32::NEG_INFINITY; channels]);
        let mut result_mean = vec![0.0; channels];
        for row in computed.result.chunks_exact(channels) {
            min.iter_mut().zip(row).for_each(|(min, x)| *min = min.min(*x));
            max.iter_mut().zip(row).for_each(|(max, x)| *max = max.max(*x));
            result_mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        result_mean.iter_mut().for_each(|sum| *sum /= positions);
        let mean = computed.sums.iter().map(|sum| sum / positions).collect();
        let input = Input::of(computed.input, inputs);
        Self { min, max, result_mean, mean, input }
    }

    /// Takes in another picture's; means become sums.
    fn add(&mut self, one: &Self) {
        self.min.iter_mut().zip(&one.min).for_each(|(a, b)| *a = a.min(*b));
        self.max.iter_mut().zip(&one.max).for_each(|(a, b)| *a = a.max(*b));
        self.result_mean.iter_mut().zip(&one.result_mean).for_each(|(a, b)| *a += b);
        self.mean.iter_mut().zip(&one.mean).for_each(|(a, b)| *a += b);
        let (input, other) = (&mut self.input, &one.input);
        input.max.iter_mut().zip(&other.max).for_each(|(a, b)| *a = a.max(*b));
        input.mean.iter_mut().zip(&other.mean).for_each(|(a, b)| *a += b);
        input.square.iter_mut().zip(&other.square).for_each(|(a, b)| *a += b);
    }
}

impl Input {
    fn of(input: &[f32], channels: usize) -> Self {
        let (mut max, mut square) = (vec![0.0f32; channels], vec![0.0; channels]);
        let mut mean = vec![0.0; channels];
        for row in input.chunks_exact(channels) {
            max.iter_mut().zip(row).for_each(|(max, x)| *max = max.max(x.abs()));
            let squares = row.iter().map(|x| f64::from(*x) * f64::from(*x));
            square.iter_mut().zip(squares).for_each(|(sum, x)| *sum += x);
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let positions = (input.len() / channels).max(1) as f64;
        square.iter_mut().chain(&mut mean).for_each(|sum| *sum /= positions);
        Self { max, mean, square }
    }
}
