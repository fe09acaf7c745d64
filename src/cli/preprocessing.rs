//! What a network's own files say of its input: `preprocessor_config.json` (transformers),
//! `open_clip_config.json` (open_clip) and `config.json` (timm), beside the ONNX file or one folder up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::asset::ResizeMode;
use crate::asset::limits::MAX_INPUT_SIZE;

/// Files that are looked for, the one that says most first.
const NAMES: [&str; 3] = ["preprocessor_config.json", "open_clip_config.json", "config.json"];

/// Bytes that such a file has at most.
const MAX_BYTES: u64 = 1 << 20;

/// What was found; what a file does not say is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The file.
    pub(super) file: PathBuf,
    /// Side of the input in pixels.
    pub(super) size: Option<u32>,
    pub(super) resize: Option<ResizeMode>,
    /// In units of the values 0 to 255.
    pub(super) mean: Option<[f32; 3]>,
    pub(super) std: Option<[f32; 3]>,
    /// What tipcam does otherwise than the network was trained with.
    pub(super) notes: Vec<String>,
}

/// Looks beside a model's file and one folder up.
///
/// # Errors
/// A file that cannot be read, is not JSON or has values that make no sense.
pub(super) fn beside(model: &Path) -> Result<Option<Found>> {
    let folder = model.parent().unwrap_or(Path::new(""));
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        for name in NAMES {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            let named = || path.display().to_string();
            let length = fs::metadata(&path).with_context(named)?.len();
            ensure!(length <= MAX_BYTES, "{}: longer than {MAX_BYTES} bytes", path.display());
            let text = fs::read_to_string(&path).with_context(named)?;
            let json: Value = serde_json::from_str(&text).with_context(named)?;
            if let Some(found) = read(&json).with_context(named)? {
                return Ok(Some(Found { file: path, ..found }));
            }
        }
    }
    Ok(None)
}

/// None for a file that says nothing of pictures, as many a `config.json`.
fn read(json: &Value) -> Result<Option<Found>> {
    if json.get("image_mean").is_some() || json.get("crop_size").is_some() {
        transformers(json).map(Some)
    } else if let Some(preprocess) = json.get("preprocess_cfg") {
        open_clip(preprocess, &json["model_cfg"]["vision_cfg"]["image_size"]).map(Some)
    } else if let Some(timm) = json.get("pretrained_cfg") {
        open_clip(timm, &timm["input_size"][1]).map(Some)
    } else {
        Ok(None)
    }
}

fn transformers(json: &Value) -> Result<Found> {
    let mut found = Found::default();
    let on = |flag: &str| json[flag].as_bool() != Some(false);
    let crop = side(&json["crop_size"], "crop_size")?.filter(|_| on("do_center_crop"));
    let shortest = side(&json["size"]["shortest_edge"], "size")?;
    let whole = side(&json["size"], "size")?;
    found.size = crop.or(shortest).or(whole);
    found.resize = Some(match (crop, shortest) {
        (None, None) if json["size"].is_object() => ResizeMode::Squash,
        _ => ResizeMode::FitShortest,
    });
    if let (Some(crop), Some(resized)) = (crop, shortest.or(whole))
        && resized > crop
    {
        found.notes.push(larger(resized, crop));
    }
    // a network may want values of another range than 0 to 1
    let unit = json["rescale_factor"].as_f64().filter(|_| on("do_rescale")).map_or_else(
        || if on("do_rescale") { 255.0 } else { 1.0 },
        |factor| if factor > 0.0 { 1.0 / factor } else { 255.0 },
    );
    if on("do_normalize") {
        found.mean = rgb(&json["image_mean"], "image_mean", unit)?;
        found.std = rgb(&json["image_std"], "image_std", unit)?;
    } else {
        // not ImageNet's: the network takes the values as they are
        (found.mean, found.std) = (Some([0.0; 3]), Some([unit as f32; 3]));
    }
    // the numbers of PIL
    if let Some(filter) = json["resample"].as_u64().filter(|&filter| filter != 3) {
        let name = match filter {
            0 => "nearest",
            1 => "lanczos",
            2 => "bilinear",
            _ => "another filter",
        };
        found.notes.push(filtered(name));
    }
    Ok(found)
}

/// open_clip's and timm's words.
fn open_clip(preprocess: &Value, size: &Value) -> Result<Found> {
    let mut found = Found {
        mean: rgb(&preprocess["mean"], "mean", 255.0)?,
        std: rgb(&preprocess["std"], "std", 255.0)?,
        size: side(&preprocess["size"], "size")?.or(side(size, "image_size")?),
        resize: Some(
            match preprocess["resize_mode"].as_str().or(preprocess["crop_mode"].as_str()) {
                Some("longest" | "border") => ResizeMode::FitLongest,
                Some("squash") => ResizeMode::Squash,
                _ => ResizeMode::FitShortest,
            },
        ),
        ..Found::default()
    };
    let filter = preprocess["interpolation"].as_str();
    if let Some(filter) = filter.filter(|filter| !["bicubic", "random"].contains(filter)) {
        found.notes.push(filtered(filter));
    }
    if let (Some(share), Some(size)) = (preprocess["crop_pct"].as_f64(), found.size)
        && share > 0.0
        && share < 1.0
    {
        found.notes.push(larger((f64::from(size) / share).round() as u32, size));
    }
    Ok(found)
}

fn filtered(filter: &str) -> String {
    format!("it was trained with pictures resized by {filter}, tipcam resizes by bicubic")
}

fn larger(resized: u32, crop: u32) -> String {
    format!(
        "it was trained with the middle {crop} of {resized} pixels, tipcam shows it the whole shorter \
         side: objects look a little smaller"
    )
}

