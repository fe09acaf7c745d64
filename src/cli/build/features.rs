//! From photographs to shots: decoded, encoded, or found among the features of an earlier build.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::kept::{Hash, Kept};
use crate::asset::{AssetFile, Preprocess, ResizeMode};
use crate::cli::dataset::ClassPhotos;
use crate::cli::progress::Progress;
use crate::cli::shared::Shared;
use crate::cli::{Outcome, complain, note};
use crate::encoder::Encoder;
use crate::fit::{Shot, keys};
use crate::frame::{Decoder, Frame, FrameError, Preprocessor, View, read_bytes};
use crate::pipeline::Embedder;
use crate::random::Random;

/// The shots of a build, and where their features came from.
pub(super) struct Encoded {
    pub(super) shots: Vec<Shot>,
    /// Features that an earlier build had kept.
    pub(super) found: usize,
    pub(super) outcome: Outcome,
}

/// The photographs of all classes as shots; those that cannot be read are left out.
pub(super) fn encode(
    classes: &[ClassPhotos],
    encoder: &mut PhotoEncoder,
    kept: &mut Kept,
) -> Result<Encoded> {
    let progress = Progress::new("encoding", classes.iter().map(|c| c.photos.len()).sum());
    let (mut shots, mut found, mut outcome) = (Vec::new(), 0, Outcome::Done);
    for (class, photos) in classes.iter().enumerate() {
        let before = shots.len();
        for photo in &photos.photos {
            progress.step();
            let bytes = read_bytes(&photo.path);
            let feature = bytes.map_err(anyhow::Error::from).and_then(|bytes| {
                let hash = Sha256::digest(&bytes).into();
                if let Some(feature) = kept.find(&hash) {
                    found += 1;
                    return Ok(feature);
                }
                let feature = encoder.encode(&photo.path, &bytes, &hash)?;
                kept.add(hash, &feature);
                Ok(feature)
            });
            match feature {
                Ok(feature) => shots.push(Shot { class, feature, name: photo.name.clone() }),
                Err(error) if error.is::<FrameError>() => {
                    progress.suspend(|| complain(&error));
                    outcome = Outcome::Partly;
                }
                Err(error) => return Err(error),
            }
        }
        if shots.len() == before {
            progress.suspend(|| {
                note(&format!("class {:?}: no photographs, known by its name alone", photos.label));
            });
        }
    }
    if shots.is_empty() && outcome == Outcome::Partly {
        bail!("not written, none of the photographs could be read");
    }
    Ok(Encoded { shots, found, outcome })
}

/// Encodes photographs, each as it is or as the mean of several views.
pub(super) struct PhotoEncoder {
    decoder: Decoder,
    frame: Frame,
    by: By,
}

enum By {
    Whole(Box<Embedder>),
    Views(Box<Views>),
}

impl PhotoEncoder {
    /// With the encoder of `file`; 0 `views` for photographs as they are.
    pub(super) fn new(file: &AssetFile, views: u32, seed: u64, shared: &Shared) -> Result<Self> {
        let (kernels, threads) = (shared.kernels()?, shared.threads());
        let named = || file.name().to_owned();
        let by = match views {
            0 => {
                let embedder = Embedder::new(file, kernels, threads).with_context(named)?;
                By::Whole(Box::new(embedder))
            }
            _ => {
                let encoder = Encoder::new(file.clone(), kernels, threads).with_context(named)?;
                By::Views(Box::new(Views::new(encoder, views, seed)))
            }
        };
        Ok(Self { decoder: Decoder::default(), frame: Frame::new(), by })
    }

    /// Values of a feature.
    pub(super) fn dim(&self) -> usize {
        match &self.by {
            By::Whole(embedder) => embedder.encoder().trunk_dim(),
            By::Views(views) => views.encoder.trunk_dim(),
        }
    }

    /// The unit-norm feature of a photograph in these bytes.
    fn encode(&mut self, path: &Path, bytes: &[u8], hash: &Hash) -> Result<Vec<f32>> {
        let name = path.display().to_string();
        self.decoder.decode(&name, bytes, &mut self.frame)?;
        match &mut self.by {
            By::Whole(embedder) => Ok(embedder.embed(&self.frame).context(name)?.0.trunk.clone()),
            By::Views(views) => views.encode(&self.frame, hash).context(name),
        }
    }
}

/// The mean of several views of a photograph, as Tip-Adapter makes its keys: of their features before
/// these have unit norm.
struct Views {
    encoder: Encoder,
    preprocessor: Preprocessor,
    count: u32,
    seed: u64,
    view: Frame,
    pixels: Vec<u8>,
    feature: Vec<f32>,
}

impl Views {
    fn new(encoder: Encoder, count: u32, seed: u64) -> Self {
        // a view is resized to the square as it is, which is what makes it another view
        let preprocess = Preprocess { mode: ResizeMode::Squash, ..encoder.preprocess() };
        let preprocessor = Preprocessor::new(preprocess);
        let pixels = vec![0; preprocessor.output_len()];
        let (view, feature) = (Frame::new(), Vec::new());
        Self { encoder, preprocessor, count, seed, view, pixels, feature }
    }

    /// Views are drawn by what the photograph is, whatever it is called and where it stands.
    fn encode(&mut self, frame: &Frame, hash: &Hash) -> Result<Vec<f32>> {
        let start = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut random = Random::new(start ^ self.seed);
        let mut sums = vec![0.0f64; self.encoder.trunk_dim()];
        for _ in 0..self.count {
            View::draw(&mut random, frame.width(), frame.height()).take(frame, &mut self.view);
            self.preprocessor.run(&self.view, &mut self.pixels);
            self.encoder.encode_unscaled(&self.pixels, &mut self.feature)?;
            sums.iter_mut().zip(&self.feature).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let share = 1.0 / f64::from(self.count);
        let mut mean: Vec<f32> = sums.iter().map(|sum| (sum * share) as f32).collect();
        keys::normalize(&mut mean);
        Ok(mean)
    }
}
