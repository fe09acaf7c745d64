//! A cache as arrays for other programs.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::contents::Contents;
use super::ends_with;
use crate::asset;
use crate::cli::print;
use crate::cli::shared::{Format, Shared};
use crate::tensors::{Array, Element, write_npy, write_npz, write_safetensors};

/// How arrays are written.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Safetensors,
    Npz,
    Folder,
}

impl Kind {
    /// By the output's name; none for an asset.
    pub(super) fn of(output: &Path) -> Result<Option<Self>> {
        Ok(match output.extension() {
            None => Some(Self::Folder),
            _ if ends_with(output, "tipcam") => None,
            _ if ends_with(output, "safetensors") => Some(Self::Safetensors),
            _ if ends_with(output, "npz") => Some(Self::Npz),
            _ => bail!(
                "{}: the output's name says what to write: an asset *.tipcam, *.safetensors, *.npz, or \
                 without an ending a folder for *.npy",
                output.display()
            ),
        })
    }
}

/// Writes `keys [N, D]`, `labels [N]`, `text [C, D]` (zeros for a class without text), `class_names`,
/// `alpha`, `beta` and the encoder's identity, each if it is there.
pub(super) fn write(kind: Kind, output: &Path, contents: &Contents, shared: &Shared) -> Result<()> {
    let Contents { classes, shots, encoder, plain, .. } = contents;
    let dim = shots.first().map_or(0, |shot| shot.feature.len());
    let text_dim = classes.iter().find_map(|class| Some(class.text.as_ref()?.len())).unwrap_or(0);
    let mut arrays = Vec::new();
    if let Some((alpha, beta)) = *plain {
        arrays.push(("alpha", Array::of_f32(Vec::new(), [alpha])));
        arrays.push(("beta", Array::of_f32(Vec::new(), [beta])));
    }
    if let Some(encoder) = encoder {
        arrays.push(("encoder", Array::new(Element::U8, vec![32], encoder.0.to_vec())));
    }
    if !shots.is_empty() {
        let keys = shots.iter().flat_map(|shot| shot.feature.iter().copied());
        arrays.push(("keys", Array::of_f32(vec![shots.len(), dim], keys)));
        arrays.push(("labels", Array::of_i32(shots.iter().map(|shot| shot.class as i32))));
    }
    if text_dim > 0 {
        let row = |text: &Option<Vec<f32>>| text.clone().unwrap_or_else(|| vec![0.0; text_dim]);
        let rows = classes.iter().flat_map(|class| row(&class.text));
        arrays.push(("text", Array::of_f32(vec![classes.len(), text_dim], rows)));
    }
    let names: Vec<&str> = classes.iter().map(|class| &*class.label).collect();
    let strings = ("class_names", Array::of_strings(&names));
    match kind {
        Kind::Safetensors => {
            asset::write_atomic(output, |out| {
                let names = serde_json::to_string(&names)?;
                write_safetensors(&arrays, &[("class_names", names)], out)
            })?;
        }
        Kind::Npz => {
            arrays.push(strings);
            asset::write_atomic(output, |out| write_npz(&arrays, out))?;
        }
        Kind::Folder => {
            arrays.push(strings);
            let named = || format!("{}: not written", output.display());
            write_folder(output, &arrays).with_context(named)?;
        }
    }
    let (file, with_text) =
        (output.to_string_lossy(), classes.iter().filter(|class| class.text.is_some()).count());
    let line = match shared.format_or(Format::Table) {
        Format::Json => json!({"v": crate::report::SCHEMA, "file": file, "classes": classes.len(),
                               "classes_with_text": with_text, "shots": shots.len(), "dim": dim})
        .to_string(),
        Format::Table => format!(
            "{file}: {} keys of {dim} values, {} classes ({with_text} with text)",
            shots.len(),
            classes.len()
        ),
    };
    Ok(print(&format!("{line}\n"))?)
}

/// Writes a new folder, in one step: it is there as a whole or not at all.
fn write_folder(folder: &Path, arrays: &[(&str, Array)]) -> io::Result<()> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(io::Error::other("there are files in this folder: name a new one"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tipcam-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // as any new folder, less what the umask takes
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    let new = builder.tempdir_in(parent)?;
    for (name, array) in arrays {
        let mut out = BufWriter::new(File::create(new.path().join(format!("{name}.npy")))?);
        write_npy(array, &mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
    }
    fs::rename(new.path(), folder)
}