/// The side of a square: a number, a pair of equal ones, or height and width.
fn side(value: &Value, key: &str) -> Result<Option<u32>> {
    let (height, width) = match value {
        Value::Number(_) => (value, value),
        Value::Array(sides) if sides.len() == 2 => (&sides[0], &sides[1]),
        Value::Object(sides) => match (sides.get("height"), sides.get("width")) {
            (Some(height), Some(width)) => (height, width),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    ensure!(height == width, "{key}: tipcam's pictures are square, this is {height} by {width}");
    let side = height.as_u64().and_then(|side| u32::try_from(side).ok());
    let side = side.filter(|side| (1..=MAX_INPUT_SIZE as u32).contains(side));
    let side = side.with_context(|| {
        format!("{key}: {height} is no side from 1 to {MAX_INPUT_SIZE} pixels; give --size")
    })?;
    Ok(Some(side))
}

fn rgb(value: &Value, key: &str, unit: f64) -> Result<Option<[f32; 3]>> {
    let Value::Array(values) = value else { return Ok(None) };
    let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    let wrong = || format!("{key}: {value} are not three finite numbers; give --mean and --std");
    let numbers: [f64; 3] = numbers.try_into().ok().with_context(wrong)?;
    Ok(Some(numbers.map(|number| (number * unit) as f32)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clip_of_transformers_is_understood() {
        let found = read(&json!({
            "crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_normalize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3, "size": {"shortest_edge": 224}
        }));
        let found = found.unwrap().unwrap();
        assert_eq!((found.size, found.resize), (Some(224), Some(ResizeMode::FitShortest)));
        let near = |found: Option<[f32; 3]>, expected: [f32; 3]| {
            let pairs = found.unwrap().into_iter().zip(expected);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
        };
        near(found.mean, [122.7709, 116.746, 104.0937]);
        near(found.std, [68.5005, 66.6322, 70.3232]);
        assert_eq!(found.notes, [] as [String; 0]);
    }

    #[test]
    fn siglip_squashes_and_older_files_have_plain_numbers() {
        let found = read(&json!({
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"height": 256, "width": 256}
        }));
        let found = found.unwrap().unwrap();
        assert_eq!((found.size, found.resize), (Some(256), Some(ResizeMode::Squash)));
        assert_eq!(found.mean, Some([127.5; 3]));
        let found = read(&json!({"crop_size": 224, "size": 256, "resample": 2,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}));
        let found = found.unwrap().unwrap();
        assert_eq!((found.size, found.resize), (Some(224), Some(ResizeMode::FitShortest)));
        assert!(found.notes[0].contains("224 of 256") && found.notes[1].contains("bilinear"));
    }

    #[test]
    fn a_network_that_takes_values_as_they_are_gets_them() {
        let file = json!({"crop_size": 256, "do_normalize": false, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392156862745098});
        let found = read(&file).unwrap().unwrap();
        assert_eq!((found.mean, found.std), (Some([0.0; 3]), Some([255.0; 3])));
        let file = json!({"crop_size": 256, "do_normalize": false, "do_rescale": false});
        assert_eq!(read(&file).unwrap().unwrap().std, Some([1.0; 3]));
    }

    #[test]
    fn open_clip_and_timm_are_understood() {
        let found = read(&json!({
            "model_cfg": {"vision_cfg": {"image_size": 256}},
            "preprocess_cfg": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
                "interpolation": "bilinear", "resize_mode": "longest"}
        }));
        let found = found.unwrap().unwrap();
        assert_eq!((found.size, found.resize), (Some(256), Some(ResizeMode::FitLongest)));
        assert_eq!((found.mean, found.std), (Some([0.0; 3]), Some([255.0; 3])));
        let found = read(&json!({"architecture": "efficientnet_lite0", "pretrained_cfg": {
            "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.875,
            "mean": [0.498, 0.498, 0.498], "std": [0.502, 0.502, 0.502]}}));
        let found = found.unwrap().unwrap();
        assert_eq!(found.size, Some(224));
        assert!(found.notes[0].contains("224 of 256"), "{:?}", found.notes);
    }

    #[test]
    fn what_makes_no_sense_is_named_and_other_files_are_left_alone() {
        assert_eq!(read(&json!({"architectures": ["CLIPModel"]})).unwrap(), None);
        let error = |json: Value| format!("{:#}", read(&json).unwrap_err());
        let e = error(json!({"crop_size": {"height": 224, "width": 336}}));
        assert!(e.contains("crop_size") && e.contains("square"), "{e}");
        let e = error(json!({"crop_size": 0}));
        assert!(e.contains("crop_size") && e.contains("--size"), "{e}");
        let e = error(json!({"image_mean": [0.5, "x", 0.5]}));
        assert!(e.contains("image_mean") && e.contains("--mean"), "{e}");
    }

    #[test]
    fn the_file_is_found_beside_the_model_and_one_folder_up() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("onnx");
        fs::create_dir(&inner).unwrap();
        let model = inner.join("vision_model.onnx");
        assert_eq!(beside(&model).unwrap(), None);
        fs::write(folder.path().join("config.json"), r#"{"model_type": "clip"}"#).unwrap();
        assert_eq!(beside(&model).unwrap(), None);
        fs::write(folder.path().join("preprocessor_config.json"), r#"{"crop_size": 336}"#).unwrap();
        assert_eq!(beside(&model).unwrap().unwrap().size, Some(336));
        fs::write(inner.join("preprocessor_config.json"), "{").unwrap();
        assert!(format!("{:#}", beside(&model).unwrap_err()).contains("preprocessor_config.json"));
    }
}
