//! Photographs as shots: decoding and encoding many of them for `build` and `learn`.

use std::path::Path;

use anyhow::{Context, Result};

use super::complain;
use super::progress::Progress;
use super::shared::Shared;
use crate::asset::{AssetFile, Space};
use crate::frame::{Decoder, Frame};
use crate::pipeline::Embedder;

/// Encodes photographs into features of the space that a cache's keys live in.
pub(super) struct ShotEncoder {
    embedder: Embedder,
    decoder: Decoder,
    frame: Frame,
    space: Space,
}

impl ShotEncoder {
    pub(super) fn new(file: &AssetFile, space: Space, shared: &Shared) -> Result<Self> {
        let embedder = Embedder::new(file, shared.kernels()?, shared.threads())
            .with_context(|| file.name().to_owned())?;
        Ok(Self { embedder, decoder: Decoder::default(), frame: Frame::new(), space })
    }

    /// The unit-norm feature of a photograph; an unreadable one is told on stderr and gives none.
    pub(super) fn encode(&mut self, path: &Path, progress: &Progress) -> Result<Option<Vec<f32>>> {
        let read = self.decoder.read(path, &mut self.frame);
        progress.step();
        if let Err(error) = read {
            progress.suspend(|| complain(&error.into()));
            return Ok(None);
        }
        let (embedding, _) =
            self.embedder.embed(&self.frame).with_context(|| path.display().to_string())?;
        Ok(Some(match self.space {
            Space::Trunk => embedding.trunk.clone(),
            Space::Projected => embedding.projected.clone(),
        }))
    }
}

/// What a shot is called in an asset: its file and the folder around it, as `cup/photo1.jpg`.
pub(super) fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{file}", folder.to_string_lossy()),
        None => file.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shot_is_called_by_its_folder_and_file() {
        assert_eq!(name(Path::new("/data/photos/cup/1.jpg")), "cup/1.jpg");
        assert_eq!(name(Path::new("1.jpg")), "1.jpg");
    }
}
