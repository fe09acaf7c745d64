"""Writes what the text side is compared with, by open_clip, transformers and PyTorch.

    python golden.py bpe_simple_vocab_16e6.txt.gz tests/golden/text

tokens.json has texts and their token ids by open_clip's tokenizer over OpenAI's vocabulary. encoder.onnx is a small CLIP
text transformer of transformers with weights from one seed, and its projection; embeddings.safetensors has what PyTorch
gives for the token ids in it.
"""
import json
import sys
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

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
]
LENGTH = 77


def tokens(vocabulary, folder):
    tokenizer = SimpleTokenizer(vocabulary, context_length=LENGTH)
    golden = [{"text": text, "ids": tokenizer([text])[0].tolist()} for text in TEXTS]
    for entry in golden:  # padding is said once
        while len(entry["ids"]) > 1 and entry["ids"][-1] == 0:
            entry["ids"].pop()
    lines = ",\n".join(json.dumps(entry) for entry in golden)
    (folder / "tokens.json").write_text(f"[\n{lines}\n]\n")


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model(input_ids=input_ids).text_embeds


def encoder(folder):
    torch.manual_seed(11)
    config = CLIPTextConfig(vocab_size=600, hidden_size=16, intermediate_size=32, projection_dim=8, num_hidden_layers=2,
                            num_attention_heads=2, max_position_embeddings=LENGTH, bos_token_id=598, eos_token_id=599,
                            pad_token_id=0, attn_implementation="eager")
    model = CLIPTextModelWithProjection(config).eval()
    with torch.no_grad():  # larger than its own initial weights: a mistake shall show
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.25 + (parameter.mean() > 0.5))
    ids = torch.zeros(6, LENGTH, dtype=torch.int64)
    for row, length in enumerate((0, 1, 3, 9, 40, LENGTH - 2)):
        ids[row, 0] = 598
        ids[row, 1:length + 1] = torch.randint(1, 598, (length,))
        ids[row, length + 1] = 599
    wrapped = Encoder(model)
    with torch.no_grad():
        embeddings = wrapped(ids)
    torch.onnx.export(wrapped, (ids[:2],), str(folder / "encoder.onnx"), input_names=["input_ids"], output_names=["text_embeds"],
                      dynamic_axes={"input_ids": {0: "batch"}, "text_embeds": {0: "batch"}}, opset_version=17, dynamo=False)
    save_file({"ids": ids.to(torch.int32), "embeddings": embeddings}, folder / "embeddings.safetensors")


folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
tokens(sys.argv[1], folder)
encoder(folder)
