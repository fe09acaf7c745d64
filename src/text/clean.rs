//! A text as CLIP's tokenizer wants it: repaired, entities resolved, one space between words, lower
//! case.
//!
//! CLIP was trained on texts that the Python package ftfy had repaired, and whose HTML entities were
//! resolved. Of ftfy all is done here but two things. A text that was decoded wrongly ("cafÃ©") stays
//! as it is: to guess what it was takes statistics, and who writes it sees it. And an entity is known
//! in the case of the standard alone (`&eacute;`, `&Eacute;`), not in capitals (`&EACUTE;`).

use std::sync::LazyLock;

use htmlize::unescape;
use regex::Regex;
use unicode_normalization::{UnicodeNormalization, char};

/// What a terminal reads as a colour, in lists that were copied from one.
static ESCAPES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*[a-zA-Z]").ok());

/// The text that the words are looked for in.
pub(super) fn clean(text: &str) -> String {
    // a text with tags may be about entities
    let entities = !text.contains('<');
    let mut text = text.to_owned();
    loop {
        let repaired = repair(&text, entities);
        if repaired == text {
            break;
        }
        text = repaired;
    }
    // twice, as CLIP does
    let text = unescape(unescape(text));
    let text: String = text.chars().filter(|&letter| !is_control(letter)).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// One round of ftfy. What it gives has fewer characters of every kind that it looks for.
fn repair(text: &str, entities: bool) -> String {
    let text = if entities { unescape(text) } else { text.into() };
    let text = match &*ESCAPES {
        Some(escapes) => escapes.replace_all(&text, ""),
        None => text,
    };
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // what Windows has there, by HTML's rules
            '\u{80}'..='\u{9f}' => plain += &unescape(format!("&#{};", u32::from(letter))),
            'ﬅ' => plain += "ſt",
            // ligatures and digraphs of two letters, and letters of full and half width
            'Ĳ'
            | 'ĳ'
            | 'ŉ'
            | 'Ǆ'..='ǌ'
            | 'Ǳ'..='ǳ'
            | 'ﬀ'..='ﬆ'
            | '\u{3000}'
            | '！'..='\u{ffef}' => {
                char::decompose_compatible(letter, |part| plain.push(part));
            }
            _ => plain.push(letter),
        }
    }
    let straight = plain.chars().filter(|&letter| !is_control(letter)).map(|letter| match letter {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        letter => letter,
    });
    straight.nfc().collect()
}

/// Characters that are neither seen nor spaces.
fn is_control(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_resolved_and_unknown_ones_stay() {
        assert_eq!(clean("caf&amp;eacute; &#233;&#xE9; &yuml;&nbsp;&lt;"), "café éé ÿ <");
        assert_eq!(clean("AT&T &what; &x"), "at&t &what; &x");
        assert_eq!(clean("&amp;amp;amp;amp;amp; &copy2026"), "& ©2026");
    }

    #[test]
    fn quotes_become_straight_and_spaces_single() {
        assert_eq!(clean(" “It’s”\t\u{a0} ALL\n "), "\"it's\" all");
    }

    #[test]
    fn letters_become_whole_and_plain() {
        assert_eq!(
            clean("cafe\u{301} ﬁsh ＣＡＴ ｶﾞ Ǆ a\u{0}b\u{feff} \u{1b}[31mred\u{1b}[0m"),
            { "café fish cat ガ dž ab red" }
        );
    }
}
