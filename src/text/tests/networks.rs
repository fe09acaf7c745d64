use safetensors::SafeTensors;

use super::*;
use crate::text::tokenizer::Tokens;

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<[u8; 4]> {
    file.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec()
}

fn whole(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    tensor(file, name).into_iter().map(u32::from_le_bytes).collect()
}

/// The greatest difference to the embeddings of `name`, of 8 or so values each.
fn greatest(encoder: &TextEncoder, texts: &[Tokens], file: &SafeTensors<'_>, name: &str) -> f32 {
    let wanted = tensor(file, name).into_iter().map(f32::from_le_bytes).collect::<Vec<f32>>();
    assert_eq!(wanted.len(), texts.len() * encoder.dim());
    let mut greatest = 0.0f32;
    for (text, wanted) in texts.iter().zip(wanted.chunks_exact(encoder.dim())) {
        let found = encoder.encode(text).unwrap();
        let off = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
        greatest = off.fold(greatest, f32::max);
    }
    println!("{name}: greatest difference {greatest:e}");
    greatest
}

fn all_seen(ids: &[u32], context: usize) -> Vec<Tokens> {
    let texts = ids.chunks_exact(context);
    texts.map(|ids| Tokens { ids: ids.to_vec(), seen: vec![true; context] }).collect()
}

#[test]
fn embeddings_are_those_of_pytorch() {
    let bytes = golden("embeddings.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let texts = all_seen(&whole(&file, "ids"), 77);
    let encoder = small_encoder();
    assert_eq!((encoder.dim(), encoder.context()), (8, 77));
    assert!(greatest(&encoder, &texts, &file, "embeddings") < 1e-4);
    // several outputs, a mask and an open length in float16
    let half = TextEncoder::parse(&golden("clip_float16.onnx"), &small(), None, None).unwrap();
    assert_eq!((half.dim(), half.context()), (8, 77));
    assert!(greatest(&half, &texts, &file, "embeddings") < 0.02);
    // OpenAI's CLIP never looks ahead: a shorter context gives the same, as does a mask or other padding
    let short: Vec<Tokens> = texts[..4]
        .iter()
        .map(|text| {
            let ids: Vec<u32> = text.ids[..20].iter().map(|&id| id.max(1)).collect();
            let end = ids.iter().position(|&id| id == 599).unwrap();
            let ids = ids.iter().enumerate().map(|(at, &id)| if at > end { 599 } else { id });
            Tokens { ids: ids.collect(), seen: (0..20).map(|at| at <= end).collect() }
        })
        .collect();
    let encoder =
        TextEncoder::parse(&golden("clip_float16.onnx"), &small(), Some(20), None).unwrap();
    for (short, text) in short.iter().zip(&texts) {
        let (short, long) = (encoder.encode(short).unwrap(), half.encode(text).unwrap());
        assert!(short.iter().zip(&long).all(|(a, b)| (a - b).abs() < 1e-4), "{short:?} {long:?}");
    }
}

#[test]
fn siglip_looks_at_all_tokens_but_those_that_a_mask_hides() {
    let bytes = golden("siglip.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tokenizer = Tokenizer::parse(&golden("siglip_tokenizer.json"), None).unwrap();
    let encoder = TextEncoder::parse(&golden("siglip.onnx"), &tokenizer, None, None).unwrap();
    assert_eq!((encoder.dim(), encoder.context()), (8, 64));
    let mut texts = all_seen(&whole(&file, "ids"), 64);
    assert!(greatest(&encoder, &texts, &file, "embeddings") < 1e-4);
    for (text, seen) in texts.iter_mut().zip(whole(&file, "seen").chunks_exact(64)) {
        text.seen = seen.iter().map(|&seen| seen == 1).collect();
    }
    assert!(greatest(&encoder, &texts, &file, "masked") < 1e-4);
}

#[test]
fn a_context_that_the_network_does_not_read_is_an_error() {
    let error = |network: &str, context, wanted: &[&str]| {
        let read = TextEncoder::parse(&golden(network), &small(), Some(context), None);
        let error = read.unwrap_err().to_string();
        assert!(wanted.iter().all(|wanted| error.contains(wanted)), "{error}");
    };
    error("encoder.onnx", 64, &["input_ids", "77", "[batch, 64]"]);
    // an open length, but a position for 77 tokens
    error("clip_float16.onnx", 78, &["77", "78"]);
    error("siglip.onnx", 200, &["64", "200"]);
}

#[test]
fn a_token_that_the_network_does_not_have_is_an_error() {
    let mut tokens = Tokens { ids: vec![0; 77], seen: vec![true; 77] };
    tokens.ids[3] = 600;
    let error = small_encoder().encode(&tokens).unwrap_err().to_string();
    assert!(error.contains("600 tokens") && error.contains("token 600"), "{error}");
}

#[test]
fn a_network_of_another_kind_is_refused() {
    let read = |bytes: &[u8], output| TextEncoder::parse(bytes, &small(), Some(64), output);
    let error = |bytes: &[u8], output| read(bytes, output).unwrap_err().to_string();
    let picture = fs::read(root().join("tests/golden/tiny_encoder.onnx")).unwrap();
    assert!(error(&picture, None).contains("token ids"), "{}", error(&picture, None));
    assert!(error(b"nothing", None).contains("text encoder"), "{}", error(b"nothing", None));
    let siglip = golden("siglip.onnx");
    let hidden = error(&siglip, Some("last_hidden_state"));
    assert!(hidden.contains("one vector a text"), "{hidden}");
    let missing = error(&siglip, Some("text"));
    assert!(missing.contains("last_hidden_state, pooler_output"), "{missing}");
}
