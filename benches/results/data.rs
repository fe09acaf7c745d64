//! The data sets: classes, a pool of shots, test pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tipcam::asset::{AssetFile, EncoderId, Space};
use tipcam::fit::features::FeatureFile;
use tipcam::fit::{ClassSpec, OwnedProjector, Shot, projector, text};
use tipcam::frame::{Decoder, Frame};
use tipcam::kernels;
use tipcam::pipeline::Embedder;
use tipcam::random::Random;

use super::Result;

/// Shots of each class that can be drawn.
const POOL: usize = 16;

/// A data set that can be read.
pub(crate) struct Open {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) read: fn(&Path) -> Result<Set>,
}

pub(crate) const SETS: [Open; 4] = [
    Open { name: "caltech101", title: "Caltech101, CLIP ViT-B/32 features", read: caltech },
    Open { name: "pets", title: "Oxford Pets, CLIP ViT-B/32 features", read: pets },
    Open {
        name: "trashnet-photos",
        title: "TrashNet photographs, default encoder",
        read: trash_photos,
    },
    Open {
        name: "caltech101-photos",
        title: "Caltech101 photographs, default encoder",
        read: caltech_photos,
    },
];

pub(crate) struct Picture {
    pub(crate) class: usize,
    pub(crate) trunk: Vec<f32>,
    pub(crate) projected: Vec<f32>,
}

pub(crate) struct Set {
    pub(crate) encoder: EncoderId,
    pub(crate) space: Space,
    pub(crate) classes: Vec<ClassSpec>,
    /// Shots of each class.
    shots: Vec<Vec<Shot>>,
    pub(crate) test: Vec<Picture>,
    pub(crate) project: Option<OwnedProjector>,
}

impl Set {
    pub(crate) fn classes(&self) -> usize {
        self.classes.len()
    }

    pub(crate) fn dim(&self) -> usize {
        self.shots.iter().flatten().next().map_or(0, |shot| shot.feature.len())
    }

    /// Shots of the class that has least.
    pub(crate) fn pool(&self) -> usize {
        self.shots.iter().map(Vec::len).min().unwrap_or(0)
    }

    pub(crate) fn all_have_text(&self) -> bool {
        self.classes.iter().all(|class| class.text.is_some())
    }

    /// Classes, those with text, dimensions, test pictures.
    pub(crate) fn about(&self) -> [usize; 4] {
        let text = self.classes.iter().filter(|class| class.text.is_some()).count();
        [self.classes(), text, self.dim(), self.test.len()]
    }

    /// `count` shots of each class.
    pub(crate) fn draw(&self, count: usize, seed: u64) -> Vec<Shot> {
        let mut random = Random::new(seed);
        let mut drawn = Vec::new();
        for own in &self.shots {
            let mut own: Vec<&Shot> = own.iter().collect();
            random.shuffle(&mut own);
            drawn.extend(own.into_iter().take(count).cloned());
        }
        drawn
    }
}

fn caltech(shared: &Path) -> Result<Set> {
    features(shared, "caltech101")
}

fn pets(shared: &Path) -> Result<Set> {
    features(shared, "oxford_pets")
}

fn features(shared: &Path, name: &str) -> Result<Set> {
    let folder = shared.join("clip-vitb32");
    let file = FeatureFile::open(folder.join(format!("{name}.safetensors")))?;
    let text = file.text(folder.join("text_bank.safetensors"))?;
    let (classes, all) = file.ingredients(&file.keys(Some(POOL))?, &text);
    let mut shots = vec![Vec::new(); classes.len()];
    all.into_iter().for_each(|shot| shots[shot.class].push(shot));
    let test = file.features("test")?;
    let test = test.features.into_iter().zip(test.labels);
    let test = test.map(|(projected, class)| Picture { class, trunk: Vec::new(), projected });
    let (encoder, space) = (tipcam::fit::features::ENCODER, Space::Projected);
    Ok(Set { encoder, space, classes, shots, test: test.collect(), project: None })
}

fn caltech_photos(shared: &Path) -> Result<Set> {
    let images = shared.join("images/caltech101");
    let split = std::fs::read(shared.join("clip-vitb32/caltech101_files.json"))?;
    let split: BTreeMap<String, Vec<String>> = serde_json::from_slice(&split)?;
    let paths = |part: &str| -> Vec<PathBuf> {
        split.get(part).into_iter().flatten().map(|name| images.join(name)).collect()
    };
    photographs(paths("train"), paths("test"))
}

/// TrashNet has no split: the first 16 photographs of a class by name are its pool, the others the test.
fn trash_photos(shared: &Path) -> Result<Set> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for folder in sorted(&shared.join("images/trashnet"))? {
        let all = sorted(&folder)?;
        train.extend_from_slice(&all[..POOL]);
        test.extend_from_slice(&all[POOL..]);
    }
    photographs(train, test)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// Photographs in folders by class, through the encoder that is linked into this program.
fn photographs(train: Vec<PathBuf>, test: Vec<PathBuf>) -> Result<Set> {
    let file: &'static AssetFile =
        Box::leak(Box::new(AssetFile::linked()?.ok_or("there is no asset in this program")?));
    let asset = file.asset()?;
    let mut embedder = Embedder::new(file, kernels::best(), 2)?;
    let (mut decoder, mut frame) = (Decoder::default(), Frame::new());
    let mut embed = |path: &Path| -> Result<(Vec<f32>, Vec<f32>)> {
        decoder.read(path, &mut frame)?;
        let (embedding, _) = embedder.embed(&frame)?;
        Ok((embedding.trunk.clone(), embedding.projected.clone()))
    };
    let folder = |path: &Path| -> String {
        path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut numbers = BTreeMap::new();
    let mut shots: Vec<Vec<Shot>> = Vec::new();
    for path in train {
        let next = numbers.len();
        let class = *numbers.entry(folder(&path)).or_insert(next);
        if class == shots.len() {
            shots.push(Vec::new());
        }
        if shots[class].len() < POOL {
            let (feature, _) = embed(&path)?;
            shots[class].push(Shot { class, feature, name: path.to_string_lossy().into_owned() });
        }
    }
    let mut pictures = Vec::new();
    for path in test {
        if let Some(&class) = numbers.get(&folder(&path)) {
            let (trunk, projected) = embed(&path)?;
            pictures.push(Picture { class, trunk, projected });
        }
    }
    let mut labels: Vec<(String, usize)> = numbers.into_iter().collect();
    labels.sort_by_key(|label| label.1);
    let find = |label: &str| asset.vocabulary.and_then(|words| text::look_up(&words, label));
    let classes =
        labels.into_iter().map(|(label, _)| ClassSpec { text: find(&label), label }).collect();
    let project = projector(&asset, kernels::best())?;
    let project = project.map(|project| Box::new(project) as OwnedProjector);
    let (encoder, space) = (asset.container.encoder_id(), Space::Trunk);
    Ok(Set { encoder, space, classes, shots, test: pictures, project })
}
