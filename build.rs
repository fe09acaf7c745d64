//! Chooses the asset that is linked into the program: `models/default.tipcam`, or the file that
//! the environment variable `TIPCAM_ASSET` names.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/asset/format.rs"]
#[expect(dead_code, unreachable_pub, reason = "written for the library, read here too")]
mod format;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(linked_asset)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/asset/format.rs");
    println!("cargo::rerun-if-env-changed=TIPCAM_ASSET");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let models = root.join("models");
    let (path, remedy) = match env::var_os("TIPCAM_ASSET").filter(|path| !path.is_empty()) {
        // Relative to where cargo was called is not known here: relative to the package.
        Some(path) => (root.join(path), "TIPCAM_ASSET must name an asset made by `tipcam build`"),
        None if models.join("default.tipcam").exists() => {
            (models.join("default.tipcam"), "restore models/default.tipcam")
        }
        None => {
            // Named as a folder: a missing file would count as changed at every build.
            println!("cargo::rerun-if-changed={}", models.display());
            println!("cargo::warning=built without an asset: models/default.tipcam is missing");
            return;
        }
    };
    println!("cargo::rerun-if-changed={}", path.display());
    match check(&path) {
        Ok(path) => {
            println!("cargo::rustc-cfg=linked_asset");
            println!("cargo::rustc-env=TIPCAM_LINKED_ASSET={}", path.display());
        }
        // Fails the build.
        Err(what) => println!("cargo::error={}: {what}; {remedy}", path.display()),
    }
}

/// The absolute path of an asset of this version.
fn check(path: &Path) -> Result<PathBuf, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let major = bytes.get(8..10).and_then(|major| major.try_into().ok()).map(u16::from_le_bytes);
    let len = bytes.get(16..24).and_then(|len| len.try_into().ok()).map(u64::from_le_bytes);
    if !bytes.starts_with(&format::MAGIC) {
        return Err("not a tipcam asset".into());
    }
    if major.is_none_or(|major| major > format::MAJOR) {
        return Err("the format is newer than this version of tipcam".into());
    }
    if len.is_none_or(|len| len > bytes.len() as u64) {
        return Err("the file was cut short".into());
    }
    fs::canonicalize(path).map_err(|error| error.to_string())
}
