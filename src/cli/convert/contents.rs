//! Classes and shots, wherever they are read.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};

use crate::asset::{AssetFile, EncoderId};
use crate::cli::note;
use crate::fit::features::{ENCODER, FeatureFile, Layout};
use crate::fit::{ClassSpec, Ingredients, Shot};
use crate::tensors::Tensors;

/// Arrays that are read, besides those whose names begin as these.
const READ: [&str; 6] = ["text", "clip_weights", "class_names", "alpha", "beta", "encoder"];

/// A cache with its classes.
pub(super) struct Contents {
    /// The files, for messages.
    pub(super) name: String,
    pub(super) classes: Vec<ClassSpec>,
    pub(super) shots: Vec<Shot>,
    /// The encoder of the shots' features, where it is known.
    pub(super) encoder: Option<EncoderId>,
    /// alpha and beta of Tip-Adapter.
    pub(super) plain: Option<(f32, f32)>,
}

impl Contents {
    /// Those of an asset.
    pub(super) fn of_asset(path: &Path) -> Result<Self> {
        let file = AssetFile::open(path)?;
        file.check()?;
        let asset = file.asset()?;
        let error = |error| anyhow!("{}: {error}", file.name());
        let Ingredients { encoder, classes, shots, .. } = Ingredients::of(&asset).map_err(error)?;
        let plain = asset.head.filter(|head| head.kind.is_plain());
        if let Some(head) = asset.head.filter(|head| !head.kind.is_plain()) {
            let head = head.kind.name();
            note(&format!(
                "{}: its head {head} stays behind, --head {head} makes it again",
                file.name()
            ));
        }
        Ok(Self {
            name: file.name().to_owned(),
            classes,
            shots,
            encoder: Some(encoder).filter(|&encoder| encoder != ENCODER),
            plain: plain.map(|head| (head.alpha, head.beta)),
        })
    }

    /// Those in arrays.
    pub(super) fn of_arrays(
        paths: &[PathBuf],
        names: Option<Vec<String>>,
        shots: Option<usize>,
        layout: Option<Layout>,
    ) -> Result<Self> {
        let tensors = Tensors::open_all(paths)?;
        let named = names.is_some() || tensors.strings("class_names")?.is_some();
        let file = FeatureFile::new(tensors, names, layout)?;
        let (tensors, name) = (file.tensors(), file.tensors().path().to_owned());
        let text = file.own_text(None)?;
        let keys = match file.has_keys() || shots.is_some() || text.is_none() {
            true => Some(file.keys(shots)?),
            false => None,
        };
        for (what, layout) in
            [("keys", keys.as_ref().map(|keys| keys.layout)), ("text", text.as_ref().map(|t| t.1))]
        {
            if layout == Some(Layout::Columns) {
                note(&format!("{name}: {what} is taken for columns, a feature in each"));
            }
        }
        let text = text.map(|(text, _)| text).unwrap_or_default();
        if !named {
            note(&format!(
                "{name}: there are no class names, classes are called by their numbers; --classes FILE \
                 names them"
            ));
        }
        let is_read = |name: &str| {
            READ.contains(&name) || ["keys", "labels", "values"].iter().any(|s| name.starts_with(s))
        };
        let left: Vec<&str> = tensors.names().filter(|name| !is_read(name)).collect();
        if !left.is_empty() {
            note(&format!("{name}: not read: {}", left.join(", ")));
        }
        let (classes, shots) = match &keys {
            Some(keys) => file.ingredients(keys, &text),
            None => {
                let none = crate::fit::features::Split {
                    features: Vec::new(),
                    labels: Vec::new(),
                    layout: Layout::Rows,
                };
                file.ingredients(&none, &text)
            }
        };
        let plain = number(tensors, "alpha")?.zip(number(tensors, "beta")?);
        let encoder = encoder(tensors)?;
        Ok(Self { name, classes, shots, encoder, plain })
    }
}

fn number(tensors: &Tensors, name: &str) -> Result<Option<f32>> {
    let Some(array) = tensors.find(name) else { return Ok(None) };
    let values = array.floats().map_err(|problem| tensors.error(format!("{name} {problem}")))?;
    match values[..] {
        [value] if value.is_finite() && value >= 0.0 => Ok(Some(value)),
        _ => Err(tensors.error(format!("{name} must be one number from 0")).into()),
    }
}

/// The identity of the encoder, as [`arrays::write`](super::arrays::write) leaves it.
fn encoder(tensors: &Tensors) -> Result<Option<EncoderId>> {
    let Some(array) = tensors.find("encoder") else { return Ok(None) };
    let bytes = array.integers().map_err(|problem| tensors.error(format!("encoder {problem}")))?;
    let bytes: Vec<u8> = bytes.into_iter().filter_map(|byte| byte.try_into().ok()).collect();
    ensure!(
        bytes.len() == 32,
        tensors.error("encoder must be 32 bytes, the encoder's identity".into())
    );
    Ok(bytes.try_into().ok().map(EncoderId))
}
