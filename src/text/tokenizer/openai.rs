//! OpenAI CLIP's tokenizer: byte pairs, merged in the order of a published vocabulary.
//!
//! A text is cleaned (`clean`) and split into words: contractions, runs of letters, single digits,
//! runs of anything else. A word begins as its bytes, the last one marked as the end of a word; then
//! the neighbours that stand first in the vocabulary's list of merges become one, again and again.
//! The names of the start and end tokens have no meaning within a text.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use regex::Regex;

use super::super::clean::clean;
use super::{TextError, error};

/// Tokens that CLIP's text encoders read at once.
pub(super) const CONTEXT: usize = 77;

/// Merges that CLIP uses of the file, which has more: 49152 tokens, less twice 256 bytes and 2.
const MAX_MERGES: usize = 49_152 - 256 - 2;

/// Bytes that a vocabulary has at most, unpacked.
const MAX_BYTES: u64 = 16 << 20;

/// The published pattern, less the two special tokens.
const WORD: &str = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// Marks the last part of a word in the vocabulary.
const END_OF_WORD: &str = "</w>";

/// A vocabulary of byte pairs.
#[derive(Clone, Debug)]
pub(super) struct BytePairs {
    word: Regex,
    /// Token of each byte; of the last byte of a word it is 256 more.
    bytes: [u32; 256],
    /// Two neighbours: the merge's rank and the token that it makes.
    merges: HashMap<(u32, u32), (usize, u32)>,
    tokens: u32,
}

impl BytePairs {
    /// Reads a vocabulary: a line of title, then two parts of a word a line, the most frequent first;
    /// packed by gzip or plain.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`].
    pub(super) fn parse(file: &[u8]) -> Result<Self, TextError> {
        let mut text = String::new();
        let plain: Box<dyn Read + '_> = match file.starts_with(&[0x1f, 0x8b]) {
            true => Box::new(MultiGzDecoder::new(file)),
            false => Box::new(file),
        };
        let read = plain.take(MAX_BYTES + 1).read_to_string(&mut text);
        let read = read.map_err(|e| match file.first() {
            // the first field of a SentencePiece model
            Some(b'\n') => {
                error("it looks like a SentencePiece model, which has a tokenizer.json too")
            }
            _ => error(e),
        })?;
        if read as u64 > MAX_BYTES {
            return Err(error(format!("it has more than {MAX_BYTES} bytes")));
        }

        let alphabet = alphabet();
        let mut bytes = [0; 256];
        let mut names: HashMap<String, u32> = HashMap::new();
        for (token, &(byte, letter)) in (0u32..).zip(&alphabet) {
            bytes[usize::from(byte)] = token;
            names.insert(letter.to_string(), token);
            names.insert(format!("{letter}{END_OF_WORD}"), token + 256);
        }
        let mut pairs = Vec::new();
        for (number, line) in text.lines().enumerate().skip(1).take(MAX_MERGES) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let &[left, right] = parts.as_slice() else {
                return Err(error(format!("line {}: it has not two parts", number + 1)));
            };
            let find = |part: &str| {
                names.get(part).copied().ok_or_else(|| {
                    error(format!("line {}: {part:?} is not made by a line above", number + 1))
                })
            };
            pairs.push((find(left)?, find(right)?));
            names.insert(format!("{left}{right}"), 512 + pairs.len() as u32 - 1);
        }
        if pairs.is_empty() {
            return Err(error("there are no merges in it"));
        }
        let tokens = 512 + pairs.len() as u32;
        let ranked = pairs.into_iter().enumerate();
        let merges = ranked.map(|(rank, pair)| (pair, (rank, 512 + rank as u32))).collect();
        let word = Regex::new(WORD).map_err(error)?;
        Ok(Self { word, bytes, merges, tokens })
    }

    /// The token that every text begins with.
    fn start(&self) -> u32 {
        self.tokens
    }

    /// The token behind every text.
    fn end(&self) -> u32 {
        self.tokens + 1
    }

    /// `context` token ids, three or more: those of a text between start and end, zeros behind.
    pub(super) fn encode(&self, text: &str, context: usize) -> Vec<u32> {
        let mut ids = vec![0; context];
        ids[0] = self.start();
        let mut len = 1;
        for word in self.word.find_iter(&clean(text)) {
            for token in self.merge(word.as_str()) {
                if len < context - 1 {
                    ids[len] = token;
                    len += 1;
                }
            }
            if len == context - 1 {
                break;
            }
        }
        ids[len] = self.end();
        ids
    }

    fn merge(&self, word: &str) -> Vec<u32> {
        let mut parts: Vec<u32> = word.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        if let Some(last) = parts.last_mut() {
            *last += 256;
        }
        let known = |parts: &[u32]| {
            let pairs = parts.windows(2).filter_map(|pair| {
                let &(rank, made) = self.merges.get(&(pair[0], pair[1]))?;
                Some((rank, pair[0], pair[1], made))
            });
            pairs.min()
        };
        while let Some((_, left, right, made)) = known(&parts) {
            let mut merged = Vec::with_capacity(parts.len());
            let mut at = 0;
            while at < parts.len() {
                let both = parts[at] == left && parts.get(at + 1) == Some(&right);
                merged.push(if both { made } else { parts[at] });
                at += if both { 2 } else { 1 };
            }
            parts = merged;
        }
        parts
    }
}

/// The letter that stands for each byte in the vocabulary, in the order of the tokens: bytes that are
/// letters and signs in Latin-1 stand for themselves, the others for U+0100 and on.
fn alphabet() -> Vec<(u8, char)> {
    let shown = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let own = (0..=255u8).filter(shown).map(|byte| (byte, char::from(byte)));
    let others = (0..=255u8).filter(|byte| !shown(byte));
    own.chain(others.zip('\u{100}'..)).collect()
}
