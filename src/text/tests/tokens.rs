use serde_json::{Value, json};

use super::*;
use crate::text::tokenizer::Tokens;

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    /// Why ours are others.
    differs: Option<String>,
}

fn cases(name: &str) -> Vec<Golden> {
    serde_json::from_slice(&golden(name)).unwrap()
}

/// Compares the ids of every text, `pad` behind them; a text that `differs` names must differ.
fn compare(
    tokenizer: &Tokenizer,
    name: &str,
    pad: u32,
    differs: impl Fn(&Golden) -> bool,
) -> usize {
    let cases = cases(name);
    let wrong = |case: &&Golden| {
        let found = tokenizer.encode(&case.text).unwrap().ids;
        let (ids, padding) = found.split_at(case.ids.len());
        let same = ids == case.ids && padding.iter().all(|&id| id == pad);
        same == differs(case)
    };
    let wrong: Vec<String> = cases
        .iter()
        .filter(wrong)
        .map(|case| {
            let found = tokenizer.encode(&case.text).unwrap().ids;
            format!("{:?}: {:?} beside {:?}", case.text, &found[..case.ids.len()], case.ids)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cases.len()
}

/// OpenAI's vocabulary as transformers writes it, from a file as OpenAI wrote it.
pub(super) fn as_json(vocabulary: &str) -> Value {
    let letters: Vec<String> = {
        let shown = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let own = (0..=255u8).filter(shown).map(char::from);
        let others = (0..=255u8).filter(|byte| !shown(byte));
        own.chain(others.zip('\u{100}'..).map(|(_, letter)| letter)).map(String::from).collect()
    };
    let merges: Vec<&str> = vocabulary.lines().skip(1).take(49_152 - 256 - 2).collect();
    let whole = letters.iter().cloned();
    let ends = letters.iter().map(|letter| format!("{letter}</w>"));
    let made = merges.iter().map(|pair| pair.replace(' ', ""));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    let names: Vec<String> = whole.chain(ends).chain(made).chain(special).collect();
    let vocab: serde_json::Map<String, Value> =
        names.iter().zip(0u32..).map(|(name, id)| (name.clone(), id.into())).collect();
    let [start, end] = [names.len() - 2, names.len() - 1];
    let added = |id: usize| {
        json!({"id": id, "content": names[id], "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": true, "special": true})
    };
    let word = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(start), added(end)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": word}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [names[end], end],
                           "cls": [names[start], start], "trim_offsets": false,
                           "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": names[end],
                  "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                  "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    })
}

fn parse(file: &Value, config: Option<Value>) -> Result<Tokenizer, TextError> {
    let config = config.map(|config| config.to_string());
    Tokenizer::parse(file.to_string().as_bytes(), config.as_ref().map(String::as_bytes))
}

fn error(file: &[u8]) -> String {
    let error = Tokenizer::parse(file, None).unwrap_err().to_string();
    for kind in ["bpe_simple_vocab", "tokenizer.json", "CLIP", "SigLIP"] {
        assert!(error.contains(kind), "{error}");
    }
    error
}

#[test]
fn token_ids_of_openais_vocabulary_are_those_of_open_clip_in_either_form() {
    let path = root().join("../shared/data/tokenizer/bpe_simple_vocab_16e6.txt.gz");
    let Ok(file) = fs::read(path) else {
        println!("left out: token ids of OpenAI's vocabulary (no ../shared/data/tokenizer)");
        return;
    };
    let tokenizer = Tokenizer::parse(&file, None).unwrap();
    let count = compare(&tokenizer, "tokens.json", 0, |case| case.differs.is_some());
    assert!(count > 80, "{count}");

    let mut text = String::new();
    let mut plain = flate2::read::MultiGzDecoder::new(&file[..]);
    std::io::Read::read_to_string(&mut plain, &mut text).unwrap();
    let converted = parse(&as_json(&text), None).unwrap();
    compare(&converted, "tokens.json", 0, |case| case.differs.is_some());
}

