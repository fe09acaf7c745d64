//! Named arrays of numbers in files that other programs write: safetensors, NumPy's `.npz`, one `.npy`,
//! a folder of `.npy`. Pickles (PyTorch's `.pt`) are refused: opening one runs the code in it.

mod array;
mod numpy;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

pub use array::{Array, Element};
pub use write::{write_npy, write_npz, write_safetensors};

/// Bytes of a file, or of one array in an archive, at most.
const MAX_BYTES: u64 = 1 << 32;

/// How arrays get out of PyTorch's files.
pub const EXPORT: &str = "python3 -c 'import os, sys, torch; from safetensors.torch import save_file; \
    save_file({os.path.splitext(os.path.basename(p))[0]: torch.load(p, map_location=\"cpu\", \
    weights_only=True).detach().clone().contiguous() for p in sys.argv[2:]}, sys.argv[1])' \
    cache.safetensors keys_16shots.pt values_16shots.pt";

/// Why a file of arrays cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct TensorError {
    /// The file.
    pub path: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The arrays of a file, or of several.
#[derive(Clone, Debug)]
pub struct Tensors {
    path: String,
    arrays: BTreeMap<String, Array>,
    metadata: BTreeMap<String, String>,
}

impl Tensors {
    /// Reads a file, or the `.npy` files of a folder; which kind it is, its first bytes say.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged or of another kind.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TensorError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let error = |problem: String| TensorError { path: name.clone(), problem };
        let (arrays, metadata) = if path.is_dir() {
            (numpy::folder(path)?, BTreeMap::new())
        } else {
            let bytes = read(path)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            parse(&stem, bytes).map_err(error)?
        };
        Ok(Self { path: name, arrays, metadata })
    }

    /// The arrays of several files together.
    ///
    /// # Errors
    /// Those of [`Self::open`]; two files with an array of one name.
    pub fn open_all<P: AsRef<Path>>(paths: &[P]) -> Result<Self, TensorError> {
        let mut all =
            Self { path: String::new(), arrays: BTreeMap::new(), metadata: BTreeMap::new() };
        for path in paths {
            let Self { path, arrays, metadata } = Self::open(path)?;
            for (name, array) in arrays {
                if all.arrays.insert(name.clone(), array).is_some() {
                    let problem =
                        format!("{name} is in one of the other files too: give one of them");
                    return Err(TensorError { path, problem });
                }
            }
            all.metadata.extend(metadata);
            all.path = if all.path.is_empty() { path } else { format!("{}, {path}", all.path) };
        }
        Ok(all)
    }

    /// The file or files, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Names of the arrays, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// An array by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// An array by its name.
    ///
    /// # Errors
    /// It is not there; the error names those that are.
    pub fn get(&self, name: &str) -> Result<&Array, TensorError> {
        self.find(name).ok_or_else(|| {
            let there: Vec<&str> = self.names().collect();
            self.error(format!("there is no {name} in it, only {}", there.join(", ")))
        })
    }

    /// Text of a safetensors file's metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A list of names: a JSON list in the metadata, or an array of strings.
    ///
    /// # Errors
    /// It is something else.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>, TensorError> {
        if let Some(text) = self.metadata(key) {
            let list = serde_json::from_str(text);
            return list.map(Some).map_err(|e| self.error(format!("{key} in the metadata: {e}")));
        }
        let list = self.find(key).map(Array::strings).transpose();
        list.map_err(|problem| self.error(format!("{key} {problem}")))
    }

    /// An error of this file.
    #[must_use]
    pub fn error(&self, problem: String) -> TensorError {
        TensorError { path: self.path.clone(), problem }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TensorError> {
    let error = |problem: String| TensorError { path: path.display().to_string(), problem };
    let bytes = fs::metadata(path).map_err(|e| error(e.to_string()))?.len();
    if bytes > MAX_BYTES {
        return Err(error(format!("longer than {MAX_BYTES} bytes")));
    }
    fs::read(path).map_err(|e| error(e.to_string()))
}

type Parts = (BTreeMap<String, Array>, BTreeMap<String, String>);

fn parse(stem: &str, bytes: Vec<u8>) -> Result<Parts, String> {
    let numpy = |arrays| (arrays, BTreeMap::new());
    match bytes[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            Ok(numpy([(stem.to_owned(), numpy::npy(&mut &bytes[..])?)].into()))
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => numpy::npz(&bytes).map(numpy),
        // the protocol's number, then a frame or a first object
        [0x80, 2..=5, ..] => Err(pickle()),
        _ => safetensors(&bytes),
    }
}

fn pickle() -> String {
    format!(
        "a pickle, which can run any program when it is opened: it is not read. Where PyTorch is, write it as safetensors:\n  {EXPORT}"
    )
}

fn safetensors(bytes: &[u8]) -> Result<Parts, String> {
    if bytes.get(8) != Some(&b'{') {
        return Err("not safetensors, .npz or .npy".to_owned());
    }
    let broken = |e| format!("damaged or cut off, not safetensors as it should be: {e}");
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let array = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let element = match view.dtype() {
            Dtype::BOOL => Element::Bool,
            Dtype::U8 => Element::U8,
            Dtype::I8 => Element::I8,
            Dtype::U16 => Element::U16,
            Dtype::I16 => Element::I16,
            Dtype::U32 => Element::U32,
            Dtype::I32 => Element::I32,
            Dtype::U64 => Element::U64,
            Dtype::I64 => Element::I64,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => Element::Other(format!("{other:?}")),
        };
        let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
        (name, Array::new(element, shape, data))
    };
    Ok((file.tensors().into_iter().map(array).collect(), metadata))
}

#[cfg(test)]
mod tests;
