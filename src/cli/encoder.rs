//! `tipcam encoder import`: an int8 encoder from an ONNX network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::progress::Progress;
use super::shared::{Format, Shared};
use super::table::Table;
use super::{Outcome, note, preprocessing};
use crate::asset::limits::MAX_INPUT_SIZE;
use crate::asset::{Preprocess, ResizeMode};
use crate::encoder::import::{self, Imported, MIN_COSINE, Options, ProjectionFile};
use crate::frame::{self, Decoder, Frame, Preprocessor, SourceOptions, source};
use crate::tensors::Tensors;

/// Of ImageNet's pictures, in units of the values 0 to 255: what most networks were trained with.
const IMAGENET_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const IMAGENET_STD: [f32; 3] = [58.395, 57.12, 57.375];
/// Operators in float that a note names.
const SHOWN: usize = 4;

/// Make an encoder file out of a network
#[derive(Args)]
pub(super) struct Encoder {
    #[command(subcommand)]
    command: EncoderCommand,
}

#[derive(Subcommand)]
enum EncoderCommand {
    Import(Import),
}

/// Turn an ONNX network into an int8 encoder file
#[derive(Args)]
#[command(after_help = "\
Example:
  tipcam encoder import efficientnet_lite0_features.onnx -o encoder.tipcam \\
    --calibrate photos/ --mean 127 --std 128
  tipcam build --encoder encoder.tipcam --shots photos/ -o mine.tipcam

The photographs show the importer which values occur inside of the network: a hundred or more, of
many kinds and like those that the camera will see. --size, --resize, --mean and --std must be what
the network was trained with, or its features are worth little: they are read from
preprocessor_config.json, open_clip_config.json or config.json beside the network or one folder up, and
told by whoever trained it.")]
struct Import {
    /// The image encoder: CLIP and other ViTs, MobileCLIP, ResNet, ConvNeXt, MobileNet, EfficientNet
    model: PathBuf,

    /// The encoder file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Photographs: a folder or a pattern [default: the few of `tipcam watch demo`, a stopgap]
    #[arg(long, value_name = "DIR")]
    calibrate: Option<String>,

    /// Use at most so many of the photographs, evenly spread
    #[arg(long, value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calibrate_count: u32,

    /// Side of the network's input in pixels [default: what the network's files say, or 224]
    #[arg(long, value_name = "PIXELS",
          value_parser = clap::value_parser!(u32).range(1..=MAX_INPUT_SIZE as i64))]
    size: Option<u32>,

    /// Name of the network's output that is the picture's feature, where it has several
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,

    /// How a photograph becomes square [default: what the network's files say, or fit-shortest]
    #[arg(long, value_enum)]
    resize: Option<Resize>,

    /// What is taken off a pixel's value (0 to 255): one number, or three for red, green and blue
    /// [default: what the network's files say, or ImageNet's 123.675,116.28,103.53]
    #[arg(long, value_name = "R,G,B", value_parser = parse_rgb, allow_hyphen_values = true)]
    mean: Option<[f32; 3]>,

    /// What the rest is divided by: one number, or three [default: what the network's files say, or
    /// ImageNet's 58.395,57.12,57.375]
    #[arg(long, value_name = "R,G,B", value_parser = parse_rgb)]
    std: Option<[f32; 3]>,

    /// The map from the network's features into the space of a text encoder (safetensors: weight,
    /// bias, image_mean, text_mean)
    #[arg(long, value_name = "FILE")]
    projection: Option<PathBuf>,

    /// Text vectors of many names in that space (safetensors: text, names in the metadata)
    #[arg(long, value_name = "FILE", requires = "projection")]
    text_bank: Option<PathBuf>,

    /// Refuse an encoder whose features have a smaller mean cosine to the network's own
    #[arg(long, value_name = "COSINE", default_value_t = MIN_COSINE)]
    min_cosine: f64,

    /// Keep the layers that lose most in float, which makes them slow, until the features have this
    /// mean cosine to the network's own
    #[arg(long, value_name = "COSINE")]
    mixed: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Resize {
    /// Shorter side to the input's side, then the middle
    FitShortest,
    /// Longer side to the input's side, bars of the mean colour
    FitLongest,
    /// Both sides, whatever the shape
    Squash,
}

impl Encoder {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let EncoderCommand::Import(import) = self.command;
        import.run(shared)
    }
}

impl Import {
    /// How the network wants its pictures: by the flags, else by its own files, else as most do.
    fn preprocess(&self) -> Result<Preprocess> {
        let found = preprocessing::beside(&self.model)?.unwrap_or_default();
        let resize = self.resize.map(|resize| match resize {
            Resize::FitShortest => ResizeMode::FitShortest,
            Resize::FitLongest => ResizeMode::FitLongest,
            Resize::Squash => ResizeMode::Squash,
        });
        let preprocess = Preprocess {
            size: self.size.or(found.size).unwrap_or(224),
            mode: resize.or(found.resize).unwrap_or(ResizeMode::FitShortest),
            mean: self.mean.or(found.mean).unwrap_or(IMAGENET_MEAN),
            std: self.std.or(found.std).unwrap_or(IMAGENET_STD),
        };
        ensure!(
            preprocess.std.iter().all(|&std| std > 0.0),
            "--std: a pixel's value is divided by it, it must be above 0"
        );
        let Preprocess { size, mode, mean, std } = preprocess;
        let file = match found.file.as_os_str().is_empty() {
            true => "no preprocessor_config.json was found".to_owned(),
            false => format!("from {} where no flag says otherwise", found.file.display()),
        };
        note(&format!(
            "pictures: {size} pixels, {}, mean {mean:?}, std {std:?} ({file})",
            mode.name()
        ));
        found.notes.iter().for_each(|text| note(text));
        Ok(preprocess)
    }

