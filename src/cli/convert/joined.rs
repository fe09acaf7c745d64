//! Shots and an encoder put together: whether they fit, and in which space the shots live.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::asset::{Asset, AssetFile, EncoderId, Space, Tag};
use crate::cli::shared::Shared;
use crate::encoder::Encoder;
use crate::fit::features::ENCODER;
use crate::fit::{self, ClassSpec, Projector, Shot, projector};

/// What a recipe needs to know of the encoder.
pub(super) struct Joined<'a> {
    pub(super) encoder: EncoderId,
    pub(super) space: Space,
    pub(super) project: Option<Box<dyn Projector + 'a>>,
}

/// What is known of the shots.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// Their files.
    pub(super) name: &'a str,
    /// Their encoder, if the files say it.
    pub(super) encoder: Option<EncoderId>,
    /// Whether the text is from a file of its own.
    pub(super) own_text: bool,
}

/// An encoder file or an asset with one.
pub(super) fn open(path: &Path) -> Result<AssetFile> {
    let file = AssetFile::open(path)?;
    file.check()?;
    ensure!(
        file.asset()?.has_encoder(),
        "{}: there is no encoder in it; `tipcam encoder import` makes one",
        path.display()
    );
    Ok(file)
}

impl<'a> Joined<'a> {
    /// Shots with their encoder. Classes get the text of its vocabulary if they have none at all.
    pub(super) fn with(
        file: &AssetFile,
        base: &Asset<'a>,
        classes: &mut [ClassSpec],
        shots: &[Shot],
        found: Found<'_>,
        shared: &Shared,
    ) -> Result<Self> {
        let (name, encoder_name, id) = (found.name, file.name(), base.container.encoder_id());
        if let Some(other) = found.encoder {
            ensure!(
                other == id,
                "{name}: the keys come from encoder {other}, {encoder_name} is {id}: features of \
                 different encoders cannot be compared"
            );
        }
        let encoder = Encoder::new(file.clone(), shared.kernels()?, 1)?;
        let (trunk, projected) = (encoder.trunk_dim(), encoder.projected_dim());
        let space = match shots.first().map(|shot| shot.feature.len()) {
            None => Space::Trunk,
            Some(dim) if dim == trunk => Space::Trunk,
            Some(dim) if dim == projected => Space::Projected,
            Some(dim) => bail!(
                "{name}: the keys have {dim} values, a feature of {encoder_name} has {trunk}{}: they come \
                 from another encoder",
                if projected > 0 {
                    format!(" (or {projected} beside text)")
                } else {
                    String::new()
                }
            ),
        };
        let projects = base.container.section(Tag::PROJECTION).is_some();
        match classes.iter().find_map(|class| class.text.as_ref()) {
            Some(text) => {
                let dim = if projects { projected } else { trunk };
                ensure!(
                    text.len() == dim,
                    "{name}: the text has {} values, beside {encoder_name} it must have {dim}: they come \
                     from different CLIPs",
                    text.len()
                );
                ensure!(
                    !projects || (found.encoder.is_some() && !found.own_text),
                    "{name}: text of a CLIP does not go with {encoder_name}, which has a projection of \
                     its own: leave the text out, then its vocabulary is used"
                );
            }
            None => {
                for class in classes.iter_mut() {
                    let words = base.vocabulary.as_ref();
                    class.text = words.and_then(|words| fit::text::look_up(words, &class.label));
                }
            }
        }
        let has_text = classes.iter().any(|class| class.text.is_some());
        let project: Option<Box<dyn Projector + 'a>> = match projector(base, shared.kernels()?)? {
            Some(project) if projects => Some(Box::new(project)),
            _ if has_text => Some(Box::new(|trunk: &[f32]| trunk.to_vec())),
            _ => None,
        };
        Ok(Self { encoder: id, space, project })
    }

    /// Shots alone, which live in the space of their text.
    pub(super) fn without(
        name: &str,
        classes: &[ClassSpec],
        shots: &[Shot],
        encoder: Option<EncoderId>,
    ) -> Result<Self> {
        let text = classes.iter().find_map(|class| class.text.as_ref());
        if let (Some(shot), Some(text)) = (shots.first(), text) {
            let (keys, text) = (shot.feature.len(), text.len());
            ensure!(
                keys == text,
                "{name}: the keys have {keys} values, the text {text}: give the encoder that maps one to \
                 the other with --encoder"
            );
        }
        Ok(Self { encoder: encoder.unwrap_or(ENCODER), space: Space::Projected, project: None })
    }
}
