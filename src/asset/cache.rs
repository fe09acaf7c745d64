use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, EncoderId, Tag, limits, panels};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) encoder: EncoderId,
    pub(super) next_id: u64,
    pub(super) space: u32,
    pub(super) dim: u32,
    pub(super) len: u32,
    pub(super) capacity: u32,
    pub(super) classes: u32,
    pub(super) reserved: u32,
}

/// The feature that keys live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The encoder's own feature, before any projection.
    Trunk,
    /// The feature in the space of the text.
    Projected,
}

impl Space {
    /// Every space; the place in this list is the number in the file.
    pub const ALL: [Self; 2] = [Self::Trunk, Self::Projected];

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trunk => "trunk",
            Self::Projected => "projected",
        }
    }
}

/// The cache of shots. Key n is the unit vector `mean + scale[n] * codes[n]`.
///
/// Every per-key slice has `capacity` values, a multiple of 16, so that whole panels can be read.
/// Behind the first `len` keys everything is 0: a weight of 0 makes such a key contribute nothing.
#[derive(Clone, Copy, Debug)]
pub struct Cache<'a> {
    /// The encoder that made the keys.
    pub encoder: EncoderId,
    /// The feature that the keys live in.
    pub space: Space,
    /// Dimensions of a key.
    pub dim: usize,
    /// Number of keys.
    pub len: usize,
    /// Keys for which there is room.
    pub capacity: usize,
    /// Id of the next key: ids ascend from 1 and are never used again.
    pub next_id: u64,
    /// `[dim]`: what was taken out of every key before rounding.
    pub mean: &'a [f32],
    /// `[classes]`: number of keys of each class.
    pub shots: &'a [u32],
    /// `[capacity]`: size of one step of a key's codes.
    pub scale: &'a [f32],
    /// `[capacity]`: mean · (scale * codes), so that q · key = q · mean + bias + ... needs no pass
    /// over the mean when the query is centred too.
    pub bias: &'a [f32],
    /// `[capacity]`: weight of a key in the sum of its class.
    pub weight: &'a [f32],
    /// `[capacity]`: class of a key. Only [`validate`](Self::validate) looks whether it exists, so
    /// index with `get`.
    pub class: &'a [u32],
    /// `[capacity]`: name of a key for "forget" and for explanations, ascending.
    pub id: &'a [u64],
    /// Codes in the kernels' packed layout `[capacity / 16][dim / 4, rounded up][16][4]`.
    pub keys: &'a [i8],
}

impl<'a> Cache<'a> {
    /// Reads section [`Tag::CACHE`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::CACHE, bytes);
        let record = fields.record::<Record>()?;
        let (dim, capacity) = (record.dim as usize, record.capacity as usize);
        let keys = check(record)?;
        let Some(&space) = Space::ALL.get(record.space as usize) else {
            return Err(Tag::CACHE.corrupt("the space of its keys is unknown to this version"));
        };
        let view = Self {
            encoder: record.encoder,
            space,
            dim,
            len: record.len as usize,
            capacity,
            next_id: record.next_id,
            mean: fields.array(dim)?,
            shots: fields.array(record.classes as usize)?,
            scale: fields.array(capacity)?,
            bias: fields.array(capacity)?,
            weight: fields.array(capacity)?,
            class: fields.array(capacity)?,
            id: fields.array(capacity)?,
            keys: fields.array(keys)?,
        };
        fields.end()?;
        Ok(view)
    }

    /// Number of classes, with or without shots.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.shots.len()
    }

    /// The codes of key `index`, one after the other.
    pub fn codes(&self, index: usize) -> impl Iterator<Item = i8> + use<'a> {
        panels::read(self.keys, self.dim, index)
    }

    /// Copies the codes of key `index` into `codes`, `[dim]`.
    ///
    /// # Panics
    /// `codes` has another length.
    pub fn codes_into(&self, index: usize, codes: &mut [i8]) {
        assert_eq!(codes.len(), self.dim, "codes of a key");
        panels::read_into(self.keys, index, codes);
    }

    /// The place of the key with this id.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<usize> {
        self.id.get(..self.len)?.binary_search(&id).ok()
    }

    /// Keys are finite and of length 1, classes exist, ids ascend, shots are counted right, and the
    /// room behind the keys is empty. Reads the whole section.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        self.validate_values(true)
    }

    /// The same; the keys have length 1 only if `unit`.
    pub(super) fn validate_values(&self, unit: bool) -> Result<(), AssetError> {
        let corrupt = |what| Err(Tag::CACHE.corrupt(what));
        if !self.mean.iter().all(|value| value.is_finite()) {
            return corrupt("the mean is not finite");
        }
        let mean_norm: f32 = self.mean.iter().map(|value| value * value).sum();
        for key in 0..self.len {
            let (scale, bias, weight) = (self.scale[key], self.bias[key], self.weight[key]);
            if ![scale, bias, weight].iter().all(|value| value.is_finite()) || weight < 0.0 {
                return corrupt("scale, bias or weight of a key is not a usable number");
            }
            let squares: i32 = self.codes(key).map(|code| i32::from(code) * i32::from(code)).sum();
            let norm = mean_norm + 2.0 * bias + scale * scale * squares as f32;
            if unit && !(0.9..1.1).contains(&norm) {
                return corrupt("a key does not have length 1");
            }
            if self.class[key] as usize >= self.classes() {
                return corrupt("a key belongs to a class that does not exist");
            }
            let before = if key == 0 { 0 } else { self.id[key - 1] };
            if self.id[key] <= before || self.id[key] >= self.next_id {
                return corrupt("the ids of its keys do not ascend");
            }
        }
        // Counted some classes at a time: there is no room for all of them at once.
        const AT_ONCE: usize = 256;
        for (block, shots) in self.shots.chunks(AT_ONCE).enumerate() {
            let mut counted = [0; AT_ONCE];
            for &class in &self.class[..self.len] {
                if let Some(i) = (class as usize).checked_sub(block * AT_ONCE)
                    && let Some(count) = counted.get_mut(i)
                {
                    *count += 1;
                }
            }
            if counted[..shots.len()] != *shots {
                return corrupt("the shots of a class are counted wrong");
            }
        }
        let room = self.len..self.capacity;
        if room.clone().any(|key| self.weight[key] != 0.0 || self.codes(key).any(|code| code != 0))
        {
            return corrupt("the room behind its keys is not empty");
        }
        Ok(())
    }
}

/// Counts that fit each other and the limits; gives the bytes of the packed keys.
pub(super) fn check(record: &Record) -> Result<usize, AssetError> {
    let (dim, capacity) = (record.dim as usize, record.capacity as usize);
    limits::check("dimensions of a key", dim, limits::MAX_DIM)?;
    limits::check("keys", capacity, limits::MAX_KEYS)?;
    limits::check("classes", record.classes as usize, limits::MAX_CLASSES)?;
    if record.len > record.capacity || capacity % 16 != 0 {
        return Err(Tag::CACHE.corrupt("its number of keys does not fit its room"));
    }
    panels::packed_len(dim, capacity).ok_or(Tag::CACHE.corrupt("its keys are too large"))
}
