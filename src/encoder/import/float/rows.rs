//! What is computed along rows and columns of a value.

/// Sum of each channel over all positions.
pub(super) fn sums(image: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0f64; channels];
    for row in image.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sums
}

/// Mean of each channel over all positions.
pub(super) fn mean(image: &[f32], channels: usize) -> Vec<f32> {
    let positions = (image.len() / channels) as f64;
    sums(image, channels).iter().map(|sum| (sum / positions) as f32).collect()
}

/// `(x - mean) / sqrt(variance + epsilon)` of each position.
pub(super) fn normalized(image: &[f32], channels: usize, epsilon: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(image.len());
    for row in image.chunks_exact(channels) {
        let count = channels as f64;
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let squares = row.iter().map(|x| (f64::from(*x) - mean) * (f64::from(*x) - mean));
        let variance = squares.sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
        out.extend(row.iter().map(|x| ((f64::from(*x) - mean) * scale) as f32));
    }
    out
}
