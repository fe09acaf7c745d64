use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::format::MAGIC;
use super::{AlignedBytes, Asset, AssetError, Container, EncoderId, Tag};

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
    #[error("{path}: not written, the old file is untouched: {}", writing(source))]
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

    /// Whether the encoder itself is in the file, not only what was made with it.
    ///
    /// # Errors
    /// [`FileError::Unusable`].
    pub fn has_encoder(&self) -> Result<bool, FileError> {
        Ok(self.container()?.section(Tag::LAYERS).is_some())
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
