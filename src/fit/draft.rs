//! A head on the workbench: shots and classes come, go and move, then one [`Draft::finish`].
//!
//! Many changes cost little more than one, which is what makes a long journal quick to read again.

use std::cmp::Ordering;

use super::edit::{Change, DUPLICATE, Duplicate, Forget};
use super::matrix::Workers;
use super::refit::{refresh, without_parts};
use super::rows::{ClassShots, Rows};
use super::{FitError, Projector, keys, text};
use crate::asset::{
    Asset, AssetError, CacheBuilder, HeadParams, Key, KeyNames, Labels, RowKind, Space, Tag,
};
use crate::kernels::Kernels;
use half::f16;

/// An asset's head while it is changed. A change that fails leaves the draft unusable.
pub struct Draft<'a> {
    asset: Asset<'a>,
    /// Where the keys live if there is no cache yet.
    space: Space,
    labels: Vec<String>,
    /// The place of each class in the asset; none for a new one.
    origin: Vec<Option<usize>>,
    rows: Option<Rows>,
    cache: Option<CacheBuilder>,
    names: Vec<String>,
    params: HeadParams,
    first_id: u64,
}

/// What [`Draft::learn`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Ids of the new keys.
    pub keys: Vec<u64>,
    /// Whether the class was not there before.
    pub new_class: bool,
}

/// What [`Draft::forget`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Ids of the keys that went.
    pub keys: Vec<u64>,
    /// The class that went, if one did.
    pub class: Option<String>,
}

/// What [`Draft::move_key`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whether the key's new class was not there before.
    pub new_class: bool,
    /// The class that went because this was all it had, if one did.
    pub class: Option<String>,
}

impl<'a> Draft<'a> {
    /// The head of `asset`. Where it has no shots yet, those that come live in `space`.
    ///
    /// # Errors
    /// The asset has no head.
    pub fn new(asset: &Asset<'a>, space: Space) -> Result<Self, FitError> {
        let params = asset.head.ok_or(Tag::HEAD.missing())?;
        let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
        let (mut cache, mut names) = (None, Vec::new());
        if let Some(old) = &asset.cache {
            let class_of = |index: usize| Some(old.class[index]);
            cache = Some(CacheBuilder::from_cache(old, old.classes(), class_of)?);
            let name = |index: usize| {
                let known = asset.key_names.and_then(|names| names.get(index));
                known.map_or_else(|| format!("key {}", old.id[index]), str::to_owned)
            };
            names = (0..old.len).map(name).collect();
        }
        let rows = asset.text.map(|text| Rows {
            kinds: (0..text.classes).map(|class| text.kind(class)).collect(),
            mean: text.mean.to_vec(),
            weights: text.weights.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect(),
        });
        let labels: Vec<_> = labels.iter().map(str::to_owned).collect();
        let origin = (0..labels.len()).map(Some).collect();
        let asset = *asset;
        Ok(Self { asset, space, labels, origin, rows, cache, names, params, first_id: 1 })
    }

    /// The ids of keys that come are at least `id`.
    pub fn ids_from(&mut self, id: u64) {
        self.first_id = self.first_id.max(id);
    }

    /// Appends shots, pairs of unit-norm feature and name, to class `label`, which is added if it is
    /// new, with text weights if the vocabulary has its name.
    ///
    /// # Errors
    /// A feature cannot be used, a limit is exceeded; a new class has neither shots nor text.
    pub fn learn(
        &mut self,
        label: &str,
        shots: &[(Vec<f32>, String)],
    ) -> Result<Learned, FitError> {
        let (class, new_class) = self.class_for(label, !shots.is_empty())?;
        if self.cache.is_none() && !shots.is_empty() {
            let features = shots.iter().map(|(feature, _)| &feature[..]);
            let mean = keys::mean(features, shots[0].0.len());
            let encoder = self.asset.container.encoder_id();
            self.cache = Some(CacheBuilder::new(encoder, self.space, &mean, self.labels.len())?);
        }
        if self.params.reference_shots == 0.0 {
            self.params.reference_shots = shots.len() as f32;
        }
        let mut keys = Vec::with_capacity(shots.len());
        for (feature, name) in shots {
            keys.push(self.push(class, feature, name)?);
        }
        Ok(Learned { keys, new_class })
    }

