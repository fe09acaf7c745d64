use std::cmp::Ordering;

use super::matrix::Workers;
use super::refit::{refresh, without_parts};
use super::rows::{ClassShots, Rows};
use super::{FitError, Project, keys, text};
use crate::asset::{
    Asset, AssetError, Builder, CacheBuilder, Container, HeadParams, Key, KeyNames, Labels,
    RowKind, Space, Tag,
};
use half::f16;

/// From this cosine on two shots are near-duplicates: frames of one scene, or the same photograph.
pub const DUPLICATE: f32 = 0.98;

/// What has to change in a file.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Sections to add or to replace.
    pub replaced: Vec<(Tag, Vec<u8>)>,
    /// Sections to leave out: figures that were measured before the change.
    pub removed: Vec<Tag>,
    /// Ids of the keys that came or went.
    pub keys: Vec<u64>,
    /// The class that came or went, if one did.
    pub class: Option<String>,
    /// New shots that show nothing new.
    pub duplicates: Vec<Duplicate>,
    /// Whether the head was trained with other shots and should be made again.
    pub stale: bool,
}

impl Change {
    /// The changed file.
    #[must_use]
    pub fn apply<'a>(&'a self, container: &Container<'a>) -> Builder<'a> {
        let file = Builder::from_container(container);
        let file = self.removed.iter().fold(file, |file, tag| file.without(*tag));
        self.replaced.iter().fold(file, |file, (tag, bytes)| file.section(*tag, &bytes[..]))
    }
}

/// A new shot that looks like another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicate {
    /// Its name.
    pub name: String,
    /// Name of the other shot.
    pub other: String,
    /// Class of the other shot.
    pub other_class: String,
    /// Their cosine.
    pub cosine: f32,
}

/// What to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget<'f> {
    /// A class with its text and its shots, by its label.
    Class(&'f str),
    /// One shot, by its key's id. A class that has nothing else goes with it.
    Key(u64),
}

/// Appends shots, pairs of unit-norm feature and name, to class `label`, which is added if it is new,
/// with text weights if the asset's vocabulary has its name. Hyper-parameters stay as they are.
///
/// # Errors
/// The asset has no head, a feature cannot be used, a limit is exceeded; a new class has neither
/// shots nor text.
pub fn learn(
    asset: &Asset<'_>,
    label: &str,
    shots: &[(Vec<f32>, String)],
    project: Option<&Project<'_>>,
    workers: Workers,
) -> Result<Change, FitError> {
    let mut draft = Draft::new(asset, |_| true)?;
    let known = draft.labels.iter().position(|other| other == label);
    let class = known.unwrap_or(draft.labels.len());
    if known.is_none() {
        let text = asset.vocabulary.and_then(|words| text::look_up(&words, label));
        if text.is_none() && shots.is_empty() {
            return Err(FitError::EmptyClass(label.to_owned()));
        }
        draft.add_class(asset, label, text)?;
    }
    let features = shots.iter().map(|(feature, _)| &feature[..]);
    if draft.cache.is_none() && !shots.is_empty() {
        let dim = shots[0].0.len();
        let space = if asset.container.section(Tag::LAYERS).is_some() {
            Space::Trunk
        } else {
            Space::Projected
        };
        let mean = keys::mean(features, dim);
        let encoder = asset.container.encoder_id();
        draft.cache = Some(CacheBuilder::new(encoder, space, &mean, draft.labels.len())?);
    }
    if draft.params.reference_shots == 0.0 {
        draft.params.reference_shots = shots.len() as f32;
    }
    let (mut ids, mut duplicates) = (Vec::new(), Vec::new());
    for (feature, name) in shots {
        duplicates.extend(draft.duplicate(feature, name)?);
        ids.push(draft.push(class, feature, name)?);
    }
    let change = Change {
        replaced: draft.finish(project)?,
        removed: vec![Tag::METRICS],
        keys: ids,
        class: known.is_none().then(|| label.to_owned()),
        duplicates,
        stale: false,
    };
    kept_up(asset, change, Some, project, workers)
}

/// Takes a class or a shot out of an asset.
///
/// # Errors
/// The asset has no head, nothing of that name or number, or nothing else.
pub fn forget(
    asset: &Asset<'_>,
    what: Forget<'_>,
    project: Option<&Project<'_>>,
    workers: Workers,
) -> Result<Change, FitError> {
    let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
    let (class, key) = match what {
        Forget::Class(label) => {
            (labels.find(label).ok_or_else(|| FitError::UnknownClass(label.to_owned()))?, None)
        }
        Forget::Key(id) => {
            let key = asset.cache.and_then(|cache| Some((cache.find(id)?, cache)));
            let (key, cache) = key.ok_or(FitError::UnknownKey(id))?;
            (cache.class[key] as usize, Some(key))
        }
    };
    let what = asset.class(class).ok_or(AssetError::Corrupt {
        section: Some(Tag::CACHE),
        what: "a key belongs to a class that does not exist",
    })?;
    let class_goes = key.is_none() || (what.shots <= 1 && !what.has_text);
    if class_goes && labels.count() == 1 {
        return Err(FitError::LastClass(what.label.to_owned()));
    }
    let gone = |index: usize| match (class_goes, asset.cache) {
        (true, Some(cache)) => cache.class[index] as usize == class,
        (true, None) => false,
        (false, _) => Some(index) == key,
    };
    let mut draft = Draft::new(asset, |index| !gone(index))?;
    let ids = asset.cache.map_or(Vec::new(), |cache| {
        (0..cache.len).filter(|&index| gone(index)).map(|index| cache.id[index]).collect()
    });
    if class_goes {
        draft.remove_class(class)?;
    }
    let change = Change {
        replaced: draft.finish(project)?,
        removed: vec![Tag::METRICS],
        keys: ids,
        class: class_goes.then(|| what.label.to_owned()),
        duplicates: Vec::new(),
        stale: false,
    };
    let class_of = |old: usize| match old.cmp(&class) {
        Ordering::Greater if class_goes => Some(old - 1),
        Ordering::Equal if class_goes => None,
        _ => Some(old),
    };
    kept_up(asset, change, class_of, project, workers)
}

