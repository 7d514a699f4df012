"""Batches for training. All images of a batch have one grid, so that a batch is a few dense tensors.

A step always gives the same batch, whatever came before it: a resumed run continues with unseen data.
"""

import os
import random
import signal

import numpy as np
import torch
from PIL import Image

import grammar
import scenes

PATCH, MERGE = 16, 2
NO_OBJECT, UNCLEAR = 0, -100
THE_FIRST = len(grammar.RELATIONS)


def patches(frames, grid):
    """Frames [images, frames, H, W, 3] u8 -> [images * frames / 2, patches, 3 * 2 * 16 * 16] in the processor's order."""
    images, count, height, width, _ = frames.shape
    x = torch.from_numpy(frames).float().div_(127.5).sub_(1.0)
    rows, columns = grid
    x = x.view(images * count // 2, 2, rows, MERGE, PATCH, columns, MERGE, PATCH, 3)
    x = x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)  # item, row, column, row in the cell, column in it, channel, frame, y, x
    return x.reshape(images * count // 2, rows * columns * MERGE * MERGE, -1)


def cell_labels(truth, grid, classes):
    """[2, cells]: the object that covers each cell, UNCLEAR on edges; and its place in the caption: THE_FIRST, or the
    relation of the first object to it."""
    rows, columns = grid
    high, wide = truth["height"] / rows, truth["width"] / columns
    labels, relations = np.full((rows, columns), NO_OBJECT), np.full((rows, columns), UNCLEAR)
    first = truth["objects"][0]
    for r in range(rows):
        for c in range(columns):
            for o in truth["objects"]:
                half = 0.46 * o["size"]
                y = min((r + 1) * high, o["y"] + half) - max(r * high, o["y"] - half)
                x = min((c + 1) * wide, o["x"] + half) - max(c * wide, o["x"] - half)
                covered = max(0.0, x) * max(0.0, y) / (high * wide)
                if covered > 0.35:
                    labels[r, c] = classes[o["name"]]
                    relations[r, c] = THE_FIRST if o is first else grammar.RELATIONS.index(grammar.relation(first, o))
                elif covered > 0.06 and labels[r, c] == NO_OBJECT:
                    labels[r, c] = UNCLEAR
    return np.stack((labels.reshape(-1), relations.reshape(-1)))


class Maker:
    def __init__(self, tokenizer, size, pool):
        self.tokenizer, self.size, self.pool = tokenizer, size, pool
        self.painter = scenes.Painter()
        self.classes = {name: 1 + i for i, name in enumerate(pool)}
        self.colours = {name: i for i, name in enumerate(grammar.BACKGROUNDS)}
        self.end = tokenizer.token_to_id("<|im_end|>")

    def conversation(self, rng, grid, times, prompt, answer):
        """(prefix, answer) token ids. The pads are at the same places in each row of a batch."""
        cells = grid[0] * grid[1]
        if times:
            media = "".join(f"<{t:.1f} seconds><|vision_start|>{'<|video_pad|>' * cells}<|vision_end|>" for t in times)
        else:
            media = f"<|vision_start|>{'<|image_pad|>' * cells}<|vision_end|>"
        prefix = f"<|im_start|>user\n{media}{prompt}<|im_end|>\n<|im_start|>assistant\n"
        return self.tokenizer.encode(prefix).ids, self.tokenizer.encode(answer).ids + [self.end]

    def batch(self, step, counts):
        rng = random.Random(f"batch-{step}")
        video = rng.random() < 0.06
        grids, weights = (scenes.GRIDS[:4], [1] * 4) if video else (scenes.GRIDS, scenes.GRID_WEIGHTS)
        grid = rng.choices(grids, weights)[0]
        if grid[0] * grid[1] < 12:
            counts = [min(c, 2) for c in counts]
        frame_count = rng.choice((2, 4)) if video else 1
        size = self.size * 2 // (frame_count + 1) if video else self.size
        width, height = grid[1] * scenes.CELL, grid[0] * scenes.CELL
        pixels, rows, labels, colours = [], [], [], []
        for i in range(size):
            rng = random.Random(f"train-{step * self.size + i}")
            truth = scenes.draw_truth(rng, pool=self.pool, counts=counts, grid=grid)
            if video:
                images = self.painter.frames(rng, truth, frame_count)
                first = rng.choice((0.0, 0.1, 0.2, 0.2, 0.2, rng.uniform(0, 3)))
                times = [first + rng.uniform(0.5, 2.5) * k for k in range(frame_count // 2)]
                prompt = rng.choice((grammar.CAPTION_PROMPT, grammar.VIDEO_PROMPT))
            else:
                images, times = [self.painter.draw(rng, truth)], []
                prompt = rng.choices((grammar.CAPTION_PROMPT, grammar.COUNT_PROMPT, grammar.COLOUR_PROMPT), (92, 4, 4))[0]
            if rng.random() < 0.6:
                images = [scenes.as_jpeg(rng, image) for image in images]
            images = [image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)
                      for image in images]
            pixels.append(np.stack([np.asarray(image) for image in (images if video else images * 2)]))
            rows.append(self.conversation(rng, grid, times, prompt, grammar.answer(truth, prompt)))
            labels += [cell_labels(truth, grid, self.classes)] * max(1, frame_count // 2)
            colours += [self.colours[truth["background"]]] * max(1, frame_count // 2)
        length = max(len(p) + len(a) for p, a in rows)
        ids, targets = np.zeros((size, length), np.int64), np.full((size, length), UNCLEAR, np.int64)
        for i, (prefix, answer) in enumerate(rows):
            ids[i, : len(prefix) + len(answer)] = prefix + answer
            targets[i, len(prefix) - 1 : len(prefix) + len(answer) - 1] = answer
        return {"grid": grid, "frames": frame_count, "pixels": np.stack(pixels), "ids": ids, "targets": targets,
                "labels": np.stack(labels), "colours": np.array(colours)}


def produce(queue, progress, first_step, tokenizer_json, size, pool, curriculum):
    """Body of a worker process: batches first_step, first_step + 1, ... into the queue."""
    from tokenizers import Tokenizer

    os.nice(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends it
    torch.set_num_threads(1)
    maker = Maker(Tokenizer.from_str(tokenizer_json), size, pool)
    step = first_step
    while True:
        queue.put((step, maker.batch(step, curriculum(progress.value))))
        step += 1
