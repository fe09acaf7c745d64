use std::path::{Path, PathBuf};

use super::reader::Input;
use super::{Source, Stamp};
use crate::frame::{Decoder, Frame, FrameError};

/// Endings of the picture files that a folder is searched for.
const EXTENSIONS: [&str; 12] =
    ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm", "pbm", "pnm"];
/// Folders below a folder: also ends loops of links.
const MAX_DEPTH: usize = 16;

/// Whether the name ends like a picture's.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|it| EXTENSIONS.iter().any(|known| it.eq_ignore_ascii_case(known)))
}

/// The pictures that `input` means, sorted by path: a file whatever its name, everything below a
/// folder that is named like a picture, or what a pattern (`*`, `?`, `[..]`, `**`) finds of both.
///
/// # Errors
/// [`FrameError::Read`], [`FrameError::Nothing`] where there is none, [`FrameError::Option`] for a
/// broken pattern.
pub fn pictures(input: &str) -> Result<Vec<PathBuf>, FrameError> {
    let mut found = Vec::new();
    let path = Path::new(input);
    let pattern = input.contains(['*', '?', '[']) && !path.exists();
    if pattern {
        let paths = glob::glob(input).map_err(|error| FrameError::Option {
            name: input.into(),
            reason: format!("the pattern is broken: {}", error.msg),
            remedy: "write * for any characters, ? for one, [abc] for one of them",
        })?;
        for path in paths {
            let path = path.map_err(|error| {
                FrameError::read(&error.path().display().to_string(), error.into())
            })?;
            if path.is_dir() {
                search(&path, 0, &mut found)?;
            } else if is_picture(&path) {
                found.push(path);
            }
        }
    } else if path.is_dir() {
        search(path, 0, &mut found)?;
    } else {
        path.metadata().map_err(|error| FrameError::read(input, error))?;
        found.push(path.to_path_buf());
    }
    if found.is_empty() {
        return Err(FrameError::Nothing { name: input.into() });
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), FrameError> {
    let fail = |error| FrameError::read(&folder.display().to_string(), error);
    for entry in folder.read_dir().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                search(&path, depth + 1, found)?;
            }
        } else if is_picture(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Picture files one after another.
pub(super) struct Images {
    paths: Vec<PathBuf>,
    next: usize,
    number: u64,
    looped: bool,
    decoder: Decoder,
}

impl Images {
    pub(super) fn open(input: &str, looped: bool) -> Result<Self, FrameError> {
        let paths = pictures(input)?;
        Ok(Self { paths, next: 0, number: 0, looped, decoder: Decoder::default() })
    }
}

impl Source for Images {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        if self.looped && self.next == self.paths.len() {
            self.next = 0;
        }
        let Some(path) = self.paths.get(self.next) else { return Ok(None) };
        let stamp = Stamp { number: self.number, source: path.to_string_lossy().into() };
        self.next += 1;
        self.number += 1;
        self.decoder.read(path, into)?;
        Ok(Some(stamp))
    }
}

/// One picture from a stream that gives nothing else.
pub(super) struct One {
    input: Input,
    number: u64,
    decoder: Decoder,
}

impl One {
    pub(super) fn new(input: Input) -> Self {
        Self { input, number: 0, decoder: Decoder::default() }
    }
}

impl Source for One {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        if self.number > 0 && !self.input.rewind()? {
            return Ok(None);
        }
        let source = self.input.shared_name();
        let number = self.number;
        self.number += 1;
        self.decoder.read_from(&source, &mut self.input, into)?;
        Ok(Some(Stamp { number, source }))
    }
}
