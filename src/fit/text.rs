//! Text weights of classes by name.

use crate::asset::Vocabulary;

/// The text vector of a class in the vocabulary, of length 1, if it has the name or a common
/// spelling of it.
#[must_use]
pub fn look_up(vocabulary: &Vocabulary<'_>, label: &str) -> Option<Vec<f32>> {
    let place = spellings(label).iter().find_map(|name| vocabulary.find(name))?;
    let (codes, scale) = vocabulary.row(place)?;
    let mut text: Vec<f32> = codes.iter().map(|&code| scale * f32::from(code)).collect();
    super::keys::normalize(&mut text);
    Some(text)
}

/// The name in lower case with spaces, then with hyphens as spaces, as plural, as singular and in
/// one word.
pub(super) fn spellings(label: &str) -> [String; 5] {
    let name = label.to_lowercase().replace('_', " ");
    let name = name.trim();
    [
        name.to_owned(),
        name.replace('-', " "),
        format!("{name}s"),
        name.trim_end_matches('s').to_owned(),
        name.replace(' ', ""),
    ]
}

/// The names that one entry of a text bank stands for: synonyms stand between slashes or commas, and
/// what is in brackets is left out.
pub(super) fn synonyms(entry: &str) -> impl Iterator<Item = String> {
    let (mut plain, mut depth) = (String::new(), 0u32);
    for letter in entry.to_lowercase().replace('_', " ").chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let names: Vec<String> = plain.split(['/', ',']).map(|name| name.trim().to_owned()).collect();
    names.into_iter().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AlignedBytes;

    #[test]
    fn a_name_is_found_in_its_common_spellings() {
        let names = ["cellphone", "crocodile", "inline skates", "t shirt"];
        let codes: Vec<i8> =
            (0..4).flat_map(|i| (0..4).map(move |j| (i == j) as i8 * 127)).collect();
        let section = Vocabulary::encode(&names, 4, &[1.0 / 127.0; 4], &codes).unwrap();
        let section = AlignedBytes::from(&section[..]);
        let vocabulary = Vocabulary::parse(&section).unwrap();
        let found = |label: &str| {
            look_up(&vocabulary, label).and_then(|text| text.iter().position(|&v| v == 1.0))
        };
        assert_eq!(found("Cell_Phone"), Some(0));
        assert_eq!(found("crocodiles"), Some(1));
        assert_eq!(found("inline_skate"), Some(2));
        assert_eq!(found("T-shirt"), Some(3));
        assert_eq!(found("gadget"), None);
    }

    #[test]
    fn entries_of_a_bank_are_taken_apart() {
        let names: Vec<_> = synonyms("Crab_(animal)/Hermit crab, crayfish").collect();
        assert_eq!(names, ["crab", "hermit crab", "crayfish"]);
        assert_eq!(synonyms("(nothing)").count(), 0);
    }
}
