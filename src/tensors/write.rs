use std::collections::HashMap;
use std::io::{self, Write};

use ndarray_npy::npy::header::{Header, Layout};
use rawzip::ZipArchiveWriter;
use safetensors::tensor::{Dtype, TensorView};

use super::{Array, Element};

/// Writes arrays and, in the metadata, one list of names as JSON. The same values give the same bytes.
///
/// # Errors
/// What the writer says; an array of strings, which safetensors does not have.
pub fn write_safetensors(
    arrays: &[(&str, Array)],
    (key, names): (&str, &[impl AsRef<str>]),
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
    // one entry only: the library writes several in an order that changes from run to run
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let names = serde_json::to_string(&names).map_err(io::Error::other)?;
    let metadata = HashMap::from([(key.to_owned(), names)]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?;
    out.write_all(&file)
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
