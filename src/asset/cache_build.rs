use zerocopy::IntoBytes;

use super::cache::{Record, check};
use super::fields::place;
use super::{AlignedBytes, AssetError, Cache, CacheMut, EncoderId, Key, Space, Tag, limits};
use crate::kernels::LANES;

/// Makes a cache section, from nothing or from another one, with as much room as it turns out to
/// need.
#[derive(Clone, Debug)]
pub struct CacheBuilder {
    section: AlignedBytes,
}

impl CacheBuilder {
    /// An empty cache for keys of this encoder around `mean` (`[dim]`).
    ///
    /// # Errors
    /// [`AssetError::Limit`].
    pub fn new(
        encoder: EncoderId,
        space: Space,
        mean: &[f32],
        classes: usize,
    ) -> Result<Self, AssetError> {
        limits::check("dimensions of a key", mean.len(), limits::MAX_DIM)?;
        limits::check("classes", classes, limits::MAX_CLASSES)?;
        let record = Record {
            encoder,
            next_id: 1,
            space: space as u32,
            dim: mean.len() as u32,
            len: 0,
            capacity: 0,
            classes: classes as u32,
            reserved: 0,
        };
        empty(record, mean).map(|section| Self { section })
    }

    /// A copy of `cache` for `classes` classes: key `i` stays, with its id, if `class_of(i)` gives
    /// it a class. This adds classes, removes them and renumbers them.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if a class does not exist.
    pub fn from_cache(
        cache: &Cache<'_>,
        classes: usize,
        class_of: impl FnMut(usize) -> Option<u32>,
    ) -> Result<Self, AssetError> {
        limits::check("classes", classes, limits::MAX_CLASSES)?;
        copy(cache, classes, cache.len, class_of).map(|section| Self { section })
    }

    /// Appends a key and gives its id.
    ///
    /// # Errors
    /// [`AssetError::Limit`] above [`limits::MAX_KEYS`]; [`AssetError::Corrupt`] if the key has
    /// another size or its class does not exist.
    pub fn push(&mut self, key: &Key<'_>) -> Result<u64, AssetError> {
        let cache = self.view()?;
        if cache.len == cache.capacity {
            limits::check("keys", cache.len + 1, limits::MAX_KEYS)?;
            let room = (cache.len * 2).clamp(16, limits::MAX_KEYS);
            self.section = copy(&cache, cache.classes(), room, same_class(&cache))?;
        }
        self.edit()?.push(key)
    }

    /// The keys so far.
    ///
    /// # Errors
    /// None that [`new`](Self::new) or [`from_cache`](Self::from_cache) let through.
    pub fn view(&self) -> Result<Cache<'_>, AssetError> {
        Cache::parse(&self.section)
    }

    /// The keys so far, to remove some or to change weights.
    ///
    /// # Errors
    /// None that [`new`](Self::new) or [`from_cache`](Self::from_cache) let through.
    pub fn edit(&mut self) -> Result<CacheMut<'_>, AssetError> {
        CacheMut::parse(&mut self.section)
    }

    /// The section, with room for at least `spare` more keys.
    ///
    /// # Errors
    /// [`AssetError::Limit`] above [`limits::MAX_KEYS`].
    pub fn finish(self, spare: usize) -> Result<AlignedBytes, AssetError> {
        let cache = self.view()?;
        copy(&cache, cache.classes(), cache.len.saturating_add(spare), same_class(&cache))
    }
}

fn same_class<'a>(cache: &Cache<'a>) -> impl FnMut(usize) -> Option<u32> + use<'a> {
    let class = cache.class;
    move |index| class.get(index).copied()
}

/// A section like that of `cache` with other room, holding the keys that get a class.
fn copy(
    cache: &Cache<'_>,
    classes: usize,
    room: usize,
    class_of: impl FnMut(usize) -> Option<u32>,
) -> Result<AlignedBytes, AssetError> {
    limits::check("keys", room, limits::MAX_KEYS)?;
    let record = Record {
        encoder: cache.encoder,
        next_id: cache.next_id,
        space: cache.space as u32,
        dim: cache.dim as u32,
        len: 0,
        capacity: room.next_multiple_of(16) as u32,
        classes: classes as u32,
        reserved: 0,
    };
    let mut section = empty(record, cache.mean)?;
    let mut keys = CacheMut::parse(&mut section)?;
    let class: Vec<_> = (0..cache.len).map(class_of).collect();
    // until the first one that goes, every key keeps its place
    let staying: Vec<u32> = class.iter().map_while(|class| *class).collect();
    let whole = staying.len() / LANES * LANES;
    keys.push_panels(cache, &staying[..whole])?;
    let mut codes = vec![0; cache.dim];
    for (index, class) in class.into_iter().enumerate().skip(whole) {
        if let Some(class) = class {
            cache.codes_into(index, &mut codes);
            let (scale, bias) = (cache.scale[index], cache.bias[index]);
            let key = Key { codes: &codes, scale, bias, weight: cache.weight[index], class };
            keys.push_with_id(&key, cache.id[index])?;
        }
    }
    Ok(section)
}

/// A section without keys.
fn empty(record: Record, mean: &[f32]) -> Result<AlignedBytes, AssetError> {
    let mut section = AlignedBytes::zeroed(section_len(&record)?);
    let mean_at = size_of::<Record>().next_multiple_of(super::format::ALIGN);
    section[..size_of::<Record>()].copy_from_slice(record.as_bytes());
    section[mean_at..mean_at + size_of_val(mean)].copy_from_slice(mean.as_bytes());
    Ok(section)
}

/// Bytes of a section with these counts: the arrays of [`Cache::parse`] in the same order.
fn section_len(record: &Record) -> Result<usize, AssetError> {
    let keys = check(record)?;
    let (dim, capacity) = (record.dim as usize, record.capacity as usize);
    let end = || {
        let mut at = size_of::<Record>();
        at = place::<f32>(at, dim)?.end;
        at = place::<u32>(at, record.classes as usize)?.end;
        at = place::<f32>(at, capacity)?.end;
        at = place::<f32>(at, capacity)?.end;
        at = place::<f32>(at, capacity)?.end;
        at = place::<u32>(at, capacity)?.end;
        at = place::<u64>(at, capacity)?.end;
        Some(place::<i8>(at, keys)?.end)
    };
    end().ok_or(Tag::CACHE.corrupt("its keys are too large"))
}
