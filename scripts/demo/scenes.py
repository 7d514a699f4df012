"""A scene is a pure function of its seed: the places of its objects (the truth), and the image.

Lengths in a truth are pixels of the image. `held_out` splits all pairs of objects for good: a pair that it returns is
never drawn for training, and no other pair for tests.
"""

import functools
import hashlib
import io
import math
import random

from PIL import Image, ImageFilter

import glyphs
import grammar

CELL = 32  # pixels of the image under one visual token
MIN_PIXELS, MAX_PIXELS = 6144, 30000
# Rows and columns, in cells, that the resized image can have; the small ones cost least.
GRIDS = [(3, 3), (3, 4), (4, 3), (4, 4), (3, 5), (5, 3), (4, 5), (5, 4), (5, 5), (4, 6), (6, 4), (3, 6), (6, 3)]
GRID_WEIGHTS = [10, 10, 10, 12, 8, 8, 8, 8, 6, 6, 6, 4, 4]
TIMES_DISTANCE = 1.35  # how much the larger of dx, dy exceeds the smaller where a relation is stated


def candidate(first, second):
    """One pair of names in eight, by hash."""
    pair = "|".join(sorted((first, second)))
    return hashlib.sha256(pair.encode()).digest()[0] % 8 == 0


@functools.cache
def held_out_threes():
    """Disjoint groups of three objects in which each pair is a candidate, chosen in the order of the object set."""
    threes, free = [], list(glyphs.NAMES)
    for a in glyphs.NAMES:
        if a not in free:
            continue
        partners = [n for n in free if n != a and candidate(a, n)]
        found = next(((b, c) for i, c in enumerate(partners) for b in partners[:i] if candidate(b, c)), None)
        if found:
            threes.append(sorted((a, *found)))
            free = [n for n in free if n not in threes[-1]]
    return threes


@functools.cache
def held_out_pairs():
    """The pairs inside the groups of three, and one for each object that is in no group."""
    pairs = {pair for a, b, c in held_out_threes() for pair in ((a, b), (a, c), (b, c))}
    for name in glyphs.NAMES:
        if not any(name in pair for pair in pairs):
            partner = next(n for n in reversed(glyphs.NAMES) if n != name and candidate(name, n))
            pairs.add(tuple(sorted((name, partner))))
    return sorted(pairs)


def held_out(first, second):
    return tuple(sorted((first, second))) in held_out_pairs()


def draw_names(rng, count, test, pool):
    """For a test, objects whose pairs are all held out; for training, any objects without such a pair."""
    while True:
        if test and count > 1:
            names = list(rng.choice(held_out_pairs() if count == 2 else held_out_threes()))
            if all(name in pool for name in names):
                return names
        else:
            names = sorted(rng.sample(pool, count))
            if not any(held_out(a, b) for i, b in enumerate(names) for a in names[:i]):
                return names


def smart_resize(height, width):
    """transformers' smart_resize for images, with this model's limits."""
    rows, columns = round(height / CELL), round(width / CELL)
    if rows * columns * CELL * CELL > MAX_PIXELS:
        beta = math.sqrt(height * width / MAX_PIXELS)
        rows, columns = max(1, math.floor(height / beta / CELL)), max(1, math.floor(width / beta / CELL))
    elif rows * columns * CELL * CELL < MIN_PIXELS:
        beta = math.sqrt(MIN_PIXELS / (height * width))
        rows, columns = math.ceil(height * beta / CELL), math.ceil(width * beta / CELL)
    return rows, columns


def place(rng, width, height, names):
    """Centres and sizes without overlap, with every stated relation clear; None where the attempt failed."""
    largest = (66, 58, 50)[len(names) - 1]
    objects = []
    for name in names:
        size = rng.uniform(38, min(largest, 0.62 * min(width, height)))
        half = 0.46 * size
        for _ in range(30):
            x, y = rng.uniform(half, width - half), rng.uniform(half, height - half)
            separate = all(max(abs(x - o["x"]), abs(y - o["y"])) >= 0.48 * (size + o["size"]) for o in objects)
            if separate and objects:
                dx, dy = sorted((abs(x - objects[0]["x"]), abs(y - objects[0]["y"])))
                separate = dy >= TIMES_DISTANCE * dx
            if separate:
                objects.append({"name": name, "x": x, "y": y, "size": size})
                break
        else:
            return None
    return objects


