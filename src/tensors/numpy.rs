//! NumPy's files: `.npy` has one array behind a header that is a Python dictionary, `.npz` is a ZIP
//! archive of such files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use ndarray_npy::npy::header::Header;
use rawzip::{CompressionMethod, ZipArchive};

use super::{Array, Element, MAX_BYTES, TensorError, pickle};

/// Arrays of an archive at most.
const MAX_ARRAYS: usize = 4096;

/// Every `.npy` of a folder, by its name without the ending.
pub(super) fn folder(folder: &Path) -> Result<BTreeMap<String, Array>, TensorError> {
    let error =
        |path: &Path, problem: String| TensorError { path: path.display().to_string(), problem };
    let entries = fs::read_dir(folder).map_err(|e| error(folder, e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|e| error(folder, e.to_string()))?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "npy") {
            let bytes = super::read(&path)?;
            arrays.insert(stem, npy(&mut &bytes[..]).map_err(|problem| error(&path, problem))?);
        }
    }
    if arrays.is_empty() {
        return Err(error(folder, "there are no .npy files in this folder".to_owned()));
    }
    Ok(arrays)
}

/// Every array of an archive.
pub(super) fn npz(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let broken = |e: rawzip::Error| format!("damaged or cut off, not .npz as it should be: {e}");
    let archive = ZipArchive::from_slice(bytes).map_err(broken)?;
    let (mut entries, mut found) = (archive.entries(), Vec::new());
    while let Some(entry) = entries.next_entry().map_err(broken)? {
        let name = entry.file_path().try_normalize().map_err(broken)?.as_ref().to_owned();
        // PyTorch's files are archives too
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            return Err(pickle());
        }
        if found.len() == MAX_ARRAYS {
            return Err(format!("more than {MAX_ARRAYS} arrays"));
        }
        if let Some(name) = name.strip_suffix(".npy") {
            found.push((name.to_owned(), entry.wayfinder(), entry.compression_method()));
        }
    }
    let mut arrays = BTreeMap::new();
    for (name, place, method) in found {
        let entry = archive.get_entry(place).map_err(broken)?;
        let data = entry.data();
        let array = match method {
            CompressionMethod::STORE => npy(&mut entry.verifying_reader(data)),
            CompressionMethod::DEFLATE => {
                npy(&mut entry.verifying_reader(DeflateDecoder::new(data)))
            }
            other => Err(format!("compressed by a method that is not read ({other:?})")),
        };
        arrays.insert(name.clone(), array.map_err(|problem| format!("{name}: {problem}"))?);
    }
    Ok(arrays)
}

/// One array.
pub(super) fn npy(from: &mut dyn Read) -> Result<Array, String> {
    let broken =
        |e: &dyn std::fmt::Display| format!("damaged or cut off, not .npy as it should be: {e}");
    let header = Header::from_reader(&mut &mut *from).map_err(|e| broken(&e))?;
    let descriptor = header.type_descriptor.to_string();
    let descriptor = descriptor.trim_matches(['\'', '"']);
    if descriptor.contains('O') {
        return Err(pickle());
    }
    let element = element(descriptor);
    let Some(size) = element.bytes() else {
        return Ok(Array::new(element, header.shape, Vec::new()));
    };
    let bytes = header.shape.iter().try_fold(size, |bytes, &side| bytes.checked_mul(side));
    let Some(wanted) = bytes.map(|bytes| bytes as u64).filter(|&bytes| bytes <= MAX_BYTES) else {
        return Err(format!(
            "its shape {:?} says that it is longer than {MAX_BYTES} bytes",
            header.shape
        ));
    };
    let mut bytes = Vec::new();
    from.take(wanted + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
    if bytes.len() as u64 != wanted {
        return Err(broken(&format!("{wanted} bytes of values should be there")));
    }
    let array = Array::new(element, header.shape, bytes);
    Ok(if header.layout.is_fortran() { array.columns_as_rows() } else { array })
}

fn element(descriptor: &str) -> Element {
    match descriptor {
        "|b1" => Element::Bool,
        "|u1" | "<u1" => Element::U8,
        "|i1" | "<i1" => Element::I8,
        "<u2" => Element::U16,
        "<i2" => Element::I16,
        "<u4" => Element::U32,
        "<i4" => Element::I32,
        "<u8" => Element::U64,
        "<i8" => Element::I64,
        "<f2" => Element::F16,
        "<f4" => Element::F32,
        "<f8" => Element::F64,
        other => match other.strip_prefix("<U").map(str::parse) {
            Some(Ok(length)) => Element::Text(length),
            _ => Element::Other(other.to_owned()),
        },
    }
}
