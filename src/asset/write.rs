use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::FileError;

/// Writes a file beside `path`, syncs it, gives it the permissions of the file that it replaces,
/// renames it and syncs the folder. On any error the old file stays and the new one disappears.
/// Where `path` is a link, the file behind it is replaced.
pub(super) fn atomic(
    path: &Path,
    contents: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.display().to_string(), source };
    let target = resolve(path).map_err(failed)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tipcam-").suffix(".part");
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        // As any new file, less what the umask takes; the default is for secrets.
        builder.permissions(fs::Permissions::from_mode(0o666))
    };
    let file = builder.tempfile_in(folder).map_err(failed)?;
    let write = || {
        let mut out = BufWriter::with_capacity(1 << 16, file.as_file());
        contents(&mut out)?;
        out.flush()?;
        drop(out);
        match fs::metadata(&target) {
            Ok(old) => file.as_file().set_permissions(old.permissions())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.as_file().sync_all()
    };
    write().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    // Only now the rename itself survives a power cut. Other systems cannot open a folder.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// The file that `path` names, behind any links; `path` itself if there is none yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        Err(error) => Err(error),
    }
}