    /// Those of `shots` of class `label` that look like a shot that is known, or like one before them
    /// in the list.
    ///
    /// # Errors
    /// A feature cannot be used.
    pub fn duplicates(
        &self,
        label: &str,
        shots: &[(Vec<f32>, String)],
        kernels: &Kernels,
    ) -> Result<Vec<Duplicate>, FitError> {
        let view = self.cache.as_ref().map(CacheBuilder::view).transpose()?;
        let dim = view.map_or(shots.first().map_or(0, |(feature, _)| feature.len()), |v| v.dim);
        shots.iter().try_for_each(|(feature, name)| keys::check(name, feature, dim))?;
        let mut nearest = vec![(f32::NEG_INFINITY, "", ""); shots.len()];
        let mut compare = |from: usize, feature: &[f32], name, class| {
            for (best, (shot, _)) in nearest.iter_mut().zip(shots).skip(from) {
                let cosine = kernels.dot_f32(feature, shot);
                if cosine > best.0 {
                    *best = (cosine, name, class);
                }
            }
        };
        if let Some(view) = &view {
            for (key, name) in self.names.iter().enumerate() {
                let class = &self.labels[view.class[key] as usize];
                compare(0, &keys::decode(view, key), &name[..], &class[..]);
            }
        }
        for (i, (feature, name)) in shots.iter().enumerate() {
            compare(i + 1, feature, &name[..], label);
        }
        let near = shots.iter().zip(nearest).filter(|(_, (cosine, ..))| *cosine >= DUPLICATE);
        let duplicate = |((_, name), (cosine, other, class)): (&(_, String), (f32, &str, &str))| {
            let (other, other_class) = (other.to_owned(), class.to_owned());
            Duplicate { name: name.clone(), other, other_class, cosine }
        };
        Ok(near.map(duplicate).collect())
    }

    /// Takes out a class with its text and its shots, or one shot. A class that has nothing else goes
    /// with its last shot.
    ///
    /// # Errors
    /// Nothing of that name or number, or nothing else.
    pub fn forget(&mut self, what: Forget<'_>) -> Result<Forgotten, FitError> {
        let (class, key) = match what {
            Forget::Class(label) => (self.class(label)?, None),
            Forget::Key(id) => {
                let (key, class) = self.key(id)?;
                (class, Some(key))
            }
        };
        let class_goes = key.is_none() || (self.shots(class)? <= 1 && !self.has_text(class));
        if class_goes && self.labels.len() == 1 {
            return Err(FitError::LastClass(self.labels[class].clone()));
        }
        let mut keys = Vec::new();
        if let Some(cache) = &self.cache {
            let view = cache.view()?;
            let stays = |index: &usize| match class_goes {
                true => view.class[*index] as usize != class,
                false => Some(*index) != key,
            };
            let of = |index| stays(&index).then(|| view.class[index]);
            let left = CacheBuilder::from_cache(&view, view.classes(), of)?;
            keys.extend((0..view.len).filter(|index| !stays(index)).map(|index| view.id[index]));
            let mut index = 0..view.len;
            self.names.retain(|_| index.next().is_none_or(|index| stays(&index)));
            self.cache = Some(left);
        }
        Ok(Forgotten { keys, class: class_goes.then(|| self.remove_class(class)).transpose()? })
    }

