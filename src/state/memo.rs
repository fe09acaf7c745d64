use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;
use zerocopy::IntoBytes;

use crate::fit::{OwnedProjector, ProjectionWeights, Projector};

/// Features that are remembered; an 8 MB table where the text's space has 512 dimensions.
const MAX_REMEMBERED: usize = 4096;

/// The same projection, remembering what it gave: each change of a head asks for all shots again, and
/// nearly all of them are those of before.
pub(super) fn remembering(project: OwnedProjector) -> OwnedProjector {
    // The standard library's hash takes longer over all shots than the rest of a lesson.
    let hash = RandomState::default();
    Box::new(Remembering { project, known: Mutex::default(), hash })
}

struct Remembering {
    project: OwnedProjector,
    known: Mutex<HashMap<u64, Vec<f32>>>,
    hash: RandomState,
}

impl Projector for Remembering {
    fn project(&self, feature: &[f32]) -> Vec<f32> {
        let key = self.hash.hash_one(feature.as_bytes());
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(projected) = lock().get(&key) {
            return projected.clone();
        }
        let projected = self.project.project(feature);
        let mut known = lock();
        if known.len() < MAX_REMEMBERED {
            known.insert(key, projected.clone());
        }
        projected
    }

    fn weights(&self) -> Option<Arc<ProjectionWeights>> {
        self.project.weights()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_feature_is_projected_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let project = remembering(Box::new(move |feature: &[f32]| {
            counted.fetch_add(1, Ordering::Relaxed);
            feature.iter().map(|value| 2.0 * value).collect::<Vec<f32>>()
        }));
        for _ in 0..3 {
            assert_eq!(project.project(&[1.0, 2.0]), [2.0, 4.0]);
            assert_eq!(project.project(&[1.0, 3.0]), [2.0, 6.0]);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
