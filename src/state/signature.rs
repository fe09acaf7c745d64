use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use minisign_verify::{Error, Signature};

use super::StateError;

/// Bytes of a key or a signature; real ones have less than 400.
const MAX_BYTES: u64 = 4096;

/// The public key of those whose assets are trusted, as `minisign -G` makes it.
#[derive(Clone)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    /// Where it was found, for messages.
    from: String,
}

impl PublicKey {
    /// A key as people give it: the key itself, which begins with `RW`, or a file that holds it.
    ///
    /// # Errors
    /// [`StateError::Key`] that says what to give.
    pub fn given(key_or_file: &str) -> Result<Self, StateError> {
        let problem = |problem: String| StateError::Key { given: key_or_file.to_owned(), problem };
        if let Ok(key) = minisign_verify::PublicKey::from_base64(key_or_file.trim()) {
            return Ok(Self { key, from: key_or_file.trim().to_owned() });
        }
        let text = read(Path::new(key_or_file)).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidInput => {
                problem("neither a key nor a file that is there".into())
            }
            _ => problem(error.to_string()),
        })?;
        let key = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let key = minisign_verify::PublicKey::from_base64(key)
            .map_err(|_| problem("a file, but its last line is no key".into()))?;
        Ok(Self { key, from: key_or_file.to_owned() })
    }

    /// Looks whether `bytes`, the contents of the file at `path`, are what the signature beside it was
    /// made for with this key. The signature of `FILE` is `FILE.minisig`.
    ///
    /// # Errors
    /// [`StateError::Signature`] that says what is wrong and what to do.
    pub fn verify(&self, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
        let beside = beside(path);
        let (file, signature) = (path.display(), beside.display());
        let failed = |problem: String| Err(StateError::Signature(problem));
        let text = match read(&beside) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return failed(format!(
                    "{file}: not signed: there is no {signature}; get it from whoever made the asset \
                     (`minisign -Sm FILE` makes it), or give no public key"
                ));
            }
            Err(error) => return failed(format!("{signature}: {error}")),
        };
        let Ok(decoded) = Signature::decode(&text) else {
            return failed(format!("{signature}: not a minisign signature: fetch it again"));
        };
        match self.key.verify(bytes, &decoded, true) {
            Ok(()) => Ok(()),
            Err(Error::UnexpectedKeyId) => failed(format!(
                "{file}: signed with another key than {}: check that both come from the same maker",
                self.from
            )),
            Err(_) => failed(format!(
                "{file}: the signature is not for these contents: one of {file} and {signature} was \
                 changed or damaged; fetch both again"
            )),
        }
    }
}

/// Where the signature of a file is.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".minisig");
    name.into()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minisign::KeyPair;
    use std::fs;

    fn sign(pair: &KeyPair, path: &Path) {
        let contents = fs::read(path).unwrap();
        let signature = minisign::sign(None, &pair.sk, &contents[..], None, None).unwrap();
        fs::write(beside(path), signature.into_string()).unwrap();
    }

    #[test]
    fn a_signed_file_is_accepted_and_every_other_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (
            KeyPair::generate_unencrypted_keypair().unwrap(),
            KeyPair::generate_unencrypted_keypair().unwrap(),
        );
        let path = folder.path().join("new.tipcam");
        fs::write(&path, b"contents").unwrap();
        let text = ours.pk.to_base64();
        let key_file = folder.path().join("minisign.pub");
        fs::write(&key_file, ours.pk.to_box().unwrap().to_string()).unwrap();
        let key = PublicKey::given(&text).unwrap();
        let problem = |contents: &[u8]| key.verify(&path, contents).unwrap_err().to_string();

        let unsigned = problem(b"contents");
        assert!(unsigned.contains("new.tipcam.minisig") && unsigned.contains("not signed"));
        sign(&theirs, &path);
        let foreign = problem(b"contents");
        assert!(foreign.contains("another key") && foreign.contains(&text), "{foreign}");
        sign(&ours, &path);
        key.verify(&path, b"contents").unwrap();
        PublicKey::given(key_file.to_str().unwrap()).unwrap().verify(&path, b"contents").unwrap();
        assert!(problem(b"contents!").contains("fetch both again"));
        fs::write(beside(&path), "no signature").unwrap();
        assert!(problem(b"contents").contains("not a minisign signature"));
    }

    #[test]
    fn what_is_no_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("photo.pub");
        fs::write(&file, "untrusted comment: key\nhello\n").unwrap();
        for (given, words) in [("RWnonsense", "neither"), (file.to_str().unwrap(), "no key")] {
            let error = PublicKey::given(given).err().unwrap().to_string();
            assert!(error.contains(given) && error.contains(words), "{error}");
        }
    }
}
