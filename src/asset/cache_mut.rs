#[cfg(feature = "std")]
use super::Cache;
use super::cache::{Record, check};
use super::fields::FieldsMut;
use super::{AssetError, Tag, limits, panels};

/// One key to append: the unit vector `mean + scale * codes`.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// `[dim]`, each within -127 to 127.
    pub codes: &'k [i8],
    /// Size of one step of the codes.
    pub scale: f32,
    /// mean · (scale * codes)
    pub bias: f32,
    /// Weight in the sum of its class.
    pub weight: f32,
    /// Its class.
    pub class: u32,
}

/// A cache section that is edited where it lies: in memory of the device, or in a copy that
/// becomes a new file.
#[derive(Debug)]
pub struct CacheMut<'a> {
    record: &'a mut Record,
    mean: &'a mut [f32],
    shots: &'a mut [u32],
    scale: &'a mut [f32],
    bias: &'a mut [f32],
    weight: &'a mut [f32],
    class: &'a mut [u32],
    id: &'a mut [u64],
    keys: &'a mut [i8],
}

impl<'a> CacheMut<'a> {
    /// Borrows section [`Tag::CACHE`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, AssetError> {
        let mut fields = FieldsMut::new(Tag::CACHE, bytes);
        let record = fields.record::<Record>()?;
        let (dim, capacity) = (record.dim as usize, record.capacity as usize);
        let keys = check(record)?;
        let view = Self {
            mean: fields.array(dim)?,
            shots: fields.array(record.classes as usize)?,
            scale: fields.array(capacity)?,
            bias: fields.array(capacity)?,
            weight: fields.array(capacity)?,
            class: fields.array(capacity)?,
            id: fields.array(capacity)?,
            keys: fields.array(keys)?,
            record,
        };
        fields.end()?;
        Ok(view)
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record.len as usize
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[dim]`: what is taken out of every key before rounding.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        self.mean
    }

    /// `[len]`: weight of each key in the sum of its class.
    pub fn weights_mut(&mut self) -> &mut [f32] {
        &mut self.weight[..self.record.len as usize]
    }

    /// `[len]`: class of each key.
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.class[..self.record.len as usize]
    }

    /// `[classes]`: number of keys of each class.
    #[must_use]
    pub fn shots(&self) -> &[u32] {
        self.shots
    }

    /// Appends a key and gives its id.
    ///
    /// # Errors
    /// [`AssetError::Limit`] when the room is used up; [`AssetError::Corrupt`] if the key has
    /// another size or its class does not exist.
    pub fn push(&mut self, key: &Key<'_>) -> Result<u64, AssetError> {
        let id = self.record.next_id.max(1);
        self.push_with_id(key, id)?;
        self.record.next_id = id + 1;
        Ok(id)
    }

    /// The ids of keys that come are at least `id`.
    pub fn ids_from(&mut self, id: u64) {
        self.record.next_id = self.record.next_id.max(id);
    }

    /// Appends a key that has an id; `next_id` stays as it is.
    pub(super) fn push_with_id(&mut self, key: &Key<'_>, id: u64) -> Result<(), AssetError> {
        let (dim, index) = (self.mean.len(), self.len());
        if key.codes.len() != dim {
            return Err(Tag::CACHE.corrupt("a new key has another number of dimensions"));
        }
        self.enter(key, id)?;
        panels::write(self.keys, dim, index, key.codes);
        Ok(())
    }

    /// Appends to no keys the first ones of `cache`, one for each of `classes`, with their ids: a whole
    /// number of panels, copied as they lie, which is many times faster than key by key.
    #[cfg(feature = "std")]
    pub(super) fn push_panels(
        &mut self,
        cache: &Cache<'_>,
        classes: &[u32],
    ) -> Result<(), AssetError> {
        for (index, &class) in classes.iter().enumerate() {
            let (scale, bias) = (cache.scale[index], cache.bias[index]);
            let key = Key { codes: &[], scale, bias, weight: cache.weight[index], class };
            self.enter(&key, cache.id[index])?;
        }
        let len = panels::packed_len(cache.dim, classes.len()).unwrap_or(0);
        self.keys[..len].copy_from_slice(&cache.keys[..len]);
        Ok(())
    }

    /// Everything of a new key but its codes.
    fn enter(&mut self, key: &Key<'_>, id: u64) -> Result<(), AssetError> {
        let index = self.len();
        limits::check("keys in this cache's room", index + 1, self.scale.len())?;
        let Some(shots) = self.shots.get_mut(key.class as usize) else {
            return Err(Tag::CACHE.corrupt("a new key belongs to a class that does not exist"));
        };
        *shots = shots.saturating_add(1);
        self.scale[index] = key.scale;
        self.bias[index] = key.bias;
        self.weight[index] = key.weight;
        self.class[index] = key.class;
        self.id[index] = id;
        self.record.len += 1;
        Ok(())
    }

    /// Removes key `index`; the keys behind it move up, so that their order stays. Nothing happens
    /// behind the last key.
    pub fn remove(&mut self, index: usize) {
        let len = self.len();
        if index >= len {
            return;
        }
        if let Some(shots) = self.shots.get_mut(self.class[index] as usize) {
            *shots = shots.saturating_sub(1);
        }
        for key in index + 1..len {
            panels::copy(self.keys, self.mean.len(), key, key - 1);
        }
        panels::write(self.keys, self.mean.len(), len - 1, &[]);
        for values in [&mut *self.scale, self.bias, self.weight] {
            values.copy_within(index + 1..len, index);
            values[len - 1] = 0.0;
        }
        self.class.copy_within(index + 1..len, index);
        self.class[len - 1] = 0;
        self.id.copy_within(index + 1..len, index);
        self.id[len - 1] = 0;
        self.record.len -= 1;
    }
}
