use std::io::{self, Write};

use ndarray_npy::npy::header::{Header, Layout};
use rawzip::ZipArchiveWriter;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value};

use super::{Array, Element};

/// Writes arrays and, in the metadata, texts by their names. The same values give the same bytes.
///
/// # Errors
/// What the writer says; an array of strings, which safetensors does not have.
pub fn write_safetensors(
    arrays: &[(&str, Array)],
    metadata: &[(&str, String)],
    out: &mut impl Write,
) -> io::Result<()> {
    let view = |array: &'_ Array| {
        let dtype = match array.element() {
            Element::U8 => Dtype::U8,
            Element::I32 => Dtype::I32,
            Element::F32 => Dtype::F32,
            other => return Err(io::Error::other(format!("{other:?} is not written"))),
        };
        Ok((dtype, array.shape().to_vec()))
    };
    let mut views = Vec::new();
    for (name, array) in arrays {
        let (dtype, shape) = view(array)?;
        let view = TensorView::new(dtype, shape, array.bytes()).map_err(io::Error::other)?;
        views.push((*name, view));
    }
    // The library writes metadata in an order that changes from run to run: it is put in front here.
    let file = safetensors::serialize(views, None).map_err(io::Error::other)?;
    let (length, rest) = file.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header)?;
    let metadata = metadata.iter().map(|(name, text)| (name.to_string(), text.as_str().into()));
    header.shift_insert(0, "__metadata__".to_owned(), Value::Object(metadata.collect()));
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    out.write_all(values)
}

/// Writes NumPy's archive. The same values give the same bytes.
///
/// # Errors
/// What the writer says.
pub fn write_npz(arrays: &[(&str, Array)], out: &mut impl Write) -> io::Result<()> {
    let mut archive = ZipArchiveWriter::new(&mut *out);
    for (name, array) in arrays {
        let file = archive.new_file(format!("{name}.npy")).start();
        let (mut entry, config) = file.map_err(io::Error::other)?;
        let mut data = config.wrap(&mut entry);
        write_npy(array, &mut data)?;
        let (_, descriptor) = data.finish().map_err(io::Error::other)?;
        entry.finish(descriptor).map_err(io::Error::other)?;
    }
    archive.finish().map_err(io::Error::other)?;
    Ok(())
}

/// Writes one array for NumPy.
///
/// # Errors
/// What the writer says.
pub fn write_npy(array: &Array, out: &mut impl Write) -> io::Result<()> {
    let descriptor = match array.element() {
        Element::U8 => "'|u1'".to_owned(),
        Element::I32 => "'<i4'".to_owned(),
        Element::F32 => "'<f4'".to_owned(),
        Element::Text(length) => format!("'<U{length}'"),
        other => return Err(io::Error::other(format!("{other:?} is not written"))),
    };
    let type_descriptor = descriptor.parse().map_err(io::Error::other)?;
    let header =
        Header { type_descriptor, layout: Layout::Standard, shape: array.shape().to_vec() };
    header.write(&mut *out).map_err(io::Error::other)?;
    out.write_all(array.bytes())
}