    /// Gives a key to class `label`, which is added if it is new. The key keeps its id; its old class
    /// goes if it has nothing else.
    ///
    /// # Errors
    /// There is no such key, a limit is exceeded.
    pub fn move_key(&mut self, id: u64, label: &str) -> Result<Moved, FitError> {
        let (key, old) = self.key(id)?;
        let (class, new_class) = self.class_for(label, true)?;
        if let Some(cache) = &self.cache {
            let view = cache.view()?;
            let of = |index| Some(if index == key { class as u32 } else { view.class[index] });
            self.cache = Some(CacheBuilder::from_cache(&view, view.classes(), of)?);
        }
        let empty = self.shots(old)? == 0 && !self.has_text(old);
        let class = empty.then(|| self.remove_class(old)).transpose()?;
        Ok(Moved { new_class, class })
    }

    /// Gives a class another label. Its text weights stay those of the old one.
    ///
    /// # Errors
    /// There is no class of the old label, or one of the new.
    pub fn rename(&mut self, label: &str, new: &str) -> Result<(), FitError> {
        let class = self.class(label)?;
        if self.labels.iter().enumerate().any(|(i, other)| i != class && other == new) {
            return Err(FitError::DuplicateClass(new.to_owned()));
        }
        new.clone_into(&mut self.labels[class]);
        Ok(())
    }

    /// What has to change in the asset's file: weights follow the numbers of shots, and the head's
    /// own parts are kept up (`refresh`).
    ///
    /// # Errors
    /// A limit is exceeded.
    pub fn finish(
        mut self,
        project: Option<&dyn Projector>,
        workers: Workers,
    ) -> Result<Change, FitError> {
        let replaced = self.sections(project)?;
        let mut change = Change { replaced, removed: vec![Tag::METRICS], ..Change::default() };
        if self.params.kind.is_plain() {
            return Ok(change);
        }
        let bytes = without_parts(&change).apply(&self.asset.container).to_bytes()?;
        let class_of = |old| self.origin.iter().position(|origin| *origin == Some(old));
        let fresh = refresh(&self.asset, &Asset::open(&bytes)?, class_of, project, workers)?;
        change.stale = fresh.stale;
        change.replaced.extend(fresh.replaced);
        Ok(change)
    }

    fn class(&self, label: &str) -> Result<usize, FitError> {
        let class = self.labels.iter().position(|other| other == label);
        class.ok_or_else(|| FitError::UnknownClass(label.to_owned()))
    }

    /// The key's place and its class.
    fn key(&self, id: u64) -> Result<(usize, usize), FitError> {
        let view = self.cache.as_ref().map(CacheBuilder::view).transpose()?;
        let key = view.and_then(|view| Some((view.find(id)?, view)));
        let (key, view) = key.ok_or(FitError::UnknownKey(id))?;
        let class = view.class[key] as usize;
        match class < self.labels.len() {
            true => Ok((key, class)),
            false => Err(FitError::Asset(AssetError::Corrupt {
                section: Some(Tag::CACHE),
                what: "a key belongs to a class that does not exist",
            })),
        }
    }

    fn shots(&self, class: usize) -> Result<u32, FitError> {
        let view = self.cache.as_ref().map(CacheBuilder::view).transpose()?;
        Ok(view.map_or(0, |view| view.shots[class]))
    }

    fn has_text(&self, class: usize) -> bool {
        self.rows.as_ref().is_some_and(|rows| rows.kinds[class] == RowKind::Text)
    }

    /// The class of this label, made if it is new, and whether it is. It needs text or shots.
    fn class_for(&mut self, label: &str, gets_shots: bool) -> Result<(usize, bool), FitError> {
        if let Ok(class) = self.class(label) {
            return Ok((class, false));
        }
        let text = self.asset.vocabulary.and_then(|words| text::look_up(&words, label));
        if text.is_none() && !gets_shots {
            return Err(FitError::EmptyClass(label.to_owned()));
        }
        self.add_class(label, text)?;
        Ok((self.labels.len() - 1, true))
    }

