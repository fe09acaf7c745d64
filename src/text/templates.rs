//! What is said of a name: sentences with `{}` where it goes.

use super::TextError;
use super::prompts::{MAX_PROMPTS, lines, short};

/// Sets of templates by name: those of the papers of CLIP and Tip-Adapter, the latter named by the
/// pictures that they are for.
pub const SETS: [(&str, &[&str]); 10] = [
    ("simple", &["a photo of a {}."]),
    // the seven that do best together on ImageNet, chosen by CLIP's authors
    (
        "openai",
        &[
            "itap of a {}.",
            "a bad photo of the {}.",
            "a origami {}.",
            "a photo of the large {}.",
            "a {} in a video game.",
            "art of the {}.",
            "a photo of the small {}.",
        ],
    ),
    ("caltech", &["a photo of a {}."]),
    ("dtd", &["{} texture."]),
    ("eurosat", &["a centered satellite photo of {}."]),
    ("fgvc", &["a photo of a {}, a type of aircraft."]),
    ("flowers", &["a photo of a {}, a type of flower."]),
    ("food101", &["a photo of {}, a type of food."]),
    ("pets", &["a photo of a {}, a type of pet."]),
    ("ucf101", &["a photo of a person doing {}."]),
];

/// The templates of a set.
#[must_use]
pub fn named(name: &str) -> Option<Vec<String>> {
    let (_, list) = SETS.iter().find(|(set, _)| *set == name)?;
    Some(list.iter().map(|&template| template.to_owned()).collect())
}

/// Templates of a file, one a line, each with `{}` for the class's name.
///
/// # Errors
/// A line without `{}`, no lines, too many.
pub fn templates(text: &str) -> Result<Vec<String>, TextError> {
    let lines: Vec<String> = lines(text).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(TextError::NoTemplates);
    }
    if lines.len() > MAX_PROMPTS {
        return Err(TextError::TooMany { what: "templates", limit: MAX_PROMPTS });
    }
    for line in &lines {
        short(line)?;
        if line.matches("{}").count() != 1 {
            return Err(TextError::Template(line.clone()));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_can_be_used_and_has_a_name_of_its_own() {
        for (at, (name, list)) in SETS.iter().enumerate() {
            assert!(SETS[..at].iter().all(|(other, _)| other != name));
            assert_eq!(named(name), Some(templates(&list.join("\n")).unwrap()), "{name}");
        }
        assert_eq!(named("openai").map(|list| list.len()), Some(7));
        assert_eq!(named("mine"), None);
    }

    #[test]
    fn a_line_must_have_one_place_for_the_name() {
        assert_eq!(templates("# mine\n{} texture.\n\n").unwrap(), ["{} texture."]);
        let e = templates("a photo of a cup.").unwrap_err().to_string();
        assert!(e.contains("a photo of a cup.") && e.contains("must have {} once"), "{e}");
        assert!(templates("{} or {}").is_err());
        assert!(matches!(templates(" \n"), Err(TextError::NoTemplates)));
    }
}
