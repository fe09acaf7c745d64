"""What BatchNorm learns from and tests look at."""

from pathlib import Path

import numpy as np

DEMO = Path(__file__).resolve().parents[3] / "models/demo"


def photographs(side):
    """u8 [n,side,side,3]: the photographs of `tipcam watch demo`, squashed."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(f).convert("RGB").resize((side, side))) for f in sorted(DEMO.glob("*.jpg"))])


def pictures(count, side, seed=7):
    """u8 [count,side,side,3]. Amplitudes fall with 1/frequency and the colours of a pixel are alike, as in photographs."""
    random = np.random.default_rng([seed, side])
    spectrum = np.fft.rfft2(random.normal(0, 1, (count, 4, side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    planes = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / side), (side, side))
    planes /= planes.std(axis=(2, 3), keepdims=True)
    rgb = 0.9 * planes[:, :1] + 0.4 * planes[:, 1:]
    rgb = rgb * random.uniform(30, 70, (count, 1, 1, 1)) + random.uniform(70, 180, (count, 3, 1, 1))
    return np.ascontiguousarray(rgb.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def planes(pixels, mean, std):
    """f32 [n,3,h,w], normalised: what the network reads. mean and std are in units of a pixel's value, 0 to 255."""
    mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    return np.ascontiguousarray(((pixels.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))
