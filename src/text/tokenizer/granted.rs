//! What the crate that runs a `tokenizer.json` takes for granted: without it the program would end.

use serde_json::Value;

use super::charsmap;

/// Looks at a normalizer or a post-processor and all that is inside of it. Kinds are known by what they have:
/// the crate takes those without a `type` too.
pub(super) fn check(part: &Value) -> Result<(), String> {
    match part {
        Value::Object(fields) => {
            if part["type"] == "Precompiled" || fields.contains_key("precompiled_charsmap") {
                precompiled(part)?;
            }
            replace(part)?;
            template(part)?;
            fields.values().try_for_each(check)
        }
        Value::Array(list) => list.iter().try_for_each(check),
        _ => Ok(()),
    }
}

fn precompiled(normalizer: &Value) -> Result<(), String> {
    match normalizer["precompiled_charsmap"].as_str() {
        Some(table) if charsmap::is_sound(table) => Ok(()),
        Some(_) => Err("its `precompiled_charsmap` is damaged".into()),
        None => Err("a normalizer of type Precompiled has no `precompiled_charsmap`".into()),
    }
}

/// What is replaced is never nothing.
fn replace(normalizer: &Value) -> Result<(), String> {
    let Some(pattern) = normalizer["pattern"]["Regex"].as_str() else { return Ok(()) };
    match regex_syntax::parse(pattern).map(|parsed| parsed.properties().minimum_len()) {
        Ok(Some(1..)) => Ok(()),
        Ok(_) => Err(format!("a normalizer replaces {pattern:?}, which an empty text matches")),
        Err(_) => {
            Err(format!("a normalizer replaces {pattern:?}, which cannot be understood here"))
        }
    }
}

/// Every special token that is put around a text is described.
fn template(processor: &Value) -> Result<(), String> {
    let pieces = ["single", "pair"].into_iter().filter_map(|name| processor[name].as_array());
    for piece in pieces.flatten() {
        if let Some(id) = piece["SpecialToken"]["id"].as_str()
            && processor["special_tokens"].get(id).is_none()
        {
            return Err(format!("its post-processor has no `special_tokens` entry for {id:?}"));
        }
    }
    let single = processor["single"].as_array().into_iter().flatten();
    match single.into_iter().all(|piece| piece["Sequence"]["id"] != "B") {
        true => Ok(()),
        false => Err("its post-processor wants a second text after a single one".into()),
    }
}

/// Of a model of byte pairs: parts of words are named alike at the beginning and within, and no merge
/// makes a longer one than there are.
pub(super) fn check_model(model: &Value) -> Result<(), String> {
    let Some(merges) = model["merges"].as_array() else { return Ok(()) };
    if let Some(prefix) = model["continuing_subword_prefix"].as_str().filter(|p| !p.is_empty()) {
        return Err(format!(
            "its byte pairs are neither CLIP's nor Gemma's (`continuing_subword_prefix` is {prefix:?})"
        ));
    }
    let words = model["vocab"].as_object().into_iter().flatten();
    let longest = words.map(|(word, _)| word.len()).max().unwrap_or(0);
    for merge in merges {
        let made = match merge {
            // two parts with a space between them
            Value::String(parts) => parts.len().saturating_sub(1),
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).map(str::len).sum(),
            _ => 0,
        };
        if made > longest {
            return Err(format!("its merge {merge} makes a word that is not in its `vocab`"));
        }
    }
    Ok(())
}
