use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::ServeError;

/// Random bytes of a new token: 128 bits.
const RANDOM_BYTES: usize = 16;
/// Characters of the shortest token that is taken, for files that somebody wrote by hand.
const MIN_CHARS: usize = 16;
/// Bytes of a token's file that are read.
const MAX_FILE_BYTES: u64 = 1024;

/// What has to be shown by whoever wants to use the page from another machine.
#[derive(Clone)]
pub struct Token {
    text: String,
    new: bool,
}

impl Token {
    /// The token in a file; one that nobody can guess is made and written where there is no file. Only
    /// the file's owner can read it.
    ///
    /// # Errors
    /// [`ServeError::Token`] that names the file.
    pub fn open(path: &Path) -> Result<Self, ServeError> {
        let result = match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
            other => other,
        };
        result.map_err(|error| ServeError::Token { path: path.display().to_string(), error })
    }

    /// The characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the file was made just now: its owner has not seen the token yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Whether `given` is the token. The time that takes tells nothing of where they differ.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let own = self.text.as_bytes();
        let differences =
            own.iter().zip(given).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        own.len() == given.len() && differences == 0
    }
}

fn read(path: &Path) -> io::Result<Token> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    let text = text.trim();
    let usable = text.len() >= MIN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !usable {
        let what = "a token is one line of 16 or more letters and digits: delete the file to get a new one";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Token { text: text.to_owned(), new: false })
}

fn create(path: &Path) -> io::Result<Token> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    if let Err(error) = written {
        // half a token would be refused at every start
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(Token { text, new: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = Token::open(&path).unwrap();
        assert!(made.is_new() && made.text().len() == 32);
        let again = Token::open(&path).unwrap();
        assert!(!again.is_new() && again.is(made.text().as_bytes()));
        let other = Token::open(&folder.path().join("other")).unwrap();
        assert!(!other.is(made.text().as_bytes()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token { text: "0123456789abcdef".into(), new: false };
        assert!(token.is(b"0123456789abcdef"));
        for other in ["", "0", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for bad in ["", "short", "with a space in the middle"] {
            fs::write(&path, bad).unwrap();
            let error = Token::open(&path).err().unwrap();
            assert!(error.to_string().contains("token"), "{error}");
        }
        fs::write(&path, "written-by-hand-0123\n").unwrap();
        assert!(Token::open(&path).unwrap().is(b"written-by-hand-0123"));
    }
}
