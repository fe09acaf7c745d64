//! SentencePiece's table of letters to replace, which a `tokenizer.json` carries as it is.
//!
//! It is a trie in a double array (Aoe, 1989, doi:10.1109/32.31365; Darts-clone's form): the walk goes from
//! state to state by exclusive or and looks the next one up without asking whether it is there. So a
//! damaged table would end the program; here it becomes an error.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Whether no text can lead out of the table, which is in base64.
pub(super) fn is_sound(table: &str) -> bool {
    BASE64_STANDARD.decode(table).is_ok_and(|table| sound(&table).is_some())
}

/// Nothing if a text can lead out of it. It is: bytes of the trie (u32), the trie's units (u32 each),
/// texts that each end with a zero.
fn sound(table: &[u8]) -> Option<()> {
    let (bytes, rest) = table.split_first_chunk::<4>()?;
    let (trie, texts) = rest.split_at_checked(u32::from_le_bytes(*bytes) as usize)?;
    let texts = str::from_utf8(texts).ok()?;
    let units: Vec<usize> =
        trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    let next = |state: usize| {
        let unit = units.get(state)?;
        Some(state ^ ((unit >> 10) << ((unit & 1 << 9) >> 6)))
    };
    let mut met = vec![false; units.len()];
    let mut open = vec![next(0)?];
    while let Some(state) = open.pop() {
        // all that a byte may lead to
        units.get(state | 0xff)?;
        if std::mem::replace(&mut met[state], true) {
            continue;
        }
        for byte in 1..=0xff {
            let child = state ^ byte;
            if units[child] & (1 << 31 | 0xff) != byte {
                continue;
            }
            let state = next(child)?;
            if units[child] & 1 << 8 != 0 {
                let at = units.get(state)? & 0x7fff_ffff;
                texts.is_char_boundary(at).then_some(())?;
            }
            open.push(state);
        }
    }
    Some(())
}
