//! `tipcam classify`: what is on these pictures?

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use super::shared::{Format, Shared};
use super::{Outcome, answer, complain};
use crate::frame::{Decoder, Frame, FrameError, limits, source};
use crate::lines::Lines;
use crate::pipeline::{Answer, Classifier, MAX_TOP};
use crate::watch::Labels;

/// Say what is on photographs
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam classify cup.jpg                     one photograph
  tipcam classify holiday/ '2024-*/*.png'     folders, and patterns that tipcam expands
  curl -s http://camera/snapshot.jpg | tipcam classify -
  tipcam classify holiday/ | jq -r 'select(.unknown | not) | [.label, .source] | @tsv'

Each line says: the label (null when the picture looks like none of the classes), its probability,
the best classes with what text and shots contribute, the nearest learned shots, and the time taken.
A picture that cannot be read is told on stderr, the others are answered, and the exit code is 1.")]
pub(super) struct Classify {
    /// Photographs, folders, patterns, or - for one photograph on standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,

    /// How many classes to list
    #[arg(long, short = 'k', value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=MAX_TOP as i64))]
    top_k: u16,
}

impl Classify {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let file = shared.asset_file()?;
        let asset = shared.asset(&file)?;
        let mut classifier = Classifier::new(&file, shared.kernels()?, shared.threads())
            .with_context(|| file.name().to_owned())?;
        let labels = Labels::new(&asset).with_context(|| file.name().to_owned())?;
        let mut lines = Lines::new();
        let format = shared.format_or(Format::Json);
        let mut outcome = Outcome::Done;
        let (mut decoder, mut frame, mut seen) =
            (Decoder::default(), Frame::new(), Answer::default());
        for input in inputs(&self.paths) {
            let begun = Instant::now();
            let read = input.and_then(|input| {
                input.read(&mut decoder, &mut frame)?;
                Ok(input)
            });
            let decode = begun.elapsed();
            let input = match read {
                Ok(input) => input,
                Err(error) => {
                    complain(&error.into());
                    outcome = Outcome::Partly;
                    continue;
                }
            };
            let source = input.name();
            if let Err(error) = classifier.answer(&frame, self.top_k.into(), &mut seen) {
                complain(&anyhow::Error::from(error).context(source.clone()));
                outcome = Outcome::Partly;
                continue;
            }
            match format {
                Format::Json => super::print(lines.answer(&source, decode, &labels, &seen)?)?,
                Format::Table => super::print(&answer::picture(&source, &labels, &seen))?,
            }
        }
        Ok(outcome)
    }
}

/// A picture to be read.
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

/// The pictures that arguments mean, in their order; an argument that means none is an error in its
/// place.
pub(super) fn inputs(paths: &[String]) -> impl Iterator<Item = Result<Input, FrameError>> {
    paths.iter().flat_map(|path| {
        if path == "-" {
            return vec![Ok(Input::Stdin)];
        }
        match source::pictures(path) {
            Ok(files) => files.into_iter().map(|file| Ok(Input::File(file))).collect(),
            Err(error) => vec![Err(error)],
        }
    })
}

impl Input {
    pub(super) fn name(&self) -> String {
        match self {
            Input::Stdin => "-".to_owned(),
            Input::File(path) => path.to_string_lossy().into_owned(),
        }
    }

    pub(super) fn read(&self, decoder: &mut Decoder, frame: &mut Frame) -> Result<(), FrameError> {
        match self {
            Input::File(path) => decoder.read(path, frame),
            Input::Stdin => {
                let mut bytes = Vec::new();
                // one byte more than may be: the decoder then says that it is too much
                io::stdin()
                    .lock()
                    .take(limits::MAX_FILE_BYTES + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| FrameError::Read { name: "-".to_owned(), error })?;
                decoder.decode("-", &bytes, frame)
            }
        }
    }
}
