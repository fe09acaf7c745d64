use super::matrix::Workers;
use super::{Draft, FitError, Projector};
use crate::asset::{Asset, Builder, Container, Space, Tag};

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
    project: Option<&dyn Projector>,
    workers: Workers,
) -> Result<Change, FitError> {
    let has_encoder = asset.container.section(Tag::LAYERS).is_some();
    let mut draft = Draft::new(asset, if has_encoder { Space::Trunk } else { Space::Projected })?;
    let duplicates = draft.duplicates(label, shots, workers.kernels)?;
    let learned = draft.learn(label, shots)?;
    let change = draft.finish(project, workers)?;
    Ok(Change {
        keys: learned.keys,
        class: learned.new_class.then(|| label.to_owned()),
        duplicates,
        ..change
    })
}

/// Takes a class or a shot out of an asset.
///
/// # Errors
/// The asset has no head, nothing of that name or number, or nothing else.
pub fn forget(
    asset: &Asset<'_>,
    what: Forget<'_>,
    project: Option<&dyn Projector>,
    workers: Workers,
) -> Result<Change, FitError> {
    let mut draft = Draft::new(asset, Space::Projected)?;
    let forgotten = draft.forget(what)?;
    let change = draft.finish(project, workers)?;
    Ok(Change { keys: forgotten.keys, class: forgotten.class, ..change })
}
