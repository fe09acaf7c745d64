//! A text as CLIP's tokenizer wants it: entities resolved, quotes straight, one space between words,
//! lower case.
//!
//! CLIP lets the Python package ftfy repair a text first. Of that only what people type is done here:
//! curly quotes become straight ones. Texts that were decoded wrongly, letters followed by combining
//! accents in place of accented letters, ligatures, letters of full width and control characters stay
//! as they are, and of HTML's entities those of Latin-1 and a few more are known, with their semicolon.

/// The entities of Latin-1, from U+00A0 on.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr \
    deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest \
    Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc \
    Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute \
    THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave \
    iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc \
    uuml yacute thorn yuml";

/// Other entities.
const MORE: [(&str, char); 17] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("hellip", '…'),
    ("bull", '•'),
    ("trade", '™'),
    ("euro", '€'),
    ("hearts", '♥'),
    ("oelig", 'œ'),
];

/// The text that the words are looked for in.
pub(super) fn clean(text: &str) -> String {
    // twice, as CLIP does: `&amp;eacute;` is an accented letter too
    let text = unescape(&unescape(text));
    let straight = text.chars().map(|letter| match letter {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        letter => letter,
    });
    let text: String = straight.collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Puts letters in the place of entities; one that is not known stays as it is.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let found = tail.split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        match found {
            Some((letter, after)) => {
                out.push(letter);
                rest = after;
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number.strip_prefix(['x', 'X']);
        let code = match hex {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    let latin = || LATIN.split_whitespace().position(|known| known == name);
    let more = MORE.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
    more.or_else(|| char::from_u32(0xa0 + u32::try_from(latin()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_resolved_twice_and_unknown_ones_stay() {
        assert_eq!(clean("caf&amp;eacute; &#233;&#xE9; &yuml;&nbsp;&lt;"), "café éé ÿ <");
        assert_eq!(clean("AT&T &what; &#x110000; &"), "at&t &what; &#x110000; &");
    }

    #[test]
    fn quotes_become_straight_and_spaces_single() {
        assert_eq!(clean(" “It’s”\t\u{a0} ALL\n "), "\"it's\" all");
    }
}
