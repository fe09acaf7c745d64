//! What is said of each class: its name in templates, or sentences of its own.

use std::collections::BTreeMap;

use super::TextError;
use crate::asset::limits::MAX_CLASSES;

/// Bytes of a name, a template or a sentence at most; CLIP reads 77 tokens of it.
const MAX_TEXT: usize = 4096;
/// Prompts of one class at most.
pub(super) const MAX_PROMPTS: usize = 1024;

/// A class and what the text encoder is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassPrompts {
    /// Its name, as the file has it.
    pub name: String,
    /// One or more texts.
    pub prompts: Vec<String>,
}

/// Classes of a file: a name a line, which is put into the templates (`_` as a space), or JSON with
/// sentences for each class, which are taken as they are.
///
/// # Errors
/// No classes, too many, two alike, one without sentences.
pub fn class_prompts(text: &str, templates: &[String]) -> Result<Vec<ClassPrompts>, TextError> {
    let text = text.trim_start_matches('\u{feff}');
    let classes = match text.trim_start().starts_with('{') {
        true => sentences(text)?,
        false => {
            let prompts = |name: &str| {
                let spoken = name.replace('_', " ");
                templates.iter().map(|template| template.replace("{}", &spoken)).collect()
            };
            let classes = lines(text);
            classes
                .map(|name| ClassPrompts { name: name.to_owned(), prompts: prompts(name) })
                .collect()
        }
    };
    check(&classes)?;
    Ok(classes)
}

fn sentences(text: &str) -> Result<Vec<ClassPrompts>, TextError> {
    // a map of serde_json's keeps the file's order, but only the last of two that are alike
    let file: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(TextError::Json)?;
    let class = |(name, sentences): (String, serde_json::Value)| {
        let prompts: Vec<String> = serde_json::from_value(sentences).map_err(TextError::Json)?;
        let prompts = prompts.into_iter().filter(|prompt| !prompt.trim().is_empty()).collect();
        Ok(ClassPrompts { name: name.trim().to_owned(), prompts })
    };
    file.into_iter().map(class).collect()
}

fn check(classes: &[ClassPrompts]) -> Result<(), TextError> {
    if classes.is_empty() {
        return Err(TextError::NoClasses);
    }
    if classes.len() > MAX_CLASSES {
        return Err(TextError::TooMany { what: "classes", limit: MAX_CLASSES });
    }
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for class in classes {
        short(&class.name)?;
        class.prompts.iter().try_for_each(|prompt| short(prompt))?;
        if class.prompts.is_empty() {
            return Err(TextError::NoSentences(class.name.clone()));
        }
        if class.prompts.len() > MAX_PROMPTS {
            return Err(TextError::TooMany { what: "sentences of one class", limit: MAX_PROMPTS });
        }
        if let Some(first) = seen.insert(class.name.to_lowercase().replace('_', " "), &class.name) {
            let (first, second) = (first.to_owned(), class.name.clone());
            return Err(TextError::Alike { first, second });
        }
    }
    Ok(())
}

pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_start_matches('\u{feff}');
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

pub(super) fn short(text: &str) -> Result<(), TextError> {
    if text.len() > MAX_TEXT {
        let start = text.chars().take(20).collect();
        return Err(TextError::Long { start, bytes: text.len(), limit: MAX_TEXT });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{named, templates};
    use super::*;

    #[test]
    fn names_go_into_templates() {
        let templates = templates("# mine\na photo of a {}.\n\n{} texture.\n").unwrap();
        let classes = class_prompts("golden_retriever\n\n# none\ncat\n", &templates).unwrap();
        assert_eq!(classes[0].name, "golden_retriever");
        assert_eq!(
            classes[0].prompts,
            ["a photo of a golden retriever.", "golden retriever texture."]
        );
        assert_eq!(classes.len(), 2);
    }

    #[test]
    fn sentences_of_a_json_file_are_taken_as_they_are_and_in_its_order() {
        let file = r#"{"zebra": ["A zebra has {} stripes.", " "], "ant": ["An ant.", "Small."]}"#;
        let classes = class_prompts(file, &[]).unwrap();
        assert_eq!((&*classes[0].name, &*classes[1].name), ("zebra", "ant"));
        assert_eq!(classes[0].prompts, ["A zebra has {} stripes."]);
        assert_eq!(classes[1].prompts.len(), 2);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let simple = named("simple").unwrap();
        let classes = |text: &str| class_prompts(text, &simple).unwrap_err().to_string();
        assert!(classes("\n# nothing\n").contains("no classes"));
        assert!(classes("{}").contains("no classes"));
        let e = classes("Sea_cat\ndog\nsea cat\n");
        assert!(e.contains("Sea_cat") && e.contains("sea cat"), "{e}");
        assert!(classes(r#"{"cup": []}"#).contains("\"cup\" has no sentences"));
        assert!(classes(r#"{"cup": 3}"#).contains("list of sentences"));
        assert!(classes(&"x".repeat(5000)).contains("5000 bytes"));
    }
}
