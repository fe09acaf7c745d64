use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::FileError;

/// Writes a file beside `path`, syncs it, gives it the permissions of the file that it replaces,
/// renames it and syncs the folder. On any error the old file stays and the new one disappears.
/// Where `path` is a link, the file behind it is replaced; what is no file (a device, a folder) is
/// refused.
///
/// # Errors
/// [`FileError::Write`] that names the path.
pub fn atomic(
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
        // Renaming would put a file in place of a device.
        Ok(target) if !fs::metadata(&target)?.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file but a folder or a device"))
        }
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn put(path: &Path, contents: &[u8]) -> Result<(), FileError> {
        atomic(path, |out| out.write_all(contents))
    }

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam");
        put(&path, b"one").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        put(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a.tipcam"]);
    }

    #[test]
    fn an_error_in_the_middle_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam");
        put(&path, b"old").unwrap();
        let error = atomic(&path, |out| {
            out.write_all(&[1; 200_000])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a.tipcam") && error.contains("disk is full"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.tipcam"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = put(&folder.path().join("no/a.tipcam"), b"x").unwrap_err().to_string();
        assert!(error.contains("no/a.tipcam") && error.contains("create it first"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn permissions_stay_and_links_are_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.tipcam"), folder.path().join("link"));
        put(&file, b"one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // As open(2) would have made it, not the 0600 of temporary files.
        fs::write(folder.path().join("plain"), b"").unwrap();
        assert_eq!(mode(&file), mode(&folder.path().join("plain")));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.tipcam", &link).unwrap();
        put(&link, b"two").unwrap();
        assert_eq!(mode(&file), 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for path in [path.as_path(), folder.path()] {
            let error = put(path, b"x").unwrap_err().to_string();
            assert!(error.contains("not a file"), "{error}");
        }
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(names(folder.path()), ["socket"]);
    }

    /// A process that may write 4 KiB to a file writes 100 KiB: the system refuses as it does on a
    /// full disk. The limit holds for a whole process, so the test runs itself as another one.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_refusal_of_the_system_keeps_the_old_file() {
        const CHILD: &str = "TIPCAM_TEST_WRITE_TO";
        if let Some(path) = std::env::var_os(CHILD) {
            let error = put(Path::new(&path), &[1; 100 << 10]).unwrap_err();
            eprintln!("{error}");
            let FileError::Write { source, .. } = error else { panic!("{error}") };
            assert_eq!(source.kind(), io::ErrorKind::FileTooLarge);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam");
        put(&path, b"old").unwrap();
        let child = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("asset::write::tests::a_refusal_of_the_system_keeps_the_old_file")
            .env(CHILD, &path)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stderr);
        if child.status.code() == Some(126) {
            println!("left out: an emulated program cannot start itself again");
            return;
        }
        assert!(child.status.success(), "{output}");
        assert!(output.contains("nothing was changed"), "{output}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.tipcam"]);
    }
}
