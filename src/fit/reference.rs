//! Tip-Adapter in plain f64, for measuring what int8 keys and f16 text cost. Slow and simple.

/// What a head is made of, in float.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// `[classes][dim]`: text vectors of unit norm.
    pub text: &'a [f32],
    /// `[shots][dim]`: keys of unit norm.
    pub keys: &'a [f32],
    /// `[shots]`: class of a key.
    pub labels: &'a [u32],
    /// Number of classes.
    pub classes: usize,
    /// Length of a feature.
    pub dim: usize,
    /// Weight of the cache.
    pub alpha: f64,
    /// Sharpness of the affinity.
    pub beta: f64,
}

impl Reference<'_> {
    /// `100 f T`
    #[must_use]
    pub fn zero_shot(&self, feature: &[f32]) -> Vec<f64> {
        self.text.chunks_exact(self.dim).map(|text| 100.0 * dot(feature, text)).collect()
    }

    /// `alpha exp(-(beta - beta f K^T)) V`
    #[must_use]
    pub fn cache(&self, feature: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.classes];
        for (key, &label) in self.keys.chunks_exact(self.dim).zip(self.labels) {
            let affinity = (-(self.beta - self.beta * dot(feature, key))).exp();
            sums[label as usize] += self.alpha * affinity;
        }
        sums
    }

    /// The sum of both.
    #[must_use]
    pub fn tip(&self, feature: &[f32]) -> Vec<f64> {
        let zero_shot = self.zero_shot(feature);
        zero_shot.iter().zip(self.cache(feature)).map(|(z, a)| z + a).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
