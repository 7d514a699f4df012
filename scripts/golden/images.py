"""Makes image goldens: file bytes, and the result of transformers' Qwen2VLImageProcessorFast for them.

tests/golden/images/files/*      the inputs, made by image_files.py
tests/golden/images/manifest.json
  cases         per file: the outcome. sha256 of the decoded RGB (upright), of the same on white where there is
                transparency, of the resized RGB, of pixel_values; sizes and grid. Or the exception.
  truncations   per file: lengths at which the reference still reads the truncated file, and sha256 of the result
  resizes       seed, sizes and sha256 of torchvision's resize of random bytes
"""

import io
import re
import warnings
import zlib

import numpy as np
import torch
from PIL import Image, features
from torchvision.transforms.v2 import functional as F
from transformers import Qwen2VLImageProcessorFast
from transformers.image_utils import load_image

import image_files
from common import fresh_folder, set_up_torch, sha256, write_manifest

SHIPPED = {"shortest_edge": 65536, "longest_edge": 16777216}
SMALL = {"shortest_edge": 65536, "longest_edge": 1048576}
# Where Retinue does not follow the reference on purpose.
REFUSED = {"png_palette_missing.png": "not a PNG by its specification; Pillow shows a black picture"}
PIXELS_OF_16_BIT_GRAY = "high byte of each sample; Pillow saturates at 255"


def processor(budget):
    return Qwen2VLImageProcessorFast(size=dict(budget), patch_size=16, temporal_patch_size=2, merge_size=2,
                                     image_mean=[0.5] * 3, image_std=[0.5] * 3)


