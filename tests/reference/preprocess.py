"""What PIL makes of odd pictures: writes tests/golden/preprocess/* and the two
tests/golden/preprocess_*.safetensors that tests/preprocess.rs compares with.

    python tests/reference/preprocess.py [--photographs DIR]

The pictures are made from models/demo. DIR (default ../shared/data/images) holds photographs that
are not part of this repository; of those only hashes and a few pixels are stored.
"""

import argparse
import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps, features
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
SIZE = 224
MEAN = (127, 127, 127)
# Every 97th pixel of a case, every 997th of a photograph: both without common factor with 224.
CASE_STEP, PHOTOGRAPH_STEP = 97, 997


def fit_shortest(image):
    """torchvision: Resize(SIZE, BICUBIC, antialias=True) and CenterCrop(SIZE) on a PIL image."""
    w, h = image.size
    size = (SIZE, SIZE * h // w) if w <= h else (SIZE * w // h, SIZE)
    image = image.resize(size, Image.BICUBIC)
    left, top = (int(round((side - SIZE) / 2.0)) for side in size)
    return image.crop((left, top, left + SIZE, top + SIZE))


MODES = {
    "fit-shortest": fit_shortest,
    "fit-longest": lambda image: ImageOps.pad(image, (SIZE, SIZE), Image.BICUBIC, MEAN),
    "squash": lambda image: image.resize((SIZE, SIZE), Image.BICUBIC),
}


def load(file):
    return ImageOps.exif_transpose(Image.open(file)).convert("RGB")


def reference(file, mode, step):
    pixels = np.asarray(MODES[mode](load(file)))
    assert pixels.shape == (SIZE, SIZE, 3)
    return hashlib.sha256(pixels.tobytes()).hexdigest(), pixels.reshape(-1, 3)[::step].copy()


def photograph(name, size=None):
    image = Image.open(ROOT / "models/demo" / f"{name}.jpg").convert("RGB")
    return image.resize(size, Image.LANCZOS) if size else image


def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpeg(image, **options):
    return saved(image, "JPEG", **{"quality": 85, **options})


def segments(data):
    """(marker, start, end) up to the first scan."""
    at = 2
    while True:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, at + 2 + length
        if marker == 0xDA:
            return
        at += 2 + length


def resampled(data, sampling):
    """The same blocks, said to be sampled otherwise (a garbled but valid picture)."""
    data = bytearray(data)
    for marker, start, _ in segments(data):
        if marker in (0xC0, 0xC2):
            data[start + 11] = sampling
    return bytes(data)


def without_tables(data):
    return bytes(data[:2]) + b"".join(
        data[start:end] if marker != 0xDA else data[start:]
        for marker, start, end in segments(data)
        if marker != 0xC4
    )


def adobe(data, transform):
    data = bytearray(data)
    for marker, start, _ in segments(data):
        if marker == 0xEE:
            data[start + 15] = transform
    return bytes(data)


def png16(samples):
    """A PNG of 16 bits, which PIL does not write. samples: [h,w,channels] uint16."""
    height, width, channels = samples.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def wide(image, channels):
    """16-bit samples whose low bytes count, too."""
    values = np.asarray(image).astype(np.uint16)[..., :channels]
    return values * 256 + (values * 7 + 200) % 256


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def cases():
    small = photograph("dalmatian_28", (96, 66))
    flower = photograph("sunflower_74", (90, 61))
    alpha = flower.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(flower.size))
    tiny = photograph("pizza_2", (52, 37))
    grey, cmyk, palette = small.convert("L"), small.convert("CMYK"), flower.quantize(32)
    block = photograph("butterfly_68", (64, 64))

    # Sizes.
    for w, h in [(223, 225), (225, 223), (224, 224), (500, 333), (333, 500), (240, 700), (640, 480)]:
        quality = 60 if w + h > 800 else 80
        yield f"size_{w}x{h}.jpg", jpeg(photograph("stop_sign_9", (w, h)), quality=quality)
    for w, h in [(1, 1), (1, 37), (37, 1), (2, 2), (3, 3), (3, 300), (300, 5), (16, 17), (17, 16)]:
        yield f"size_{w}x{h}.jpg", jpeg(photograph("rooster_3", (w, h)))
        yield f"size_{w}x{h}.png", saved(photograph("rooster_3", (w, h)), "PNG")

    # JPEG.
    for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
        yield f"jpeg_{name}.jpg", jpeg(small, subsampling=sampling)
        yield f"jpeg_{name}_progressive.jpg", jpeg(flower, subsampling=sampling, progressive=True)
    yield "jpeg_440.jpg", resampled(jpeg(block, subsampling=1), 0x12)
    yield "jpeg_411.jpg", resampled(jpeg(block, subsampling=2), 0x41)
    yield "jpeg_441.jpg", resampled(jpeg(block, subsampling=2), 0x14)
    yield "jpeg_quality_5.jpg", jpeg(photograph("elephant_43"), quality=5)
    yield "jpeg_quality_100.jpg", jpeg(tiny, quality=100)
    yield "jpeg_restarts.jpg", jpeg(small, restart_marker_blocks=3)
    yield "jpeg_restarts_progressive.jpg", jpeg(small, restart_marker_blocks=5, progressive=True)
    yield "jpeg_optimized.jpg", jpeg(small, optimize=True)
    yield "jpeg_without_tables.jpg", without_tables(jpeg(small))
    yield "jpeg_rgb.jpg", jpeg(small, keep_rgb=True)
    yield "jpeg_grey.jpg", jpeg(grey)
    yield "jpeg_grey_progressive.jpg", jpeg(grey, progressive=True)
    yield "jpeg_cmyk.jpg", jpeg(cmyk)
    yield "jpeg_cmyk_progressive.jpg", jpeg(cmyk, progressive=True)
    yield "jpeg_ycck.jpg", adobe(jpeg(cmyk), 2)

    # EXIF.
    for orientation in range(1, 9):
        yield f"exif_{orientation}.jpg", jpeg(tiny, exif=oriented(orientation))
    yield "exif_6.png", saved(tiny, "PNG", exif=oriented(6))
    yield "exif_8.tiff", saved(tiny, "TIFF", exif=oriented(8), compression="tiff_lzw")
    yield "exif_3.webp", saved(tiny, "WEBP", exif=oriented(3), lossless=True)

    # Other kinds of pixels.
    yield "png_rgb.png", saved(flower, "PNG")
    yield "png_alpha.png", saved(alpha, "PNG")
    yield "png_grey_alpha.png", saved(alpha.convert("LA"), "PNG")
    yield "png_palette.png", saved(palette, "PNG")
    yield "png_palette_4.png", saved(flower.quantize(7), "PNG", bits=4)
    yield "png_palette_transparent.png", saved(palette, "PNG", transparency=3)
    yield "png_bilevel.png", saved(grey.convert("1"), "PNG")
    yield "png_grey.png", saved(grey, "PNG")
    yield "png_16_grey.png", png16(np.asarray(tiny.convert("L")).astype(np.uint16)[..., None] * 2)
    yield "png_16_rgb.png", png16(wide(tiny, 3))
    yield "png_16_alpha.png", png16(wide(alpha.resize((40, 30)), 4))
    yield "png_16_grey_alpha.png", png16(wide(alpha.convert("LA").resize((40, 30)), 2))
    yield "gif.gif", saved(palette, "GIF")
    yield "gif_transparent.gif", saved(palette, "GIF", transparency=3)
    frames = [palette, tiny.resize(palette.size).quantize(32)]
    yield "gif_animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "webp.webp", saved(flower, "WEBP", quality=80)
    yield "webp_alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "webp_lossless.webp", saved(flower, "WEBP", lossless=True)
    yield "bmp.bmp", saved(tiny, "BMP")
    yield "bmp_palette.bmp", saved(tiny.quantize(16), "BMP")
    yield "bmp_bilevel.bmp", saved(grey.convert("1"), "BMP")
    yield "tiff_lzw.tiff", saved(tiny, "TIFF", compression="tiff_lzw")
    yield "tiff_deflate_alpha.tiff", saved(alpha, "TIFF", compression="tiff_adobe_deflate")
    yield "tiff_grey.tiff", saved(tiny.convert("L"), "TIFF")
    yield "tiff_cmyk.tiff", saved(tiny.convert("CMYK"), "TIFF", compression="tiff_lzw")
    wide_grey = Image.fromarray(np.asarray(tiny.convert("L")).astype(np.uint16) * 3)
    yield "tiff_16_grey.tiff", saved(wide_grey, "TIFF", compression="tiff_lzw")
    yield "pnm.ppm", saved(tiny, "PPM")
    yield "pnm_grey.pgm", saved(tiny.convert("L"), "PPM")
    yield "pnm_bilevel.pbm", saved(grey.convert("1"), "PPM")
    levels = np.asarray(tiny.convert("L").resize((20, 15))) * 100 // 255
    yield "pnm_100_levels.pgm", b"P5 20 15 100\n" + levels.astype(np.uint8).tobytes()
    samples = wide(tiny.resize((20, 15)), 3)
    yield "pnm_16.ppm", b"P6 20 15 65535\n" + samples.astype(">u2").tobytes()


