use serde::{Serialize, Serializer};

use super::{Asset, Calibration, HeadParams, Preprocess};

/// What an asset holds, for people (`tipcam inspect`) and as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// The file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Format version, as "1.0".
    pub format: String,
    /// SHA-256 of the encoder that this asset belongs to, hexadecimal.
    pub encoder: String,
    /// Whether the encoder itself is inside.
    pub has_encoder: bool,
    /// Sections in file order.
    pub sections: Vec<SectionDescription>,
    /// How pictures become the encoder's input.
    pub preprocess: Option<Preprocess>,
    /// Classes in order.
    pub classes: Vec<ClassDescription>,
    /// Text weights.
    pub text: Option<TextDescription>,
    /// The cache of shots.
    pub cache: Option<CacheDescription>,
    /// Hyper-parameters of the head.
    pub head: Option<HeadParams>,
    /// Temperature and thresholds.
    pub calibration: Option<Calibration>,
    /// Names of the text vocabulary: how many.
    pub vocabulary: Option<usize>,
    /// Measured figures.
    #[serde(serialize_with = "as_map")]
    pub metrics: Vec<(String, f64)>,
    /// Where the contents come from.
    #[serde(serialize_with = "as_map")]
    pub provenance: Vec<(String, String)>,
}

/// One section.
#[derive(Clone, Debug, Serialize)]
pub struct SectionDescription {
    /// Its four letters.
    pub tag: String,
    /// What it holds, in words.
    pub what: &'static str,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Its checksum as announced, hexadecimal.
    pub crc32: String,
}

/// One class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassDescription {
    /// Its label.
    pub label: String,
    /// Whether it has text weights.
    pub text: bool,
    /// Its keys in the cache.
    pub shots: u32,
}

/// The text weights.
#[derive(Clone, Debug, Serialize)]
pub struct TextDescription {
    /// Classes that have text.
    pub classes: usize,
    /// Dimensions of a text vector.
    pub dim: usize,
    /// Templates that the text was put into.
    pub prompts: Vec<String>,
}

/// The cache of shots.
#[derive(Clone, Debug, Serialize)]
pub struct CacheDescription {
    /// Number of keys.
    pub keys: usize,
    /// Keys for which there is room.
    pub capacity: usize,
    /// Dimensions of a key.
    pub dim: usize,
    /// The feature that keys live in.
    pub space: &'static str,
    /// Id of the next key.
    pub next_id: u64,
}

impl Description {
    /// Describes an asset that is called `file`.
    #[must_use]
    pub fn of(file: &str, asset: &Asset<'_>) -> Self {
        let container = asset.container;
        let (major, minor) = container.version();
        let sections = container.sections().map(|(tag, range, crc)| SectionDescription {
            tag: tag.to_string(),
            what: tag.describe(),
            offset: range.start as u64,
            bytes: range.len() as u64,
            crc32: format!("{crc:08x}"),
        });
        let classes = asset.classes().map(|class| ClassDescription {
            label: class.label.to_owned(),
            text: class.has_text,
            shots: class.shots,
        });
        let owned = |text: &str| text.to_owned();
        let prompts = asset.prompts.iter().flat_map(|prompts| prompts.iter()).map(owned);
        let metrics = asset.metrics.iter().flat_map(|metrics| metrics.iter());
        let provenance = asset.provenance.iter().flat_map(|provenance| provenance.iter());
        Self {
            file: file.to_owned(),
            bytes: container.bytes().len() as u64,
            format: format!("{major}.{minor}"),
            encoder: format!("{:#}", container.encoder_id()),
            has_encoder: asset.has_encoder(),
            sections: sections.collect(),
            preprocess: asset.preprocess,
            classes: classes.collect(),
            text: asset.text.map(|text| TextDescription {
                classes: (0..text.classes).filter(|&class| text.has(class)).count(),
                dim: text.dim,
                prompts: prompts.collect(),
            }),
            cache: asset.cache.map(|cache| CacheDescription {
                keys: cache.len,
                capacity: cache.capacity,
                dim: cache.dim,
                space: cache.space.name(),
                next_id: cache.next_id,
            }),
            head: asset.head,
            calibration: asset.calibration,
            vocabulary: asset.vocabulary.map(|words| words.names.len()),
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).collect(),
            provenance: provenance.map(|(name, text)| (owned(name), owned(text))).collect(),
        }
    }
}

/// Pairs as a JSON object, in their order.
fn as_map<V: Serialize, S: Serializer>(pairs: &[(String, V)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::sample;

    #[test]
    fn a_description_says_what_is_inside() {
        let bytes = sample().to_bytes().unwrap();
        let description = Description::of("my.tipcam", &Asset::open(&bytes).unwrap());
        let json = serde_json::to_value(&description).unwrap();
        assert_eq!(json["file"], "my.tipcam");
        assert_eq!(json["format"], "1.0");
        assert_eq!(json["encoder"].as_str().unwrap().len(), 64);
        assert_eq!(json["sections"][0]["tag"], "PREP");
        assert_eq!(json["preprocess"]["mode"], "fit-longest");
        assert_eq!(json["classes"][3]["label"], "trilobite");
        assert_eq!(json["classes"][3]["text"], false);
        assert_eq!(json["classes"][3]["shots"], 5);
        assert_eq!(json["text"]["classes"], 3);
        assert_eq!(json["cache"]["keys"], 21);
        assert_eq!(json["head"]["kind"], "tip");
        assert_eq!(json["metrics"]["test.top1"], 91.5);
        assert_eq!(json["provenance"]["licence"], "CC BY 4.0");
    }
}
