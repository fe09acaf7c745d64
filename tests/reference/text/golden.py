"""Writes what the text side is compared with, by open_clip, transformers and PyTorch.

    python golden.py bpe_simple_vocab_16e6.txt.gz tests/golden/text

tokens.json has texts and their token ids by open_clip's tokenizer over OpenAI's vocabulary; "differs" marks those for which
tipcam gives others on purpose, and says why. encoder.onnx is a small CLIP text transformer of transformers with weights
from one seed, and its projection; embeddings.safetensors has what PyTorch gives for the token ids in it. clip_float16.onnx is
the same as optimum exports it, in float16: with a mask, an open length and two outputs. siglip.onnx is a small SigLIP text
transformer, which looks at all tokens and takes the last one's; siglip.safetensors has its embeddings with and without a mask.
"""
import json
import sys
from pathlib import Path

import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, SiglipTextConfig, SiglipTextModel

TEXTS = [
    "", " ", "a", "a photo of a cat.", "A Photo Of A CAT", "itap of a golden_retriever.", "hello, world!",
    "  white \t space\n and\u00a0more  ", "it's we're I've I'm you'll he'd don't o'clock 'S 'T", "x''s",
    "2026 is 1,234.5 or \u0663 or \u00bd or \u2167", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m stra\u00dfe \u0130stanbul",
    "\u0391\u03a3 \u03a3\u0391\u03a3 \u03c3\u03c2", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u65e5\u672c\u8a9e\u306e\u6587", "\ud55c\uad6d\uc5b4",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0645\u0631\u062d\u0628\u0627", "\U0001f600", "a \U0001f468\u200d\U0001f469\u200d\U0001f467 family \u2764\ufe0f!!", "\U0001d5ba math",
    "cats &amp; dogs", "cats &amp;amp; dogs", "&lt;b&gt;bold&lt;/b&gt;", "&#233;t&#xe9; &quot;q&quot; &#39;s", "AT&T &unknown; & so",
    "fish &copy; &hearts; &eacute;", "\u201ccurly\u201d it\u2019s", "<|startoftext|>a<|endoftext|>", "<|STARTOFTEXT|> b", "<| startoftext |>",
    "snake_case-and/slash\\back", "...!!!???", "$5 & 10%", "@user #tag http://a.b/c?d=e&f=g", "a.b.c", "__init__",
    "word" * 40, "a photo of " * 30, "supercalifragilisticexpialidocious " * 12, "\U0001f600" * 80, "1 " * 100, "!" * 200,
    "x " * 75, "x " * 74, "x " * 76,
    # in two parts, as macOS writes the names of folders
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m", "Vie\u0323\u0302t Nam", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\u304b\u3099", "e\u0301\u0327",
    "\ufb01sh \ufb02ower \ufb03 \ufb04 \ufb00 \ufb05 \ufb06", "\u0132ssel \u0133s \u0149 \u01c4 \u01c5 \u01c9 \u01f3 \u00e6 \u0153",
    "\uff23\uff21\uff34\u3000\uff12\uff10\uff12\uff16\uff01", "\uff76\uff9e\uff97\uff7d", "\uffe5100 \uffe0 \uffe9", "\u2460 \u33a1 \u00b2",
    "a\u0000b\u0007c\u001fd\u007fe", "\ufeffcat\u200bdog\u200d\u2060bird", "line\u2028next\u2029third\u0085four\rfive\fsix\vseven", "\u206acat\ufff9\ufffc",
    "\u001b[31mred\u001b[0m \u001b[1;32mcat", "it\u0092s \u0093so\u0094 \u0080", "caf&eacute na&iumlve", "&copy2026 &reg &frac12", "&notit; &amplt;",
    "&amp;amp;amp;amp;eacute;", "a < b &amp;amp;amp; c", "&nGg; &NotEqualTilde; &hellip;&ThickSpace;x", "&Sigma;&sigma;&thetasym;", "&Eacute;t&Eacute;",
    "&#128; &#x92; &#233 &#xe9", "&#0;a &#1;b &#11;c &#127;d", "&#xD800; &#1114112; &#99999999999;", "&# &#x &#; & &;", "&hearts &star; &check;",
    "\u2039x\u203a \u00abx\u00bb \u201ex\u201c \u201ax\u2018 \u2032 \u02bc", "\u1e9e\u00df \u0130\u0131 \u01f0 \u1fc3", "\ufe0f\u20e3 1\ufe0f\u20e3",
]
# ftfy's guesses, and open_clip's names of the special tokens
DIFFERENT = {
    "caf\u00c3\u00a9 \u00e2\u20ac\u0153so\u00e2\u20ac\ufffd": "decoded wrongly",
    "l\u00e2\u20ac\u2122\u00c3\u00a9t\u00c3\u00a9": "decoded wrongly",
    "CAF&EACUTE; &NTILDE;": "an entity in capitals",
    "<start_of_text> a <end_of_text>": "a special token's name",
}
LENGTH = 77
SIGLIP_LENGTH = 64


