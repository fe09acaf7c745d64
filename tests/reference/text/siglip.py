"""Writes small tokenizers of SigLIP's two kinds, and what transformers makes of texts with them.

    python siglip.py tests/golden/text

The published vocabularies have 32,000 and 256,000 tokens; these are trained on the sentences below.
siglip_tokenizer.json is a Unigram model trained by sentencepiece, with a table of letters to replace, in the form in which
SigLIP's is published for transformers.js; siglip_tokens.json has the ids of transformers' SiglipTokenizer, which runs
sentencepiece's own code. siglip2_tokenizer.json are byte pairs that fall back to bytes, as Gemma's; siglip2_tokens.json has
the ids of transformers' Siglip2Tokenizer. Ids are 64 a text; the padding at the end is left out.
"""
import json
import re
import string
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import Siglip2Tokenizer, SiglipTokenizer
from transformers.convert_slow_tokenizer import SpmConverter

NOUNS = """cat dog horse tree house cup mug bottle pizza butterfly dragonfly aeroplane bicycle bus car chair table sofa plant
sheep cow bird boat train person retriever dalmatian sunflower rose tulip bridge tower church river mountain beach forest
kitchen street market camera keyboard screen lamp clock book shoe shirt umbrella bag apple orange banana bread soup""".split()
TEMPLATES = ["a photo of a {}", "a bad photo of the {}", "this is a photo of {}", "a small {} on the table", "the large {}s",
             "art of the {}", "a {} in a video game", "two {}s and one cat", "caf\u00e9 with a {}", "\u00fcber {} na\u00efve"]
CORPUS = [template.format(noun) for noun in NOUNS for template in TEMPLATES]
TEXTS = [
    "a", "a photo of a cat.", "A Photo Of A CAT", "This is a photo of 2 dogs, a mug & one table!", "hello, world",
    "  white \t space\n and\u00a0more  ", "it's (the) golden_retriever's", "caf\u00e9 \u00dcBER na\u00efve", "cafe\u0301 u\u0308ber",
    "\uff23\uff21\uff34 \uff21\u3000\uff22", "\ufb01sh", "\u65e5\u672c\u8a9e cat", "\U0001f600 cat", "x" * 5, "photo " * 100, "\u2581cat", "...",
    "cat\u2014dog \u201cquoted\u201d", "1,234.5", "straightforwardness", "AT&T", "a  b", "Stra\u00dfe \u0130stanbul",
]
LENGTH = 64


def golden(tokenizer, path, **more):
    entries = []
    for text in TEXTS:
        ids = tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True, **more)["input_ids"]
        while len(ids) > 1 and ids[-1] == ids[-2] == tokenizer.pad_token_id or ids[-1] == tokenizer.pad_token_id != tokenizer.eos_token_id:
            ids.pop()
        entries.append({"text": text, "ids": ids})
    path.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


def rules(path):
    """Letters of full width, a ligature, spaces, and letters that come in two parts."""
    lines = [f"{0xff01 + i:x}\t{0x21 + i:x}" for i in range(94)]
    lines += ["3000\t20", "a0\t20", "9\t20", "a\t20", "fb01\t66 69", "65 301\te9", "75 308\tfc"]
    path.write_text("\n".join(lines) + "\n")


class Converter(SpmConverter):
    def normalizer(self, proto):
        return normalizers.Sequence([
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[" + re.escape(string.punctuation) + "]"), ""),
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ])

    def post_processor(self):
        return processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", 1)])


def siglip(folder):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        rules(scratch / "rules.tsv")
        (scratch / "corpus.txt").write_text("\n".join(CORPUS) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            input=str(scratch / "corpus.txt"), model_prefix=str(scratch / "spiece"), model_type="unigram", vocab_size=160,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, normalization_rule_tsv=str(scratch / "rules.tsv"),
            num_threads=1, minloglevel=2,
        )
        tokenizer = SiglipTokenizer(str(scratch / "spiece.model"))
        golden(tokenizer, folder / "siglip_tokens.json")
        Converter(tokenizer).converted().save(str(folder / "siglip_tokenizer.json"), pretty=False)


def siglip2(folder):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trained = Tokenizer(BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece not in special]
    names = special + [f"<0x{byte:02X}>" for byte in range(256)] + pieces
    tokenizer = Tokenizer(BPE(vocab={name: i for i, name in enumerate(names)}, merges=[tuple(m) for m in model["merges"]],
                              unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(single=["$A", "<eos>"], special_tokens=[("<eos>", 1)])
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "siglip2_tokenizer.json"), pretty=False)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save(scratch + "/tokenizer.json")
        config = {"tokenizer_class": "Siglip2Tokenizer", "pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>",
                  "bos_token": "<bos>", "mask_token": "<mask>", "padding_side": "right", "add_bos_token": False, "add_eos_token": True}
        (Path(scratch) / "tokenizer_config.json").write_text(json.dumps(config))
        golden(Siglip2Tokenizer.from_pretrained(scratch), folder / "siglip2_tokens.json")


folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
siglip(folder)
siglip2(folder)