#[test]
fn token_ids_of_siglip_are_those_of_transformers() {
    let file: Value = serde_json::from_slice(&golden("siglip_tokenizer.json")).unwrap();
    let tokenizer = parse(&file, None).unwrap();
    assert_eq!(tokenizer.context(), 64);
    // transformers puts a space more before a text that begins with one, sentencepiece does not
    let space = |case: &Golden| case.text.starts_with([' ', '\u{2581}']);
    assert!(compare(&tokenizer, "siglip_tokens.json", 1, space) > 20);
    // a file that leaves out what SiglipTokenizer does before sentencepiece
    let mut bare = file;
    let rules = bare["normalizer"]["normalizers"].as_array_mut().unwrap();
    rules.retain(|rule| rule["type"] == "Precompiled");
    assert_eq!(rules.len(), 1);
    compare(&parse(&bare, None).unwrap(), "siglip_tokens.json", 1, space);
    // the same model of something else has its case and its punctuation
    let other = parse(&bare, Some(json!({"tokenizer_class": "XLMRobertaTokenizer"}))).unwrap();
    assert_ne!(other.encode("A cat.").unwrap().ids, tokenizer.encode("A cat.").unwrap().ids);
}

#[test]
fn token_ids_of_siglip_2_are_those_of_transformers() {
    let tokenizer = Tokenizer::parse(&golden("siglip2_tokenizer.json"), None).unwrap();
    assert_eq!(tokenizer.context(), 64);
    // ours are of whole letters
    let parts = |case: &Golden| case.text.contains('\u{301}');
    assert!(compare(&tokenizer, "siglip2_tokens.json", 0, parts) > 20);
    let whole = tokenizer.encode("caf\u{e9} \u{fc}ber").unwrap();
    assert_eq!(tokenizer.encode("cafe\u{301} u\u{308}ber").unwrap(), whole);
}

#[test]
fn bytes_are_merged_in_the_order_of_the_vocabulary() {
    let vocabulary = small_vocabulary();
    for tokenizer in [small(), parse(&as_json(&vocabulary), None).unwrap()] {
        let ids = |text: &str| {
            let Tokens { ids, seen } = tokenizer.encode(text).unwrap();
            assert!(ids.len() == 77 && seen == [true; 77]);
            let len = ids.iter().position(|&id| id == 599).unwrap();
            assert_eq!(ids[0], 598);
            assert!(ids[len + 1..].iter().all(|&id| id == 0));
            ids[1..len].to_vec()
        };
        let byte = |byte: u8| u32::from(byte - b'!');
        assert!(ids("").is_empty());
        assert_eq!(ids("LOW  low"), [514, 514]);
        assert_eq!(ids("lower"), [513, 515], "a merge at the end of words is another one");
        let (c3, a9) = (94 + 0xc3 - 0xa1 - 1, 94 + 0xa9 - 0xa1);
        assert_eq!(ids("éa 1é"), [516, byte(b'a') + 256, byte(b'1') + 256, c3, a9 + 256]);
        let (quote, s) = (byte(b'\''), byte(b's') + 256);
        assert_eq!(ids("a's"), [byte(b'a') + 256, quote, s], "letters do not join a contraction");
    }
}

#[test]
fn a_long_text_keeps_its_end() {
    let vocabulary = small_vocabulary();
    for tokenizer in [small(), parse(&as_json(&vocabulary), None).unwrap()] {
        let ids =
            |tokenizer: &Tokenizer, words| tokenizer.encode(&"low ".repeat(words)).unwrap().ids;
        let long = ids(&tokenizer, 200);
        assert_eq!((long[0], long[1], long[75], long[76]), (598, 514, 514, 599));
        let short = ids(&tokenizer, 74);
        assert_eq!((short[74], short[75], short[76]), (514, 599, 0));
        let three = tokenizer.clone().with_context(3).unwrap();
        assert_eq!(ids(&three, 5), [598, 514, 599]);
        let error = tokenizer.with_context(2).unwrap_err().to_string();
        assert!(error.contains("--context 2") && error.contains("3 to 4096"), "{error}");
    }
}

