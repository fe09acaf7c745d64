//! Photographs in one folder per class, as `build` and `eval` take them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::asset::Asset;
use crate::frame::source;

/// A labelled photograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Photo {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its path below the data set's folder, with `/` between the parts.
    pub(super) name: String,
}

/// The photographs of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassPhotos {
    /// The folder's name.
    pub(super) folder: String,
    /// The class's name for people; the folder's unless `--classes` gives another.
    pub(super) label: String,
    /// Its photographs: sorted by name, or in the split's order.
    pub(super) photos: Vec<Photo>,
}

/// Reads `DIR/<class>/*`, classes sorted by folder name or in the order of the classes file.
///
/// `split` is a JSON file `{"train": [...], "val": [...], "test": [...]}` of paths below the folder,
/// of which the list `part` is taken; without it everything is. A class of the classes file may have
/// no photographs.
pub(super) fn read(
    folder: &Path,
    split: Option<&Path>,
    part: &str,
    classes: Option<&Path>,
) -> Result<Vec<ClassPhotos>> {
    ensure!(
        folder.is_dir(),
        "{}: not a folder; give one that has a folder of photographs for each class",
        folder.display()
    );
    let mut found = match split {
        Some(split) => from_split(folder, split, part)?,
        None => from_folders(folder)?,
    };
    let Some(classes) = classes else {
        ensure!(
            !found.is_empty(),
            "{}: no folder with photographs in it; it should have one for each class, as {}",
            folder.display(),
            folder.join("cup").join("photo1.jpg").display()
        );
        return Ok(found
            .into_iter()
            .map(|(folder, photos)| ClassPhotos { label: folder.clone(), folder, photos })
            .collect());
    };
    let text = fs::read_to_string(classes).with_context(|| classes.display().to_string())?;
    let mut wanted = Vec::new();
    for (name, label) in parse_classes(&text).with_context(|| classes.display().to_string())? {
        let photos = found.remove(&name).unwrap_or_default();
        wanted.push(ClassPhotos { folder: name, label, photos });
    }
    ensure!(!wanted.is_empty(), "{}: no classes in it; write one a line", classes.display());
    Ok(wanted)
}

/// The class that a folder's photographs show: the one of its label, the one that was learned from
/// a folder of its name, or the one whose label differs only in case and `_`.
pub(super) fn class_of(asset: &Asset<'_>, folder: &ClassPhotos) -> Option<usize> {
    let labels = asset.labels?;
    let learned = || {
        let (cache, names) = (asset.cache?, asset.key_names?);
        let from = |name: &str| name.split('/').rev().nth(1) == Some(&*folder.folder);
        let mut classes =
            (0..cache.len).filter(|&i| names.get(i).is_some_and(from)).map(|i| cache.class[i]);
        let first = classes.next()?;
        classes.all(|class| class == first).then_some(first as usize)
    };
    let plain = |name: &str| name.to_lowercase().replace('_', " ");
    let alike = || labels.iter().position(|label| plain(label) == plain(&folder.label));
    labels.find(&folder.label).or_else(learned).or_else(alike)
}

/// The folders and labels of a classes file: `folder` or `folder = label` a line, `#` for comments.
pub(super) fn parse_classes(text: &str) -> Result<Vec<(String, String)>> {
    let mut classes: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (folder, label) = line.split_once('=').unwrap_or((line, line));
        let (folder, label) = (folder.trim(), label.trim());
        ensure!(
            !folder.is_empty() && !label.is_empty(),
            "line {}: write `folder` or `folder = label`",
            number + 1
        );
        ensure!(
            classes.iter().all(|(f, l)| f != folder && l != label),
            "line {}: {line:?} repeats a folder or label from above",
            number + 1
        );
        classes.push((folder.to_owned(), label.to_owned()));
    }
    Ok(classes)
}

type Folders = BTreeMap<String, Vec<Photo>>;

fn from_folders(folder: &Path) -> Result<Folders> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Folders::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let photos: Vec<Photo> = source::pictures(&path.to_string_lossy())?
            .into_iter()
            .map(|path| Photo { name: name_below(folder, &path), path })
            .collect();
        found.insert(name, photos);
    }
    Ok(found)
}

fn from_split(folder: &Path, split: &Path, part: &str) -> Result<Folders> {
    let text = fs::read_to_string(split).with_context(|| split.display().to_string())?;
    let lists: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).with_context(|| {
        format!("{}: should be JSON lists of paths as {{\"{part}\": [...]}}", split.display())
    })?;
    let Some(names) = lists.get(part) else {
        bail!(
            "{}: has no list {part:?}, only {:?}",
            split.display(),
            lists.keys().collect::<Vec<_>>()
        );
    };
    let mut found = Folders::new();
    for name in names {
        let Some((class, _)) = name.split_once('/') else {
            bail!("{}: path {name:?} names no class folder", split.display());
        };
        let photo = Photo { path: folder.join(name), name: name.clone() };
        found.entry(class.to_owned()).or_default().push(photo);
    }
    Ok(found)
}

fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(classes: &[ClassPhotos]) -> Vec<&str> {
        classes.iter().flat_map(|c| c.photos.iter().map(|p| &*p.name)).collect()
    }

    #[test]
    fn folders_become_classes_in_their_order() {
        let root = tree(&["b/2.jpg", "b/1.png", "a/x/3.jpg", "notes.txt", ".git/4.jpg"]);
        let classes = read(root.path(), None, "train", None).unwrap();
        assert_eq!(names(&classes), ["a/x/3.jpg", "b/1.png", "b/2.jpg"]);
        assert_eq!(classes[0].label, "a");
    }

    #[test]
    fn a_split_gives_the_photographs_and_their_order() {
        let root = tree(&["a/1.jpg", "a/2.jpg", "b/3.jpg"]);
        let split = root.path().join("split.json");
        fs::write(&split, r#"{"train":["b/3.jpg","a/2.jpg","a/1.jpg"],"test":[]}"#).unwrap();
        let classes = read(root.path(), Some(&split), "train", None).unwrap();
        assert_eq!(names(&classes), ["a/2.jpg", "a/1.jpg", "b/3.jpg"]);
        let missing = read(root.path(), Some(&split), "val", None).unwrap_err();
        assert!(format!("{missing:#}").contains(r#"no list "val""#), "{missing:#}");
    }

    #[test]
    fn a_classes_file_chooses_orders_and_names() {
        let root = tree(&["a/1.jpg", "b/2.jpg", "c/3.jpg"]);
        let file = root.path().join("classes.txt");
        fs::write(&file, "# mine\nc = sea cat # yes\n\na\n").unwrap();
        let classes = read(root.path(), None, "train", Some(&file)).unwrap();
        let labels: Vec<_> = classes.iter().map(|c| (&*c.folder, &*c.label)).collect();
        assert_eq!(labels, [("c", "sea cat"), ("a", "a")]);
        fs::write(&file, "d\n").unwrap();
        let classes = read(root.path(), None, "train", Some(&file)).unwrap();
        assert!(classes[0].photos.is_empty(), "known by its name alone");
    }

    #[test]
    fn a_classes_file_with_a_mistake_names_the_line() {
        for (text, line) in [("a\n= b\n", 2), ("a\nb = a\n", 2), ("a = \n", 1)] {
            let error = parse_classes(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_folder_without_classes_is_an_error_that_shows_what_is_wanted() {
        let root = tree(&["1.jpg"]);
        let error = read(root.path(), None, "train", None).unwrap_err();
        assert!(format!("{error:#}").contains("one for each class"), "{error:#}");
    }
}
