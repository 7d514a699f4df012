"""Small images for the model cases: a smooth pattern plus noise, from integers alone."""

import numpy as np
from PIL import Image

import random_weights

# name: (width, height); odd sizes and ratios on purpose
IMAGES = {
    "pond.png": (56, 40),
    "fence.png": (121, 33),
    "tower.png": (45, 101),
    "stone.png": (51, 71),
    "ridge.png": (130, 80),
}
# name: (width, height, how far each frame has moved)
VIDEOS = {"walk": (100, 40, (0, 1, 2, 3, 4)), "turn": (70, 40, (3, 7, 8))}


def _wave(values, period):
    """A triangle wave in [0, 255]."""
    phase = values % (2 * period)
    return np.minimum(phase, 2 * period - phase) * 255 // period


def draw(name, width, height, shift=0):
    hashed = random_weights.fnv1a64(name)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(3):
        period_x, period_y = 11 + (hashed >> (8 * channel)) % 37, 9 + (hashed >> (8 * channel + 4)) % 41
        smooth = (_wave(x + 5 * shift, period_x) + _wave(y + x // 3, period_y)) // 2
        noise = np.floor(random_weights.uniform(f"{name}.{channel}", width * height, shift) * 24).astype(np.int64)
        planes.append(np.clip(smooth + noise.reshape(height, width), 0, 255))
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "RGB")


def write(folder):
    folder.mkdir(parents=True)
    for name, (width, height) in IMAGES.items():
        draw(name, width, height).save(folder / name, optimize=True)
    for video, (width, height, indices) in VIDEOS.items():
        for index in indices:
            draw(video, width, height, index).save(folder / f"{video}-{index}.png", optimize=True)