def versions():
    return {
        "pillow": PIL.__version__,
        "libjpeg_turbo": str(features.version("libjpeg_turbo")),
        "webp": str(features.version("webp")),
        "numpy": np.__version__,
    }


def write(name, tensors, entries, step):
    metadata = {"versions": json.dumps(versions()), "size": str(SIZE), "step": str(step)}
    metadata["entries"] = json.dumps(entries, sort_keys=True)
    save_file(tensors, ROOT / "tests/golden" / name, metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, default=ROOT / "../shared/data/images")
    arguments = parser.parse_args()

    folder = ROOT / "tests/golden/preprocess"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    tensors, entries = {}, {}
    for name, data in cases():
        (folder / name).write_bytes(data)
        shape_matters = name.startswith("size_") or name == "exif_6.png"
        for mode in MODES if shape_matters else ["fit-shortest"]:
            key = f"{mode}/{name}"
            digest, tensors[key] = reference(io.BytesIO(data), mode, CASE_STEP)
            entries[key] = {"output": digest, "input": hashlib.sha256(data).hexdigest()}
    write("preprocess_cases.safetensors", tensors, entries, CASE_STEP)

    photographs = arguments.photographs
    if not photographs.is_dir():
        print(f"left out: the photographs (no {photographs})")
        return
    split = json.loads((photographs / "../clip-vitb32/caltech101_files.json").read_text())
    paths = [f"caltech101/{path}" for path in split["test"][::12]]
    paths += sorted(f"trashnet/{p.parent.name}/{p.name}" for p in photographs.glob("trashnet/*/*.jpg"))[::25]
    tensors, entries = {}, {}
    for path in paths:
        data = (photographs / path).read_bytes()
        digest, tensors[path] = reference(io.BytesIO(data), "fit-shortest", PHOTOGRAPH_STEP)
        entries[path] = {"output": digest, "input": hashlib.sha256(data).hexdigest()}
    write("preprocess_photographs.safetensors", tensors, entries, PHOTOGRAPH_STEP)


if __name__ == "__main__":
    main()
