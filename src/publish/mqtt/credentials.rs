use std::fs;
use std::path::Path;

use super::super::PublishError;

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads a file of lines `username=...` and `password=...`; empty lines and those that begin
    /// with `#` are left out. Nothing is trimmed from a value but the line's end.
    pub(super) fn read(path: &Path) -> Result<Self, PublishError> {
        const REMEDY: &str = "it should have a line username=NAME and a line password=WORD";
        let text = fs::read_to_string(path)
            .map_err(|error| PublishError::file(path, error, "check that it may be read"))?;
        let name = || path.display().to_string();
        let (mut username, mut password) = (None, None);
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some(("username", value)) => username = Some(value.to_owned()),
                Some(("password", value)) => password = Some(value.to_owned()),
                // the line itself may be a password
                _ => {
                    let reason = format!("line {} is neither", number + 1);
                    return Err(PublishError::setting(name(), reason, REMEDY));
                }
            }
        }
        let missing = |what: &str| PublishError::setting(name(), format!("no {what}"), REMEDY);
        Ok(Self {
            username: username.ok_or_else(|| missing("username"))?,
            password: password.ok_or_else(|| missing("password"))?,
        })
    }

    /// What to say of a file that others may read, too.
    #[cfg(unix)]
    pub(super) fn warning(path: &Path) -> Option<String> {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        let text = "every user of this machine can read the password in it; chmod 600 helps";
        (mode & 0o004 != 0).then(|| format!("{}: {text}", path.display()))
    }

    /// What to say of a file that others may read, too.
    #[cfg(not(unix))]
    pub(super) fn warning(_: &Path) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_a_file_and_are_never_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Credentials::read(&path).map(|found| (found.username, found.password))
        };
        let good = read("# of the camera\nusername=me\n\npassword= a=b \r\n").unwrap();
        assert_eq!(good, ("me".to_owned(), " a=b ".to_owned()));
        assert!(read("username=me\n").unwrap_err().to_string().contains("no password"));
        let told = read("username=me\nhunter2\n").unwrap_err().to_string();
        assert!(told.contains("line 2") && !told.contains("hunter2"), "{told}");
        let missing = Credentials::read(&dir.path().join("none")).err().unwrap().to_string();
        assert!(missing.contains("none"), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_reads_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        let warning = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            Credentials::warning(file.path())
        };
        assert_eq!(warning(0o600), None);
        assert_eq!(warning(0o640), None);
        assert!(warning(0o644).unwrap().contains("chmod 600"));
    }
}