def tokens(vocabulary, folder):
    tokenizer = SimpleTokenizer(vocabulary, context_length=LENGTH)
    golden = [{"text": text, "ids": tokenizer([text])[0].tolist()} for text in (*TEXTS, *DIFFERENT)]
    for entry in golden:
        if entry["text"] in DIFFERENT:
            entry["differs"] = DIFFERENT[entry["text"]]
    for entry in golden:  # padding is said once
        while len(entry["ids"]) > 1 and entry["ids"][-1] == 0:
            entry["ids"].pop()
    lines = ",\n".join(json.dumps(entry) for entry in golden)
    (folder / "tokens.json").write_text(f"[\n{lines}\n]\n")


class Named(torch.nn.Module):
    """One or more results of a model by their names."""

    def __init__(self, model, *results):
        super().__init__()
        self.model, self.results = model, results

    def forward(self, input_ids, attention_mask=None):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return tuple(out[name] for name in self.results)


def seeded(model):
    """Weights larger than a model's own initial ones: a mistake shall show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.25 + (parameter.mean() > 0.5))
    return model.eval()


def export(module, inputs, path, results, length=None):
    """`length` names the axis of the tokens, where the file leaves it open."""
    axes = {name: {0: "batch"} | ({1: length} if length else {}) for name in inputs} | {name: {0: "batch"} for name in results}
    torch.onnx.export(module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=list(results),
                      dynamic_axes=axes, opset_version=17, dynamo=False)


def clip(folder):
    torch.manual_seed(11)
    config = CLIPTextConfig(vocab_size=600, hidden_size=16, intermediate_size=32, projection_dim=8, num_hidden_layers=2,
                            num_attention_heads=2, max_position_embeddings=LENGTH, bos_token_id=598, eos_token_id=599,
                            pad_token_id=0, attn_implementation="eager")
    model = seeded(CLIPTextModelWithProjection(config))
    ids = torch.zeros(6, LENGTH, dtype=torch.int64)
    for row, length in enumerate((0, 1, 3, 9, 40, LENGTH - 2)):
        ids[row, 0] = 598
        ids[row, 1:length + 1] = torch.randint(1, 598, (length,))
        ids[row, length + 1] = 599
    one = Named(model, "text_embeds")
    with torch.no_grad():
        (embeddings,) = one(ids)
    export(one, {"input_ids": ids[:2]}, folder / "encoder.onnx", ["text_embeds"])
    save_file({"ids": ids.to(torch.int32), "embeddings": embeddings}, folder / "embeddings.safetensors")

    results, path = ["last_hidden_state", "text_embeds"], folder / "clip_float16.onnx"
    inputs = {"input_ids": ids[:2], "attention_mask": torch.ones_like(ids[:2])}
    export(Named(model, *results), inputs, path, results, "sequence")
    onnx.save(convert_float_to_float16(onnx.load(path)), path)


def siglip(folder):
    torch.manual_seed(12)
    config = SiglipTextConfig(vocab_size=160, hidden_size=16, intermediate_size=32, projection_size=8, num_hidden_layers=2,
                              num_attention_heads=2, max_position_embeddings=SIGLIP_LENGTH, attn_implementation="eager")
    model = seeded(SiglipTextModel(config))
    ids, seen = torch.ones(4, SIGLIP_LENGTH, dtype=torch.int64), torch.zeros(4, SIGLIP_LENGTH, dtype=torch.int64)
    for row, length in enumerate((1, 5, 20, SIGLIP_LENGTH - 1)):
        ids[row, :length] = torch.randint(2, 160, (length,))
        seen[row, :length + 1] = 1
    results = ["last_hidden_state", "pooler_output"]
    module = Named(model, *results)
    with torch.no_grad():
        embeddings, masked = module(ids)[1], module(ids, seen)[1]
    export(module, {"input_ids": ids[:2], "attention_mask": seen[:2]}, folder / "siglip.onnx", results, "sequence")
    save_file({"ids": ids.to(torch.int32), "seen": seen.to(torch.int32), "embeddings": embeddings, "masked": masked},
              folder / "siglip.safetensors")


folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
tokens(sys.argv[1], folder)
clip(folder)
siglip(folder)
