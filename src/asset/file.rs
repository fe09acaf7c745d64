use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::format::MAGIC;
use super::{AlignedBytes, Asset, AssetError, Container, EncoderId};

/// Why a file cannot be used as an asset or written as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("{path}: {}", reading(source))]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is of another kind.
    #[error("{path}: not a tipcam asset but {kind}; {remedy}")]
    NotAnAsset {
        /// The file.
        path: String,
        /// What it seems to be.
        kind: &'static str,
        /// What to do with it instead.
        remedy: &'static str,
    },
    /// The file is an asset, but not one to work with.
    #[error("{path}: {source}")]
    Unusable {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: AssetError,
    },
    /// The file could not be written; what was there before is untouched.
    #[error("{path}: not written, nothing was changed: {}", writing(source))]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl FileError {
    /// Bytes of this file that are not a usable asset.
    pub fn unusable(path: impl AsRef<Path>, source: AssetError) -> Self {
        Self::Unusable { path: path.as_ref().display().to_string(), source }
    }
}

fn reading(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file: check the path".into(),
        ErrorKind::PermissionDenied => "no permission to read it".into(),
        ErrorKind::IsADirectory => "a folder, an asset is one file (usually *.tipcam)".into(),
        _ => error.to_string(),
    }
}

fn writing(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "its folder does not exist: create it first".into(),
        ErrorKind::PermissionDenied => {
            "no permission to write in its folder: choose another place".into()
        }
        ErrorKind::StorageFull => "the disk is full: free some space".into(),
        ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("{error}: raise the limit or choose another place")
        }
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only: choose another place".into(),
        _ => error.to_string(),
    }
}

/// An asset's bytes, wherever they come from. Cloning shares them.
#[derive(Clone, Debug)]
pub struct AssetFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// The file's path, or what stands for it in messages.
    name: String,
}

#[derive(Debug)]
enum Store {
    Mapped(Mmap),
    Static(&'static [u8]),
    Owned(AlignedBytes),
}

impl AssetFile {
    /// Maps a file and opens it. Nothing is read beyond the table of contents and the sections'
    /// counts.
    ///
    /// # Errors
    /// [`FileError`] that names the file, what is wrong and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let map = || {
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            // SAFETY: the map must not change while it is borrowed. Assets are replaced by renaming
            // (`Builder::write_atomic`), which leaves the mapped file as it is; whoever overwrites
            // one in place breaks this, as with any program that maps its files.
            unsafe { Mmap::map(&file) }
        };
        let map = map().map_err(|source| FileError::Read { path: name.clone(), source })?;
        if let Some((kind, remedy)) = other_kind(&map) {
            return Err(FileError::NotAnAsset { path: name, kind, remedy });
        }
        Self::new(Store::Mapped(map), name)
    }

    /// A file's contents as they are now, copied into memory: whatever becomes of the file.
    ///
    /// # Errors
    /// [`FileError`] that names the file, what is wrong and what to do.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let mapped = Self::open(path)?;
        let name = mapped.name().to_owned();
        Self::new(Store::Owned(AlignedBytes::from(mapped.bytes())), name)
    }

    /// The asset that is linked into this program: `models/default.tipcam`, or the file that
    /// `TIPCAM_ASSET` named when it was built; none if it was built without one.
    ///
    /// # Errors
    /// [`FileError::Unusable`] if the linked file is damaged.
    pub fn linked() -> Result<Option<Self>, FileError> {
        super::linked()
            .map(|bytes| Self::new(Store::Static(bytes), "the linked asset".into()))
            .transpose()
    }

    /// Bytes that live as long as the program, as from `include_bytes!` (in an aligned static).
    ///
    /// # Errors
    /// [`FileError::Unusable`].
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, FileError> {
        Self::new(Store::Static(bytes), "asset in memory".into())
    }

    /// A copy of bytes at any address.
    ///
    /// # Errors
    /// [`FileError::Unusable`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        AlignedBytes::from(bytes).try_into()
    }

    fn new(store: Store, name: String) -> Result<Self, FileError> {
        let file = Self(Arc::new(Inner { store, name }));
        file.asset()?;
        Ok(file)
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0.store {
            Store::Mapped(map) => map,
            Store::Static(bytes) => bytes,
            Store::Owned(bytes) => bytes,
        }
    }

    /// The path, or words for an asset that has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The typed views, made anew: that takes microseconds.
    ///
    /// # Errors
    /// [`FileError::Unusable`].
    pub fn asset(&self) -> Result<Asset<'_>, FileError> {
        Asset::open(self.bytes()).map_err(|source| self.error(source))
    }

    /// The sections, made anew.
    ///
    /// # Errors
    /// [`FileError::Unusable`].
    pub fn container(&self) -> Result<Container<'_>, FileError> {
        Ok(self.asset()?.container)
    }

    /// An error of this asset's contents, with its path.
    #[must_use]
    pub fn error(&self, source: AssetError) -> FileError {
        FileError::unusable(self.name(), source)
    }

    /// Reads the whole file: checksums, values, and the identity of the encoder.
    ///
    /// # Errors
    /// [`FileError::Unusable`] that names the damaged section.
    pub fn check(&self) -> Result<(), FileError> {
        let asset = self.asset()?;
        let whole = || {
            asset.container.verify()?;
            asset.validate()?;
            let hash = EncoderId::of(|tag| asset.container.section(tag));
            if hash.is_some_and(|hash| hash != asset.container.encoder_id()) {
                return Err(AssetError::Corrupt {
                    section: None,
                    what: "its encoder identity is not the hash of the encoder",
                });
            }
            Ok(())
        };
        whole().map_err(|source| self.error(source))
    }
}

