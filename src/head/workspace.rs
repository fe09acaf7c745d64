use super::HeadError;

/// Where a head puts what it computes. The slices are the caller's, so that nothing is allocated.
pub struct Workspace<'w> {
    /// The query's codes, [`Head::codes_len`](super::Head::codes_len) long.
    pub codes: &'w mut [i8],
    /// Features on their way, [`Head::features_len`](super::Head::features_len) long.
    pub features: &'w mut [f32],
    /// Text term of each class.
    pub zero_shot: &'w mut [f32],
    /// Term of each class that comes from the shots.
    pub cache: &'w mut [f32],
    /// Logit of each class.
    pub logits: &'w mut [f32],
}

impl Workspace<'_> {
    pub(super) fn check(
        &self,
        classes: usize,
        codes: usize,
        features: usize,
    ) -> Result<(), HeadError> {
        let slices = [
            ("codes", self.codes.len(), codes),
            ("features", self.features.len(), features),
            ("zero_shot", self.zero_shot.len(), classes),
            ("cache", self.cache.len(), classes),
            ("logits", self.logits.len(), classes),
        ];
        match slices.into_iter().find(|(_, found, expected)| found != expected) {
            Some((slice, found, expected)) => Err(HeadError::Workspace { slice, expected, found }),
            None => Ok(()),
        }
    }
}

/// A workspace that owns its memory.
#[cfg(feature = "std")]
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    codes: std::vec::Vec<i8>,
    features: std::vec::Vec<f32>,
    /// Text term of each class.
    pub zero_shot: std::vec::Vec<f32>,
    /// Term of each class that comes from the shots.
    pub cache: std::vec::Vec<f32>,
    /// Logit of each class.
    pub logits: std::vec::Vec<f32>,
}

#[cfg(feature = "std")]
impl Buffers {
    /// Buffers of the sizes that `head` wants.
    #[must_use]
    pub fn new(head: &super::Head<'_>) -> Self {
        let zeros = std::vec![0.0; head.classes()];
        Self {
            codes: std::vec![0; head.codes_len()],
            features: std::vec![0.0; head.features_len()],
            zero_shot: zeros.clone(),
            cache: zeros.clone(),
            logits: zeros,
        }
    }

    /// The buffers as [`Head::logits`](super::Head::logits) takes them.
    pub fn workspace(&mut self) -> Workspace<'_> {
        Workspace {
            codes: &mut self.codes,
            features: &mut self.features,
            zero_shot: &mut self.zero_shot,
            cache: &mut self.cache,
            logits: &mut self.logits,
        }
    }
}