    fn add_class(&mut self, label: &str, text: Option<Vec<f32>>) -> Result<(), FitError> {
        let dim = self.asset.text.map(|text| text.dim).or(text.as_ref().map(Vec::len));
        if self.rows.is_none()
            && text.is_some()
            && let Some(dim) = dim
        {
            self.rows = Some(Rows::from_text(&vec![None; self.labels.len()], dim));
        }
        self.labels.push(label.to_owned());
        self.origin.push(None);
        if let Some(rows) = &mut self.rows {
            let dim = rows.mean.len();
            rows.kinds.push(if text.is_some() { RowKind::Text } else { RowKind::Empty });
            match text {
                // The mean stays as it is, so that no other class's logits change.
                Some(text) => {
                    rows.weights.extend(text.iter().zip(&rows.mean).map(|(t, mean)| t - mean));
                }
                None => rows.weights.extend(std::iter::repeat_n(0.0, dim)),
            }
        }
        self.renumber(Some)
    }

    fn remove_class(&mut self, class: usize) -> Result<String, FitError> {
        let label = self.labels.remove(class);
        self.origin.remove(class);
        if let Some(rows) = &mut self.rows {
            let dim = rows.mean.len();
            rows.kinds.remove(class);
            rows.weights.drain(class * dim..(class + 1) * dim);
        }
        self.renumber(|other| match other.cmp(&(class as u32)) {
            Ordering::Less => Some(other),
            Ordering::Equal => None,
            Ordering::Greater => Some(other - 1),
        })?;
        Ok(label)
    }

    /// Fits the cache to the number of labels.
    fn renumber(&mut self, class_of: impl Fn(u32) -> Option<u32>) -> Result<(), FitError> {
        if let Some(cache) = &self.cache {
            let view = cache.view()?;
            let of = |index: usize| class_of(view.class[index]);
            self.cache = Some(CacheBuilder::from_cache(&view, self.labels.len(), of)?);
        }
        Ok(())
    }

    fn push(&mut self, class: usize, feature: &[f32], name: &str) -> Result<u64, FitError> {
        let cache = self.cache.as_mut().ok_or(Tag::CACHE.missing())?;
        let view = cache.view()?;
        keys::check(name, feature, view.dim)?;
        let coded = keys::code(feature, view.mean);
        cache.edit()?.ids_from(self.first_id);
        let id = cache.push(&Key {
            codes: &coded.codes,
            scale: coded.scale,
            bias: coded.bias,
            weight: 1.0,
            class: class as u32,
        })?;
        self.names.push(name.to_owned());
        Ok(id)
    }

    /// The changed sections: weights follow the numbers of shots, rows from shots the shots.
    fn sections(
        &mut self,
        project: Option<&dyn Projector>,
    ) -> Result<Vec<(Tag, Vec<u8>)>, FitError> {
        if let Some(cache) = &mut self.cache {
            weigh(cache, self.params.reference_shots)?;
            let view = cache.view()?;
            if let Some(rows) = &mut self.rows
                // to project every shot takes long
                && rows.kinds.iter().any(|kind| *kind != RowKind::Text)
                && let Some(shots) = ClassShots::new(&view, project)
            {
                rows.clear_shots();
                rows.fill(&shots, self.params.row_gain);
            }
        }
        let mut sections =
            vec![(Tag::LABELS, Labels::encode(&self.labels)?), (Tag::HEAD, self.params.encode())];
        if let Some(rows) = &self.rows {
            sections.push((Tag::TEXT, rows.encode()?));
        }
        if let Some(cache) = self.cache.take() {
            sections.push((Tag::CACHE, cache.finish(0)?.to_vec()));
            sections.push((Tag::KEY_NAMES, KeyNames::encode(&self.names)?));
        }
        Ok(sections)
    }
}

/// Gives each key the weight `reference_shots` over the shots of its class.
pub(super) fn weigh(cache: &mut CacheBuilder, reference_shots: f32) -> Result<(), FitError> {
    let mut edit = cache.edit()?;
    let shots = edit.shots().to_vec();
    let classes = edit.classes().to_vec();
    for (weight, class) in edit.weights_mut().iter_mut().zip(classes) {
        *weight = reference_shots / shots[class as usize] as f32;
    }
    Ok(())
}