    fn run(self, shared: &Shared) -> Result<Outcome> {
        let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
        let model = read(&self.model)?;
        let preprocess = self.preprocess()?;
        let mut options = Options {
            preprocess,
            projection: None,
            vocabulary: None,
            output: self.feature.clone(),
            min_cosine: self.min_cosine,
            mixed: self.mixed,
        };
        if let Some(path) = &self.projection {
            let named = || path.display().to_string();
            options.projection =
                Some(ProjectionFile::new(&Tensors::open(path)?).with_context(named)?);
        }
        if let (Some(path), Some(projection)) = (&self.text_bank, &options.projection) {
            let named = || path.display().to_string();
            let vocabulary = import::vocabulary(&Tensors::open(path)?, &projection.text_mean)
                .with_context(named)?;
            options.vocabulary = Some(vocabulary);
        }
        let pictures = self.pictures(preprocess)?;
        let progress = Progress::new("importing", 1);
        let imported = import::import(&model, &pictures, &options, &|step| {
            progress.show(step.stage, step.done, step.total);
        })
        .with_context(|| self.model.display().to_string())?;
        drop(progress);
        imported.builder().write_atomic(&self.output)?;
        self.say(shared, &imported)?;
        Ok(Outcome::Done)
    }

    /// The calibration photographs, preprocessed one behind the other.
    fn pictures(&self, preprocess: Preprocess) -> Result<Vec<u8>> {
        let mut preprocessor = Preprocessor::new(preprocess);
        let len = preprocessor.output_len();
        let mut pictures = Vec::new();
        let mut frame = Frame::new();
        let mut add = |frame: &Frame| {
            let start = pictures.len();
            pictures.resize(start + len, 0);
            preprocessor.run(frame, &mut pictures[start..]);
        };
        let Some(calibrate) = &self.calibrate else {
            note("calibrating with a few bundled photographs: --calibrate DIR is better");
            let mut demo = frame::open("demo", SourceOptions::default())?;
            while demo.next(&mut frame)?.is_some() {
                add(&frame);
            }
            return Ok(pictures);
        };
        let found = source::pictures(calibrate)?;
        let count = found.len().min(self.calibrate_count as usize);
        let mut decoder = Decoder::default();
        let progress = Progress::new("reading photographs", count);
        for i in 0..count {
            decoder.read(&found[i * found.len() / count], &mut frame)?;
            add(&frame);
            progress.step();
        }
        Ok(pictures)
    }

    fn say(&self, shared: &Shared, imported: &Imported) -> Result<()> {
        let report = &imported.report;
        let id = imported.builder().encoder_id().to_string();
        let bytes: usize = imported.sections.iter().map(|(_, bytes)| bytes.len()).sum();
        let file = self.output.to_string_lossy();
        let mut in_float: Vec<&str> = Vec::new();
        let float = report.layers.iter().filter(|layer| layer.info.kind.is_float());
        for layer in float {
            if !in_float.contains(&&*layer.info.name) {
                in_float.push(&layer.info.name);
            }
        }
        if shared.format_or(Format::Table) == Format::Json {
            let line = json!({"v": crate::report::SCHEMA, "file": file, "encoder": id,
                              "bytes": bytes, "cosine": report.cosine, "least": report.least,
                              "pictures": report.pictures, "float": in_float});
            return Ok(super::print(&format!("{line}\n"))?);
        }
        let mut layers = Table::new(&[2, 3, 4]);
        layers.row(["layer", "kind", "result", "MMAC", "cosine"]);
        for layer in &report.layers {
            let [h, w, c] = layer.info.shape;
            layers.row([
                &*layer.info.name,
                layer.info.kind.name(),
                &format!("{h}x{w}x{c}"),
                &format!("{:.2}", layer.info.macs as f64 / 1e6),
                &format!("{:.5}", layer.cosine),
            ]);
        }
        let text = format!(
            "{}\n{file}: encoder {id}, {bytes} bytes\ncosine to the float network over {} \
             photographs: mean {:.4}, least {:.4}\n",
            layers.text(),
            report.pictures,
            report.cosine,
            report.least
        );
        super::print(&text)?;
        if !in_float.is_empty() {
            note(&in_float_note(&in_float, &file));
        }
        Ok(())
    }
}

/// What a person should know of operators without an int8 form.
fn in_float_note(names: &[&str], file: &str) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (count, end) = match names.len() {
        1 => ("1 operator runs".to_owned(), "it costs"),
        count => (format!("{count} operators run"), "they cost"),
    };
    format!(
        "{count} in float, slower than in int8: {shown}{more}; `tipcam bench --encoder {file}` shows what \
         {end}"
    )
}

fn parse_rgb(text: &str) -> Result<[f32; 3], String> {
    let numbers: Vec<f32> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|number: &f32| number.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(|| "write numbers with commas between them".to_owned())?;
    match *numbers {
        [all] => Ok([all; 3]),
        [r, g, b] => Ok([r, g, b]),
        _ => Err("write one number, or three for red, green and blue".to_owned()),
    }
}
