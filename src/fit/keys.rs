//! From features to the cache's keys: centred, rounded to i8 with one scale for each key.

use super::FitError;
use crate::asset::Cache;

/// A key's codes: the feature is `mean + scale * codes`.
#[derive(Clone, Debug, PartialEq)]
pub struct CodedKey {
    /// `[dim]`, -127 to 127.
    pub codes: Vec<i8>,
    /// Size of one step.
    pub scale: f32,
    /// `mean · (scale * codes)`
    pub bias: f32,
}

/// The mean of features of `dim` values, summed in their order.
#[must_use]
pub fn mean<'f>(features: impl Iterator<Item = &'f [f32]>, dim: usize) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0.0f64; dim], 0u32);
    for feature in features {
        sums.iter_mut().zip(feature).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    let share = 1.0 / f64::from(count.max(1));
    sums.into_iter().map(|sum| (sum * share) as f32).collect()
}

/// Codes a feature around `mean`: r = feature - mean is rounded in steps of max|r| / 127; the scale is
/// the one with which the codes come closest to r (least squares).
///
/// Centring takes out the few channels that are large in every feature, which would otherwise set
/// the steps: the error of a cosine becomes several times smaller.
#[must_use]
pub fn code(feature: &[f32], mean: &[f32]) -> CodedKey {
    let centred = || feature.iter().zip(mean).map(|(value, mean)| value - mean);
    let step = centred().fold(0.0f32, |max, value| max.max(value.abs())) / 127.0;
    let round = |value: f32| (value / step).round_ties_even().clamp(-127.0, 127.0) as i8;
    let codes: Vec<i8> = centred().map(|v| if step > 0.0 { round(v) } else { 0 }).collect();
    let sum = |values: &mut dyn Iterator<Item = f32>| {
        codes.iter().zip(values).map(|(&code, v)| f64::from(code) * f64::from(v)).sum::<f64>()
    };
    let squares = sum(&mut codes.iter().map(|&code| f32::from(code)));
    let scale = if squares > 0.0 { sum(&mut centred()) / squares } else { 0.0 };
    let bias = sum(&mut mean.iter().copied()) * scale;
    CodedKey { scale: scale as f32, bias: bias as f32, codes }
}

/// The feature that key `index` of a cache stands for.
#[must_use]
pub fn decode(cache: &Cache<'_>, index: usize) -> Vec<f32> {
    let scale = cache.scale.get(index).copied().unwrap_or(0.0);
    let mut codes = vec![0; cache.dim];
    cache.codes_into(index, &mut codes);
    codes.iter().zip(cache.mean).map(|(&code, mean)| mean + scale * f32::from(code)).collect()
}

/// A feature must have `dim` values and length 1 (within 1 %).
pub(super) fn check(shot: &str, feature: &[f32], dim: usize) -> Result<(), FitError> {
    let problem = |problem| Err(FitError::Feature { shot: shot.to_owned(), problem });
    if feature.len() != dim {
        return problem(format!("has {} values instead of {dim}", feature.len()));
    }
    let norm = feature.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    if !norm.is_finite() || (norm - 1.0).abs() > 0.01 {
        return problem(format!("has length {norm:.3} instead of 1"));
    }
    Ok(())
}

/// Scales a vector to length 1; one of zeros, or one that is not finite, stays as it is.
pub fn normalize(values: &mut [f32]) {
    let norm = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    if norm > 0.0 && norm.is_finite() {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_close_to_the_feature() {
        let mut feature: Vec<f32> = (0..50).map(|i| ((i * 37 % 50) as f32 - 20.0) / 50.0).collect();
        normalize(&mut feature);
        let mean: Vec<f32> = (0..50).map(|i| (i as f32) / 1000.0).collect();
        let key = code(&feature, &mean);
        assert_eq!(key.codes.iter().map(|c| c.unsigned_abs()).max(), Some(127));
        for ((&code, mean), value) in key.codes.iter().zip(&mean).zip(&feature) {
            let back = mean + key.scale * f32::from(code);
            assert!((back - value).abs() <= key.scale * 0.6, "{back} {value}");
        }
        let bias: f32 =
            key.codes.iter().zip(&mean).map(|(&c, m)| m * key.scale * f32::from(c)).sum();
        assert!((bias - key.bias).abs() < 1e-6);
    }

    #[test]
    fn a_feature_equal_to_the_mean_has_no_codes() {
        let feature = [0.6, 0.8];
        assert_eq!(code(&feature, &feature), CodedKey { codes: vec![0, 0], scale: 0.0, bias: 0.0 });
    }

    #[test]
    fn unusable_features_are_refused_by_name() {
        for feature in [[0.0, 0.0], [f32::NAN, 1.0], [3.0, 4.0]] {
            let error = check("cat/1.jpg", &feature, 2).unwrap_err().to_string();
            assert!(error.contains("cat/1.jpg") && error.contains("length"), "{error}");
        }
        assert!(check("cat/1.jpg", &[1.0], 2).is_err());
        assert!(check("cat/1.jpg", &[0.6, 0.8], 2).is_ok());
    }

    #[test]
    fn mean_of_nothing_is_zero() {
        assert_eq!(mean([].into_iter(), 3), [0.0; 3]);
        assert_eq!(mean([&[1.0, 0.0][..], &[0.0, 1.0]].into_iter(), 2), [0.5; 2]);
    }
}
