//! Changing an asset: what `learn` and `forget` share.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::shared::{Format, Shared};
use crate::asset::{Asset, AssetFile};
use crate::fit::{Change, refit_pays};
use crate::state::FolderLock;

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    file: &'a str,
    created: bool,
    changed: Vec<Changed<'a>>,
    keys: &'a [u64],
    duplicates: Vec<Duplicate<'a>>,
}

/// A class that has other shots than before; null where it was or is not there.
#[derive(Serialize)]
struct Changed<'a> {
    label: &'a str,
    shots_before: Option<u32>,
    shots_after: Option<u32>,
}

#[derive(Serialize)]
struct Duplicate<'a> {
    name: &'a str,
    like: &'a str,
    label: &'a str,
    cosine: f32,
}

/// The asset that a command changes, which no other command changes meanwhile.
pub(super) struct Target<'s> {
    path: &'s Path,
    /// Its contents; the linked asset's where the file is still to be made.
    pub(super) file: AssetFile,
    new: bool,
    /// From before it is read until it is written.
    _lock: Option<FolderLock>,
}

impl<'s> Target<'s> {
    /// The file of `--asset`, or, where there is none yet, what is inside this program. Waits until no
    /// other command changes it.
    pub(super) fn open(shared: &'s Shared) -> Result<Self> {
        let lock = shared.asset.as_deref().map(FolderLock::around).transpose()?;
        Ok(Self { _lock: lock, ..Self::look(shared)? })
    }

    /// The same, only to look at: others may change it.
    pub(super) fn look(shared: &'s Shared) -> Result<Self> {
        let path = shared.asset.as_deref().context(
            "the asset inside this program cannot be changed: say with --asset FILE where yours is, \
             or is to be (it begins as a copy)",
        )?;
        let new = !path.try_exists().with_context(|| path.display().to_string())?;
        let file = if new {
            AssetFile::linked()?.with_context(|| {
                format!(
                    "{}: there is no such file, and this program was built without an asset to copy; \
                     make one with `tipcam build`",
                    path.display()
                )
            })?
        } else {
            AssetFile::open(path)?
        };
        file.check()?;
        Ok(Self { path, file, new, _lock: None })
    }

    /// Writes the changed asset and says what changed.
    pub(super) fn write(&self, before: &Asset<'_>, change: &Change, shared: &Shared) -> Result<()> {
        let builder = change.apply(&before.container);
        let bytes = builder.to_bytes()?;
        let after = Asset::open(&bytes)?;
        builder.write_atomic(self.path)?;
        let path = self.path.display();
        if change.stale {
            let head = after.head.map_or("", |head| head.kind.name());
            super::note(&format!(
                "head {head} was trained with other shots: `tipcam fit --head {head} --asset {path}` makes \
                 it again"
            ));
        } else if refit_pays(&after) {
            super::note(&format!(
                "there are many more or fewer shots than when the head was fitted: `tipcam fit --asset \
                 {path}` would choose its parameters again"
            ));
        }
        self.say(before, &after, change, shared)
    }

    fn say(
        &self,
        before: &Asset<'_>,
        after: &Asset<'_>,
        change: &Change,
        shared: &Shared,
    ) -> Result<()> {
        let path = self.path.to_string_lossy();
        let shots = |asset: &Asset<'_>, label: &str| {
            asset.classes().find(|class| class.label == label).map(|class| class.shots)
        };
        let new = after.classes().filter(|class| shots(before, class.label).is_none());
        let changed: Vec<_> = before
            .classes()
            .chain(new)
            .map(|class| (class.label, shots(before, class.label), shots(after, class.label)))
            .filter(|(_, before, after)| before != after)
            .collect();
        if shared.format_or(Format::Table) == Format::Json {
            let line = Line {
                v: crate::report::SCHEMA,
                file: &path,
                created: self.new,
                changed: changed
                    .iter()
                    .map(|&(label, before, after)| Changed {
                        label,
                        shots_before: before,
                        shots_after: after,
                    })
                    .collect(),
                keys: &change.keys,
                duplicates: change
                    .duplicates
                    .iter()
                    .map(|duplicate| Duplicate {
                        name: &duplicate.name,
                        like: &duplicate.other,
                        label: &duplicate.other_class,
                        cosine: duplicate.cosine,
                    })
                    .collect(),
            };
            return Ok(super::print(&format!("{}\n", serde_json::to_string(&line)?))?);
        }
        let mut text = String::new();
        if self.new {
            text.push_str(&format!("{path}: made from the asset inside this program\n"));
        }
        for (label, before, after) in changed {
            text.push_str(&match (before, after) {
                (None, Some(after)) => format!("{label}: new, {after} shots\n"),
                (Some(before), None) => format!("{label}: gone, with {before} shots\n"),
                (before, after) => {
                    format!("{label}: {} shots, was {}\n", after.unwrap_or(0), before.unwrap_or(0))
                }
            });
        }
        let keys: Vec<String> = change.keys.iter().map(u64::to_string).collect();
        if !keys.is_empty() {
            text.push_str(&format!("keys {}\n", keys.join(" ")));
        }
        Ok(super::print(&text)?)
    }
}