/// The change with the head's own parts kept up, see [`refresh`].
fn kept_up(
    asset: &Asset<'_>,
    change: Change,
    class_of: impl Fn(usize) -> Option<usize>,
    project: Option<&Project<'_>>,
    workers: Workers,
) -> Result<Change, FitError> {
    if asset.head.is_none_or(|params| params.kind.is_plain()) {
        return Ok(change);
    }
    let bare = without_parts(&change);
    let bytes = bare.apply(&asset.container).to_bytes()?;
    let fresh = refresh(asset, &Asset::open(&bytes)?, class_of, project, workers)?;
    let mut change = change;
    change.stale = fresh.stale;
    change.replaced.extend(fresh.replaced);
    Ok(change)
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

/// An asset's head while it is changed.
struct Draft {
    labels: Vec<String>,
    rows: Option<Rows>,
    cache: Option<CacheBuilder>,
    names: Vec<String>,
    params: HeadParams,
}

impl Draft {
    /// The head of `asset` with the keys for which `stays` holds.
    fn new(asset: &Asset<'_>, stays: impl Fn(usize) -> bool) -> Result<Self, FitError> {
        let params = asset.head.ok_or(Tag::HEAD.missing())?;
        let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
        let (mut cache, mut names) = (None, Vec::new());
        if let Some(old) = &asset.cache {
            let class_of = |index: usize| stays(index).then(|| old.class[index]);
            cache = Some(CacheBuilder::from_cache(old, old.classes(), class_of)?);
            let name = |index: usize| {
                let known = asset.key_names.and_then(|names| names.get(index));
                known.map_or_else(|| format!("key {}", old.id[index]), str::to_owned)
            };
            names = (0..old.len).filter(|&index| stays(index)).map(name).collect();
        }
        let rows = asset.text.map(|text| Rows {
            kinds: (0..text.classes).map(|class| text.kind(class)).collect(),
            mean: text.mean.to_vec(),
            weights: text.weights.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect(),
        });
        let labels = labels.iter().map(str::to_owned).collect();
        Ok(Self { labels, rows, cache, names, params })
    }

    fn add_class(
        &mut self,
        asset: &Asset<'_>,
        label: &str,
        text: Option<Vec<f32>>,
    ) -> Result<(), FitError> {
        let dim = asset.text.map(|text| text.dim).or(text.as_ref().map(Vec::len));
        if self.rows.is_none()
            && text.is_some()
            && let Some(dim) = dim
        {
            self.rows = Some(Rows::from_text(&vec![None; self.labels.len()], dim));
        }
        self.labels.push(label.to_owned());
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

    fn remove_class(&mut self, class: usize) -> Result<(), FitError> {
        self.labels.remove(class);
        if let Some(rows) = &mut self.rows {
            let dim = rows.mean.len();
            rows.kinds.remove(class);
            rows.weights.drain(class * dim..(class + 1) * dim);
        }
        self.renumber(|other| match other.cmp(&(class as u32)) {
            Ordering::Less => Some(other),
            Ordering::Equal => None,
            Ordering::Greater => Some(other - 1),
        })
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

    fn duplicate(&self, feature: &[f32], name: &str) -> Result<Option<Duplicate>, FitError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let view = cache.view()?;
        keys::check(name, feature, view.dim)?;
        let cosine = |key: usize| -> f32 {
            keys::decode(&view, key).iter().zip(feature).map(|(a, b)| a * b).sum()
        };
        let cosines = (0..view.len).map(|key| (cosine(key), key));
        let nearest = cosines.fold((f32::NEG_INFINITY, 0), |a, b| if b.0 > a.0 { b } else { a });
        Ok((nearest.0 >= DUPLICATE).then(|| Duplicate {
            name: name.to_owned(),
            other: self.names[nearest.1].clone(),
            other_class: self.labels[view.class[nearest.1] as usize].clone(),
            cosine: nearest.0,
        }))
    }

    fn push(&mut self, class: usize, feature: &[f32], name: &str) -> Result<u64, FitError> {
        let cache = self.cache.as_mut().ok_or(Tag::CACHE.missing())?;
        let view = cache.view()?;
        keys::check(name, feature, view.dim)?;
        let coded = keys::code(feature, view.mean);
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
    fn finish(mut self, project: Option<&Project<'_>>) -> Result<Vec<(Tag, Vec<u8>)>, FitError> {
        if let Some(cache) = &mut self.cache {
            weigh(cache, self.params.reference_shots)?;
            let view = cache.view()?;
            if let (Some(rows), Some(shots)) = (&mut self.rows, ClassShots::new(&view, project)) {
                rows.clear_shots();
                rows.fill(&shots, self.params.row_gain);
            }
        }
        let mut sections =
            vec![(Tag::LABELS, Labels::encode(&self.labels)?), (Tag::HEAD, self.params.encode())];
        if let Some(rows) = &self.rows {
            sections.push((Tag::TEXT, rows.encode()?));
        }
        if let Some(cache) = self.cache {
            sections.push((Tag::CACHE, cache.finish(0)?.to_vec()));
            sections.push((Tag::KEY_NAMES, KeyNames::encode(&self.names)?));
        }
        Ok(sections)
    }
}
