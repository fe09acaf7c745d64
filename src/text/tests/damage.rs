//! A tokenizer's file with any one value exchanged: refused or used, and no panic.

use serde_json::{Value, json};

use super::*;

/// Places in objects and lists that are tried.
const WIDTH: usize = 6;

fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().take(WIDTH) {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{at}/{key}"), out);
            }
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate().take(WIDTH) {
                places(value, &format!("{at}/{i}"), out);
            }
        }
        _ => {}
    }
}

/// Parsed and put to use, if it can be.
fn used(file: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::parse(file, None) else { return false };
    for text in ["a photo of a cat.", "", "éあ \u{1f600} ab", "\u{301}x</s>"] {
        _ = tokenizer.encode(text);
    }
    if let Ok(short) = tokenizer.with_context(5) {
        _ = short.encode("a photo of many large cats and dogs");
    }
    true
}

#[test]
fn no_value_of_a_tokenizer_file_makes_it_panic() {
    let mut values: Vec<Value> =
        ["", "x", "é", "(", "a*(?=b)", "\\", "Contiguous", "Isolated", "B"]
            .map(Value::from)
            .to_vec();
    values.extend([0.into(), (-1).into(), 3.into(), 4_294_967_295u32.into(), u64::MAX.into()]);
    values.extend([1e30.into(), true.into(), Value::Null]);
    values.extend([json!([]), json!({}), json!([["", " "]]), json!([["a", 0.0]])]);
    let files = [
        serde_json::from_slice(&golden("siglip_tokenizer.json")).unwrap(),
        serde_json::from_slice(&golden("siglip2_tokenizer.json")).unwrap(),
        tokens::as_json(&small_vocabulary()),
    ];
    for file in &files {
        assert!(used(file.to_string().as_bytes()));
        let mut all = Vec::new();
        places(file, "", &mut all);
        let (mut refused, mut panics) = (0, Vec::new());
        for place in &all {
            for value in &values {
                let mut other = file.clone();
                *other.pointer_mut(place).unwrap() = value.clone();
                let text = other.to_string();
                match std::panic::catch_unwind(|| used(text.as_bytes())) {
                    Ok(used) => refused += usize::from(!used),
                    Err(_) => panics.push(format!("{place} = {value}")),
                }
            }
        }
        let tried = all.len() * values.len();
        println!("{refused} of {tried} refused");
        assert!(panics.is_empty(), "{panics:#?}");
        assert!(refused > tried / 10 && refused < tried);
    }
}

#[test]
fn parts_without_a_type_are_looked_at_too() {
    let file: Value = serde_json::from_slice(&golden("siglip_tokenizer.json")).unwrap();
    for normalizer in [
        json!({"precompiled_charsmap": "AAAAAA=="}),
        json!({"pattern": {"Regex": ""}, "content": "x"}),
    ] {
        let mut other = file.clone();
        other["normalizer"] = normalizer;
        assert!(!used(other.to_string().as_bytes()), "{}", other["normalizer"]);
    }
}
