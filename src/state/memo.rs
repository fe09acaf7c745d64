use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::quality::RandomState;
use zerocopy::IntoBytes;

use super::OwnedProject;

/// Features that are remembered; an 8 MB table where the text's space has 512 dimensions.
const MAX_REMEMBERED: usize = 4096;

/// The same projection, remembering what it gave: each change of a head asks for all shots again, and
/// nearly all of them are those of before.
pub(super) fn remembering(project: OwnedProject) -> OwnedProject {
    let known = Mutex::new(HashMap::<u64, Vec<f32>>::new());
    // The standard library's takes longer over all shots than the rest of a lesson.
    let hash = RandomState::default();
    Box::new(move |feature| {
        let key = hash.hash_one(feature.as_bytes());
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(projected) = lock().get(&key) {
            return projected.clone();
        }
        let projected = project(feature);
        let mut known = lock();
        if known.len() < MAX_REMEMBERED {
            known.insert(key, projected.clone());
        }
        projected
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_feature_is_projected_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let project = remembering(Box::new(move |feature| {
            counted.fetch_add(1, Ordering::Relaxed);
            feature.iter().map(|value| 2.0 * value).collect()
        }));
        for _ in 0..3 {
            assert_eq!(project(&[1.0, 2.0]), [2.0, 4.0]);
            assert_eq!(project(&[1.0, 3.0]), [2.0, 6.0]);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