def draw_truth(rng, test=False, pool=None, counts=(1, 2, 3), grid=None):
    """The truth of a scene. The image is drawn at `width` x `height` and resized to `grid` cells for the model."""
    pool = pool or glyphs.NAMES
    count = rng.choice(counts)
    while grid is None or grid[0] * grid[1] < (9, 9, 12)[count - 1]:
        grid = rng.choices(GRIDS, GRID_WEIGHTS)[0]
    while True:
        width, height = grid[1] * CELL, grid[0] * CELL
        objects = place(rng, width, height, draw_names(rng, count, test, pool))
        if objects:
            break
    # The file is a little off the grid, or much larger than the model's limit.
    while True:
        scale = rng.uniform(1.15, 2.5) if grid[0] * grid[1] >= 20 and rng.random() < 0.3 else 1.0
        sx, sy = (scale * (1.0 if rng.random() < 0.4 else rng.uniform(0.93, 1.07)) for _ in "xy")
        if smart_resize(round(height * sy), round(width * sx)) == grid:
            break
    for o in objects:
        o["x"], o["y"], o["size"] = o["x"] * sx, o["y"] * sy, o["size"] * math.sqrt(sx * sy)
        o["angle"] = rng.uniform(-15, 15)
    return {"width": round(width * sx), "height": round(height * sy), "grid": list(grid), "objects": objects,
            "background": rng.choice(list(grammar.BACKGROUNDS))}


class Painter:
    def __init__(self):
        self.glyphs = glyphs.load()
        self.small = {name: glyph.resize((72, 72), Image.Resampling.LANCZOS) for name, glyph in self.glyphs.items()}

    def draw(self, rng, truth, objects=None, colour=None):
        """The scene, with `objects` in place of the truth's where a frame of a video has moved them."""
        colour = colour or self.colour(rng, truth)
        image = Image.new("RGB", (truth["width"], truth["height"]), colour)
        for o in objects or truth["objects"]:
            side = max(8, round(o["size"]))
            glyph = (self.small if side <= 66 else self.glyphs)[o["name"]]
            glyph = glyph.rotate(o["angle"], Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.BILINEAR)
            image.paste(glyph, (round(o["x"] - side / 2), round(o["y"] - side / 2)), glyph)
        if rng.random() < 0.4:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8) * max(1.0, truth["width"] / truth["grid"][1] / CELL)))
        return image

    def colour(self, rng, truth):
        return tuple(max(0, min(255, c + rng.randint(-9, 9))) for c in grammar.BACKGROUNDS[truth["background"]])

    def frames(self, rng, truth, count):
        """A short video: every object drifts a little, none so far that its relations change."""
        colour, drift = self.colour(rng, truth), [(rng.uniform(-2, 2), rng.uniform(-2, 2)) for _ in truth["objects"]]
        result = []
        for k in range(count):
            step = k - (count - 1) / 2
            moved = [dict(o, x=o["x"] + dx * step * 3 / count, y=o["y"] + dy * step * 3 / count)
                     for o, (dx, dy) in zip(truth["objects"], drift)]
            result.append(self.draw(rng, truth, moved, colour))
        return result


def as_jpeg(rng, image):
    """The image after JPEG compression."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=rng.randint(60, 96))
    return Image.open(file).convert("RGB")


def scene(painter, seed, test=False, **choice):
    """(rng, truth, image) of a seed. The rng is in the state after drawing: use it for the file's format, for example."""
    rng = random.Random(f"{'test' if test else 'train'}-{seed}")
    truth = draw_truth(rng, test, **choice)
    return rng, truth, painter.draw(rng, truth)