def resized_rgb(pixel_values, grid):
    """[height, width, 3] u8 from the normalised patches: the inverse of the reference's permutation, first temporal slot."""
    t, h, w = grid
    view = pixel_values.reshape(t, h // 2, w // 2, 2, 2, 3, 2, 16, 16)
    rgb = view[0, :, :, :, :, :, 0].permute(0, 2, 5, 1, 3, 6, 4).reshape(h * 16, w * 16, 3)
    return (rgb * 127.5 + 127.5).round().to(torch.uint8)


def outcome(image, budget):
    out = processor(budget)(images=[image], return_tensors="pt")
    values, grid = out["pixel_values"], out["image_grid_thw"][0].tolist()
    return {"grid_thw": grid, "resized_sha256": sha256(resized_rgb(values, grid).numpy().tobytes()),
            "pixel_values_sha256": sha256(values.numpy().tobytes())}


def on_white(image, depth):
    """Alpha over white with integer rounding, or None where the file has no transparency."""
    if image.mode == "L" and depth < 8 and "transparency" in image.info:
        image.info["transparency"] *= 255 // (2 ** depth - 1)  # Pillow scales the samples but not the transparent value
    if not (image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info) or image.mode.startswith("I"):
        return None
    data = np.asarray(image.convert("RGBA")).astype(np.int64)
    total = data[..., :3] * data[..., 3:] + 255 * (255 - data[..., 3:]) + 128
    return ((total + (total >> 8)) >> 8).astype(np.uint8)


def describe(name, data, path):
    budget = SMALL if len(data) > 20000 or "4000" in name else SHIPPED
    case = {"file": name, "min_pixels": budget["shortest_edge"], "max_pixels": budget["longest_edge"]}
    try:
        stored = Image.open(io.BytesIO(data))
        mode, form = stored.mode, stored.format
        image = load_image(str(path))
    except Exception as error:  # the reference's exception is the outcome
        text = re.sub(r"<_io.BytesIO object at \w+>", name, str(error))
        return {**case, "error": f"{type(error).__name__}: {text}"}
    case |= {"format": form, "mode": mode}
    if form not in ("JPEG", "PNG", "WEBP"):
        return {**case, "refused": "the engine reads JPEG, PNG and WebP"}
    if name in REFUSED:
        return {**case, "refused": REFUSED[name]}
    if mode == "I;16":
        case["own_choice"] = PIXELS_OF_16_BIT_GRAY
        high = (np.asarray(Image.open(path)).astype(np.uint16) >> 8).astype(np.uint8)
        image = Image.fromarray(high).convert("RGB")
    case |= {"height": image.height, "width": image.width, "rgb_sha256": sha256(image.tobytes())}
    white = on_white(stored, data[24])
    if white is not None:
        case["white_sha256"] = sha256(white.tobytes())
    try:
        return case | outcome(image, budget)
    except ValueError as error:
        return case | {"error": f"ValueError: {error}"}


def truncations(name, data):
    """Lengths at which the truncated file is still read, as [length, sha256 of the pixels]."""
    readable = []
    for length in range(len(data)):
        try:
            readable.append([length, sha256(load_image(Image.open(io.BytesIO(data[:length]))).tobytes())[:16]])
        except Exception:
            pass
    return {"file": name, "readable": readable}


def random_bytes(seed, size):
    """splitmix64 as parallel/base/rng.h counts it, little-endian."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange((size + 7) // 8, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return z.astype("<u8").view(np.uint8)[:size]


def resizes():
    choice = np.random.default_rng(2025)
    sizes = [(1, 1, 256, 256), (1, 1, 1, 1), (2, 2, 32, 32), (5, 7, 5, 32), (5, 7, 32, 7), (64, 64, 32, 32), (63, 65, 32, 32), (3, 400, 32, 96),
             (400, 3, 96, 32), (1, 200, 32, 3648), (1000, 700, 416, 288), (300, 1201, 320, 1216), (1999, 40, 1984, 32), (33, 33, 1, 2),
             (720, 1280, 704, 1280), (1024, 1024, 1344, 1344), (10, 1000, 32, 2560), (31, 10, 11, 1)]
    for _ in range(46):
        h, w, height, width = (int(2 ** choice.uniform(0, 8.5)) for _ in range(4))
        sizes.append((h, w, height, width + (height == width == 1)))  # torch 2.8 asserts when an image becomes one pixel
    rows = []
    for seed, (h, w, height, width) in enumerate(sizes):
        noise = random_bytes(seed, h * w * 3).reshape(h, w, 3)
        if seed % 3 == 0:  # black and white: the overshoot is clamped
            noise = np.where(noise >= 128, 255, 0).astype(np.uint8)
        source = torch.from_numpy(np.ascontiguousarray(noise.transpose(2, 0, 1)))
        out = F.resize(source, [height, width], interpolation=F.InterpolationMode.BICUBIC, antialias=True)
        rows.append([seed, h, w, height, width, sha256(out.permute(1, 2, 0).contiguous().numpy().tobytes())])
    return {"columns": ["seed", "height", "width", "to height", "to width", "sha256"],
            "source": "splitmix64 bytes; every third seed: 255 where >= 128, else 0", "rows": rows}


def main():
    set_up_torch()
    warnings.simplefilter("ignore")
    folder = fresh_folder("images")
    (folder / "files").mkdir()
    cases = []
    files = image_files.everything()
    for name, data in sorted(files.items()):
        path = folder / "files" / name
        path.write_bytes(data)
        cases.append(describe(name, data, path))
    cut = [truncations(name, files[name]) for name in (
        "jpeg_444_baseline_75x53.jpg", "jpeg_420_progressive_75x53.jpg", "jpeg_restart.jpg", "png_exif_6.png", "png_1x200.png",
        "png_interlaced_palette2.png", "webp_lossy_53x37.webp", "webp_lossless_alpha.webp", "webp_exif_5.webp", "webp_animated_rgb.webp")]
    libraries = {name: features.version(name) for name in ("libjpeg_turbo", "webp", "zlib_ng")}
    write_manifest(folder, libraries=libraries | {"python_zlib": zlib.ZLIB_RUNTIME_VERSION}, cases=cases, truncations=cut, resizes=resizes())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"[golden] images: {len(files)} files, {size} bytes")


if __name__ == "__main__":
    main()
