use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::Example;
use crate::frame::Frame;
use crate::publish::PublishError;

/// Of the JPEGs: what a person does not tell from the frame.
const QUALITY: u8 = 90;

const REMEDY: &str = "check that there is room and that it may be written";

/// A folder of pictures, each with a JSON file beside it. Files of other kinds are left alone and not
/// counted.
pub(super) struct Folder {
    directory: PathBuf,
    max_bytes: u64,
    /// Names without ending and the bytes of both files, oldest first.
    kept: VecDeque<(String, u64)>,
    bytes: u64,
    jpeg: Vec<u8>,
}

impl Folder {
    /// Makes the folder, or finds what is in it.
    pub(super) fn open(directory: PathBuf, max_bytes: u64) -> Result<Self, PublishError> {
        let kept = fs::create_dir_all(&directory).and_then(|()| Self::list(&directory));
        let kept = kept.map_err(|error| PublishError::file(&directory, error, REMEDY))?;
        let bytes = kept.iter().map(|(_, bytes)| bytes).sum();
        Ok(Self { directory, max_bytes, kept, bytes, jpeg: Vec::new() })
    }

    fn list(directory: &std::path::Path) -> io::Result<VecDeque<(String, u64)>> {
        let mut kept = std::collections::BTreeMap::<String, u64>::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some((stem, "jpg" | "json" | "tmp")) = name.rsplit_once('.') else { continue };
            if is_ours(stem) {
                *kept.entry(stem.to_owned()).or_default() += entry.metadata()?.len();
            }
        }
        Ok(kept.into_iter().collect())
    }

    /// Writes a picture and its line; the oldest ones make room before.
    pub(super) fn write(&mut self, example: &Example) -> Result<(), PublishError> {
        let path = self.directory.join(format!("{}.jpg", example.name));
        let result = self.try_write(example);
        result.map_err(|error| {
            // what was written of it may be what fills the disk
            self.remove(&example.name);
            PublishError::file(&path, error, REMEDY)
        })
    }

    fn try_write(&mut self, example: &Example) -> io::Result<()> {
        self.encode(&example.frame)?;
        let bytes = (self.jpeg.len() + example.line.len()) as u64;
        if bytes > self.max_bytes {
            return Err(io::Error::other("one picture is bigger than all may be"));
        }
        while self.bytes + bytes > self.max_bytes {
            let Some((oldest, bytes)) = self.kept.pop_front() else { break };
            self.remove(&oldest);
            self.bytes -= bytes;
        }
        let place = |ending: &str| self.directory.join(format!("{}.{ending}", example.name));
        fs::write(place("json"), &example.line)?;
        // whoever sees a picture sees a whole one, with its line
        fs::write(place("tmp"), &self.jpeg)?;
        fs::rename(place("tmp"), place("jpg"))?;
        self.kept.push_back((example.name.clone(), bytes));
        self.bytes += bytes;
        Ok(())
    }

    fn encode(&mut self, frame: &Frame) -> io::Result<()> {
        self.jpeg.clear();
        JpegEncoder::new_with_quality(&mut self.jpeg, QUALITY)
            .encode(frame.pixels(), frame.width(), frame.height(), ExtendedColorType::Rgb8)
            .map_err(io::Error::other)
    }

    /// Somebody else may have removed them before.
    fn remove(&self, name: &str) {
        for ending in ["jpg", "json", "tmp"] {
            let _ = fs::remove_file(self.directory.join(format!("{name}.{ending}")));
        }
    }
}

/// Whether a file's name begins as those that are written here: `20260131T123456.789Z_00000042_`.
fn is_ours(stem: &str) -> bool {
    let mut parts = stem.split('_');
    let (Some(time), Some(number)) = (parts.next(), parts.next()) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((date, clock)) = time.strip_suffix('Z').and_then(|time| time.split_once('T')) else {
        return false;
    };
    digits(date)
        && clock.len() == 10
        && clock.split('.').all(digits)
        && digits(number)
        && parts.next().is_some()
}
