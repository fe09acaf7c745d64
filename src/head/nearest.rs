use crate::asset::Cache;

/// Nearest keys that are kept.
pub const NEAREST: usize = 8;

/// A key near to the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its place in the cache: finds its name.
    pub key: usize,
    /// Its id: what `forget` takes.
    pub id: u64,
    /// Its class.
    pub class: u32,
    /// Its cosine with the picture's feature.
    pub cosine: f32,
}

/// The nearest keys, the nearest first; of equal cosines the earlier key first.
pub type Nearests = heapless::Vec<Nearest, NEAREST>;

/// Puts a key where it belongs, if it is near enough.
pub(super) fn offer(nearests: &mut Nearests, key: usize, cosine: f32, cache: &Cache<'_>) {
    if nearests.is_full() {
        if nearests.last().is_some_and(|last| cosine <= last.cosine) {
            return;
        }
        nearests.pop();
    }
    let at = nearests.iter().take_while(|other| other.cosine >= cosine).count();
    let nearest = Nearest { key, id: cache.id[key], class: cache.class[key], cosine };
    // There is room: a full list has lost its last entry above.
    let _ = nearests.insert(at, nearest);
}