impl TryFrom<AlignedBytes> for AssetFile {
    type Error = FileError;

    fn try_from(bytes: AlignedBytes) -> Result<Self, FileError> {
        Self::new(Store::Owned(bytes), "asset in memory".into())
    }
}

/// What a file is that people give by mistake, and what they wanted.
fn other_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const PICTURE: &str = "pictures are given without --asset";
    const FEATURES: &str = "cached features are given to `tipcam eval --features`";
    const KINDS: &[(&[u8], &str, &str)] = &[
        (b"\xff\xd8\xff", "a JPEG picture", PICTURE),
        (b"\x89PNG", "a PNG picture", PICTURE),
        (b"GIF8", "a GIF picture", PICTURE),
        (b"RIFF", "a WebP picture or a film", PICTURE),
        (b"BM", "a BMP picture", PICTURE),
        (b"\x93NUMPY", "a NumPy array", "an asset is made by `tipcam build`"),
        (b"PK\x03\x04", "a ZIP archive or a PyTorch file", "give an asset made by `tipcam build`"),
        (b"\x1f\x8b", "a gzip archive", "unpack it first"),
        (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` for the file itself"),
        (b"<", "a web page", "the download went wrong, fetch the file again"),
    ];
    if bytes.starts_with(&MAGIC) {
        return None;
    }
    if bytes.is_empty() {
        return Some(("an empty file", "copy or build it again"));
    }
    if let Some((_, kind, remedy)) = KINDS.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Some((kind, remedy));
    }
    // safetensors: length of a JSON object, then that object.
    if bytes.get(8) == Some(&b'{') {
        return Some(("a safetensors file", FEATURES));
    }
    // ONNX is a protobuf without a magic: field 1 is the small IR version, then comes field 2, the
    // producer, or field 7, the graph.
    if let [0x08, 1..=20, 0x12 | 0x3a, ..] = bytes {
        return Some(("an ONNX model", "did you mean `tipcam encoder import MODEL.onnx -o FILE`?"));
    }
    Some(("something else", "an asset is made by `tipcam build`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Builder;
    use crate::asset::tests::{LABELS, sample};

    fn error(name: &str, contents: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        let error = AssetFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        error
    }

    #[test]
    fn a_written_asset_is_mapped_and_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam");
        sample().write_atomic(&path).unwrap();
        let file = AssetFile::open(&path).unwrap();
        file.check().unwrap();
        let shared = file.clone();
        assert_eq!(shared.bytes().as_ptr(), file.bytes().as_ptr());
        assert_eq!(file.bytes(), &*sample().to_bytes().unwrap());

        // A replacement is seen by those who open the file anew, by nobody else.
        let before = file.bytes().to_vec();
        let other = Builder::from_container(&file.container().unwrap());
        other.without(crate::asset::Tag::PROMPTS).write_atomic(&path).unwrap();
        assert_eq!(file.bytes(), before);
        let again = AssetFile::open(&path).unwrap();
        assert!(again.asset().unwrap().prompts.is_none());
        assert_eq!(again.asset().unwrap().labels.unwrap().count(), LABELS.len());
    }

    #[test]
    fn other_files_are_told_apart() {
        let jpeg = error("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF");
        assert!(jpeg.contains("a JPEG picture") && jpeg.contains("without --asset"), "{jpeg}");
        // The first bytes of a file that PyTorch wrote.
        let onnx = error("model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:");
        assert!(onnx.contains("tipcam encoder import"), "{onnx}");
        let features = error("f.safetensors", b"\x40\0\0\0\0\0\0\0{\"keys\":{}}");
        assert!(features.contains("--features"), "{features}");
        assert!(error("empty.tipcam", b"").contains("an empty file"));
        assert!(error("text.tipcam", b"hello, this is no asset").contains("tipcam build"));
    }

    #[test]
    fn files_that_are_not_there_or_not_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = AssetFile::open(folder.path().join("none.tipcam")).unwrap_err().to_string();
        assert!(missing.contains("none.tipcam") && missing.contains("no such file"), "{missing}");
        let a_folder = AssetFile::open(folder.path()).unwrap_err().to_string();
        assert!(a_folder.contains("a folder"), "{a_folder}");
    }

    #[test]
    fn a_cut_or_damaged_asset_is_named_with_its_section() {
        let mut bytes = sample().to_bytes().unwrap();
        let cut = error("cut.tipcam", &bytes[..bytes.len() / 2]);
        assert!(cut.contains("cut short"), "{cut}");
        let container = crate::asset::Container::open(&bytes).unwrap();
        let (_, range, _) =
            container.sections().find(|(tag, ..)| *tag == crate::asset::Tag::WEIGHTS).unwrap();
        bytes[range.start] ^= 1;
        let damaged = AssetFile::from_bytes(&bytes).unwrap().check().unwrap_err().to_string();
        assert!(damaged.contains("WGHT (encoder weights)"), "{damaged}");
    }

    #[test]
    fn bytes_at_any_address_can_be_copied() {
        let bytes = sample().to_bytes().unwrap();
        let mut shifted = vec![0];
        shifted.extend_from_slice(&bytes);
        AssetFile::from_bytes(&shifted[1..]).unwrap().check().unwrap();
    }

    #[test]
    fn the_linked_asset_is_sound() {
        match AssetFile::linked().unwrap() {
            Some(file) => file.check().unwrap(),
            None => println!("left out: built without an asset"),
        }
    }
}