#[test]
fn what_the_files_say_of_padding_counts() {
    let mut file: Value = serde_json::from_slice(&golden("siglip_tokenizer.json")).unwrap();
    let tokens = |file: &Value, config| parse(file, config).unwrap().encode("a").unwrap();
    assert_eq!(tokens(&file, None).ids[..3], [4, 1, 1]);
    assert!(tokens(&file, None).seen.iter().all(|&seen| seen), "SigLIP looks at its padding");
    let config = json!({"pad_token": {"content": "<pad>"}, "padding_side": "left",
                        "model_max_length": 5, "model_input_names": ["input_ids", "attention_mask"]});
    let Tokens { ids, seen } = tokens(&file, Some(config));
    assert_eq!((ids, seen), (vec![0, 0, 0, 4, 1], vec![false, false, false, true, true]));
    let endless = tokens(&file, Some(json!({"model_max_length": 1e30, "pad_token": null})));
    assert_eq!(endless.ids.len(), 64);
    file["padding"] = json!({"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": 16,
                             "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"});
    file["truncation"] = json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst",
                                "stride": 0});
    let ids = tokens(&file, None).ids;
    assert_eq!((ids.len(), ids[61], &ids[62..]), (64, 0, &[4, 1][..]));

    // a CLIP is padded with zeros whatever is beside it
    let clip = as_json(&small_vocabulary());
    assert_eq!(tokens(&clip, Some(json!({"pad_token": "<|endoftext|>"}))).ids[3..5], [0, 0]);

    let error = |config: &str| {
        let file = file.to_string();
        let parsed = Tokenizer::parse(file.as_bytes(), Some(config.as_bytes()));
        parsed.unwrap_err().to_string()
    };
    assert!(error("{").contains("tokenizer_config.json"));
    assert!(error(r#"{"pad_token": "[PAD]"}"#).contains("\"[PAD]\" is not in the tokenizer"));
}

#[test]
fn a_file_that_is_no_vocabulary_is_named() {
    assert!(error(b"").contains("no merges"));
    assert!(error(b"title\na b c\n").contains("line 2"));
    assert!(error(b"title\na b\nxy b\n").contains("line 3: \"xy\""));
    assert!(error(&[0x1f, 0x8b, 8, 0]).contains("bpe_simple_vocab"));
    assert!(error(&[0xff, 0xfe]).contains("UTF-8"));
    assert!(error(b"\n\x0e\n\x05<pad>\x15\x00\x00\x00\x80").contains("SentencePiece model"));
}

#[test]
fn a_json_file_of_another_kind_is_named() {
    let whole = golden("siglip_tokenizer.json");
    error(&whole[..whole.len() / 2]);
    assert!(error(br#"{"the": 1, "of": 2}"#).contains("without a `model`"));
    let mut file = as_json(&small_vocabulary());
    file["model"]["dropout"] = 0.5.into();
    assert!(error(file.to_string().as_bytes()).contains("at random"));
    file["model"]["dropout"] = Value::Null;
    file["model"]["end_of_word_suffix"] = Value::Null;
    assert!(error(file.to_string().as_bytes()).contains("neither CLIP's nor Gemma's"));
    let words = json!({"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0},
                       "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
    file["model"] = words;
    file["post_processor"] = Value::Null;
    file["added_tokens"] = json!([]);
    assert!(error(file.to_string().as_bytes()).contains("WordPiece"));
    let mut file: Value = serde_json::from_slice(&whole).unwrap();
    file["model"]["unk_id"] = 5000.into();
    error(file.to_string().as_bytes());
}

#[test]
fn a_damaged_table_of_letters_is_an_error() {
    use base64::Engine;
    let base64 = base64::prelude::BASE64_STANDARD;
    let mut file: Value = serde_json::from_slice(&golden("siglip_tokenizer.json")).unwrap();
    let place = "/normalizer/normalizers/2/precompiled_charsmap";
    let table = base64.decode(file.pointer(place).unwrap().as_str().unwrap()).unwrap();
    let mut damaged = 0;
    for at in (0..table.len()).step_by(11) {
        let mut table = table.clone();
        table[at] ^= 0x55;
        *file.pointer_mut(place).unwrap() = base64.encode(table).into();
        match parse(&file, None) {
            // every letter, so that the walk goes everywhere
            Ok(tokenizer) => ('\0'..='\u{ffff}').for_each(|letter| {
                let text = [letter, 'e', '\u{301}'].iter().collect::<String>();
                if letter as u32 % 17 == at as u32 % 17 {
                    tokenizer.encode(&text).unwrap();
                }
            }),
            Err(e) => {
                assert!(e.to_string().contains("damaged"), "{e}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 50, "{damaged}");
}
