"""Makes tables for unit tests, each computed by the reference's own function."""

import copy
import random

import numpy as np
import torch
from transformers import AutoConfig
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as image_smart_resize
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLModel,
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionModel,
    Qwen3VLVisionRotaryEmbedding,
)
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as video_smart_resize
from transformers.video_utils import VideoMetadata

import tiny_models
from common import SEED, sha256, write_json

IDS = tiny_models.IDS


def attempt(function, *args, **kwargs):
    """[height, width], or the error's text: the reference refuses some inputs."""
    try:
        return list(function(*args, **kwargs))
    except (ValueError, ZeroDivisionError) as error:
        return f"{type(error).__name__}: {error}"


# Positions --------------------------------------------------------------------------------------------------------------

def _words(count):
    return ["text"] * count


def _tokens(parts):
    """Parts: 'text', ('image', h, w) or ('video', t, h, w), sizes in patches. Videos become timestamped frame pairs."""
    start, end = IDS["<|vision_start|>"], IDS["<|vision_end|>"]
    ids, images, videos = [], [], []
    for part in parts:
        if part == "text":
            ids.append(10 + len(ids) % 200)
        elif part[0] == "image":
            _, h, w = part
            images.append([1, h, w])
            ids += [start] + [IDS["<|image_pad|>"]] * (h * w // 4) + [end]
        else:
            _, t, h, w = part
            videos.append([t, h, w])
            for pair in range(t):
                ids += [20, 21, 22, 23, 24, 25] + [start] + [IDS["<|video_pad|>"]] * (h * w // 4) + [end]
    return ids, images, videos


def _positions(model, name, parts, compact=False):
    ids, images, videos = _tokens(parts)
    positions, delta = model.get_rope_index(
        torch.tensor([ids]),
        torch.tensor(images) if images else None,
        torch.tensor(videos) if videos else None,
    )
    row = {"name": name, "image_grid_thw": images, "video_grid_thw": videos, "tokens": len(ids), "rope_delta": int(delta[0, 0])}
    values = positions[:, 0].contiguous()
    if compact:
        first = ids.index(IDS["<|image_pad|>"])
        row["text_before"] = first
        row["text_after"] = len(ids) - 1 - max(i for i, t in enumerate(ids) if t == IDS["<|image_pad|>"])
        row["first_positions_after"] = values[:, len(ids) - row["text_after"]].tolist()
        row["int32_sha256"] = sha256(values.int().numpy().tobytes())
    else:
        row["input_ids"] = ids
        row["position_ids"] = values.tolist()
    return row


def mrope_positions(config_folder):
    with torch.device("meta"):
        model = Qwen3VLModel(AutoConfig.from_pretrained(config_folder))
    choice = random.Random(SEED)
    rows = [
        _positions(model, "A", _words(3) + [("image", 4, 6)] + _words(2)),
        _positions(model, "B", _words(2) + [("video", 2, 4, 4)] + _words(2)),
        _positions(model, "C", _words(4) + [("image", 68, 120)] + _words(3), compact=True),
        _positions(model, "text only", _words(9)),
    ]
    assert rows[0]["position_ids"][2] == [0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9] and rows[0]["rope_delta"] == -3
    assert rows[1]["tokens"] == 28 and rows[1]["rope_delta"] == -4
    for k in range(10):
        parts = _words(choice.randint(0, 4))
        for _ in range(choice.randint(1, 4)):
            h, w = 2 * choice.randint(1, 5), 2 * choice.randint(1, 5)
            parts.append(choice.choice([("image", h, w), ("video", choice.randint(1, 3), h, w)]))
            parts += _words(choice.randint(0, 5))
        rows.append(_positions(model, f"mix {k}", parts))
    return {"image_pad": IDS["<|image_pad|>"], "video_pad": IDS["<|video_pad|>"], "vision_start": IDS["<|vision_start|>"],
            "vision_end": IDS["<|vision_end|>"], "rows": rows}


# Sizes ------------------------------------------------------------------------------------------------------------------

def image_sizes():
    """Rows of height, width, shortest_edge, longest_edge, result."""
    shipped, tiny = (65536, 16777216), (4096, 65536)
    choice = random.Random(SEED + 1)
    named = [(1080, 1920), (720, 1280), (480, 640), (1364, 2048), (224, 224), (20, 20), (80, 1000), (112, 1000), (10, 1000),
             (6000, 8000), (5000, 9000), (40, 7000), (4112, 4096), (4096, 4096), (4128, 4096), (16, 16), (15, 17), (1, 1),
             (1, 200), (1, 201), (200, 1), (201, 1), (48, 48), (80, 80), (112, 144), (240, 432), (1200, 1040), (256, 256),
             (255, 257), (40000, 300)]
    rows = [[h, w, *budget, attempt(image_smart_resize, h, w, factor=32, min_pixels=budget[0], max_pixels=budget[1])]
            for h, w in named for budget in (shipped, tiny)]
    for _ in range(80):
        h, w = (int(2 ** choice.uniform(2, 13)) for _ in range(2))
        budget = choice.choice([shipped, tiny, (200704, 1003520)])
        rows.append([h, w, *budget, attempt(image_smart_resize, h, w, factor=32, min_pixels=budget[0], max_pixels=budget[1])])
    return {"columns": ["height", "width", "shortest_edge", "longest_edge", "resized [height, width], or the error"], "rows": rows}


def video_sizes():
    """Rows of frames, height, width, shortest_edge, longest_edge, result."""
    shipped, tiny = (4096, 25165824), (4096, 131072)
    choice = random.Random(SEED + 2)
    named = [(16, 720, 1280), (64, 720, 1280), (120, 1080, 1920), (240, 1080, 1920), (768, 1080, 1920), (4, 1080, 1920),
             (1, 480, 640), (2, 480, 640), (3, 480, 640), (5, 480, 640), (2, 31, 64), (2, 64, 31), (2, 32, 32), (2, 32, 6432),
             (5, 160, 160), (7, 160, 160), (9, 120, 120), (5, 176, 176), (3, 192, 192), (11, 96, 128), (13, 96, 96)]
    rows = [[t, h, w, *budget, attempt(video_smart_resize, t, h, w, min_pixels=budget[0], max_pixels=budget[1])]
            for t, h, w in named for budget in (shipped, tiny)]
    for _ in range(80):
        t, h, w = choice.randint(1, 64), int(2 ** choice.uniform(4.8, 11)), int(2 ** choice.uniform(4.8, 11))
        budget = choice.choice([shipped, tiny, (131072, 786432)])
        rows.append([t, h, w, *budget, attempt(video_smart_resize, t, h, w, min_pixels=budget[0], max_pixels=budget[1])])
    # The rounding of an odd frame count decides these sizes; a comparison with the other rounding found them.
    odd = []
    for t in range(3, 40, 2):
        for h, w in ((96, 128), (160, 160), (192, 256), (320, 480)):
            even, up = round(t / 2) * 2, t + t % 2
            area = round(h / 32) * round(w / 32) * 1024
            if even != up:
                longest = (even * area + up * area) // 2
                odd.append([t, h, w, 4096, longest, attempt(video_smart_resize, t, h, w, min_pixels=4096, max_pixels=longest)])
    assert all(row[-1] == [row[1], row[2]] for row in odd), "the pinned release rounds odd frame counts up"
    return {
        "temporal_rounding": "2 * round_half_even(frames / 2); fewer than 2 frames, or a side under 32, is an error",
        "columns": ["frames", "height", "width", "shortest_edge", "longest_edge", "resized [height, width], or the error"],
        "rows": rows,
        "rows_decided_by_odd_frames": odd[:12],
    }


# Frames -----------------------------------------------------------------------------------------------------------------

def _texts(indices, fps):
    times = Qwen3VLProcessor._calculate_timestamps(None, list(indices), fps, 2)
    return [f"<{t:.1f} seconds>" for t in times]


def frames():
    processor = Qwen3VLVideoProcessor()
    everything = Qwen3VLVideoProcessor()
    everything.fps = None
    rows = []
    for total, rate, wanted in [(300, 30.0, 2), (45, 30.0, 2), (3, 30.0, 2), (1, 25.0, 2), (100, 29.97, 2), (250, 25.0, 1),
                                (250, 25.0, 0.5), (97, 23.976, 4), (1000, 59.94, 2), (17, 8.0, 8), (64, None, 2), (61, 10.0, 3.7),
                                (5, 2.0, 2), (7, 1.0, 2)]:
        indices = processor.sample_frames(VideoMetadata(total_num_frames=total, fps=rate), fps=wanted).tolist()
        rows.append({"total_num_frames": total, "container_fps": rate, "fps": wanted, "frames_indices": indices,
                     "timestamps": _texts(indices, 24 if rate is None else rate)})
    for total, count in [(100, 7), (10, 10), (33, 5), (9, 1), (50, 24)]:
        indices = everything.sample_frames(VideoMetadata(total_num_frames=total, fps=25.0), num_frames=count).tolist()
        rows.append({"total_num_frames": total, "container_fps": 25.0, "num_frames": count, "frames_indices": indices,
                     "timestamps": _texts(indices, 25.0)})
    for total in (2, 6, 100):
        indices = everything.sample_frames(VideoMetadata(total_num_frames=total, fps=25.0)).tolist()
        rows.append({"total_num_frames": total, "container_fps": 25.0, "frames_indices": indices,
                     "timestamps": _texts(indices, 25.0)})
    long = processor.sample_frames(VideoMetadata(total_num_frames=100000, fps=30.0), fps=2)
    times = [f"{t:.1f}" for t in Qwen3VLProcessor._calculate_timestamps(None, long.tolist(), 30.0, 2)]
    choice = random.Random(SEED + 3)
    given = []
    for _ in range(40):
        rate = choice.choice([24.0, 25.0, 30.0, 29.97, 23.976, 2.0, 1.0, 4.0, 59.94, 12.5, 0.7])
        indices = sorted(choice.sample(range(4000), choice.randint(1, 6)))
        given.append({"frames_indices": indices, "container_fps": rate, "timestamps": _texts(indices, rate)})
    return {"sampled": rows,
            "long_clip": {"total_num_frames": 100000, "container_fps": 30.0, "fps": 2, "frames": len(long),
                          "int32_sha256": sha256(long.astype(np.int32).tobytes()), "last_timestamp": times[-1]},
            "timestamps": given}


# Rotary and position embeddings -----------------------------------------------------------------------------------------

def _hex32(values):
    return [f"{v:08x}" for v in values.float().contiguous().numpy().view(np.uint32).tolist()]


def inverse_frequencies(config_folder):
    config = AutoConfig.from_pretrained(config_folder).text_config
    text = {}
    for head_dim in (32, 64, 128):
        variant = copy.deepcopy(config)
        variant.head_dim = head_dim
        text[str(head_dim)] = _hex32(Qwen3VLTextRotaryEmbedding(variant).inv_freq)
    return {"text_theta": config.rope_theta, "text_f32_by_head_dim": text, "vision_theta": 10000.0,
            "vision_f32_by_head_dim": {str(d): _hex32(Qwen3VLVisionRotaryEmbedding(d // 2).inv_freq) for d in (64, 72)}}


class _CornerProbe(torch.nn.Module):
    """Takes the place of the position table: corner k of every patch is the k-th unit vector, so the sum shows the four weights."""

    def __init__(self, dtype):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, 4, dtype=dtype), requires_grad=False)

    def forward(self, index):
        self.index = index
        return torch.eye(4, dtype=self.weight.dtype)[:, None, :].expand(4, index.shape[1], 4)


def position_embeddings(config_folder):
    """The four table rows and weights of every patch, in raster order (row by row), for square tables of two sides."""
    grids = []
    for side, sizes in ((48, [(4, 6), (2, 2), (10, 34), (48, 48), (50, 64)]), (16, [(4, 6), (6, 2), (16, 16), (18, 4)])):
        config = AutoConfig.from_pretrained(config_folder).vision_config
        config.num_position_embeddings, config.depth = side * side, 1
        with torch.device("meta"):
            tower = Qwen3VLVisionModel(config)
        for h, w in sizes:
            row = {"side": side, "grid": [h, w]}
            for dtype in (torch.float32, torch.bfloat16):
                tower.pos_embed = _CornerProbe(dtype)
                weights = tower.fast_pos_embed_interpolate(torch.tensor([[1, h, w]]))
                # back from the order of the tower's rows (2x2 blocks) to raster order
                weights = weights.view(h // 2, w // 2, 2, 2, 4).permute(0, 2, 1, 3, 4).reshape(h * w, 4).T.contiguous()
                bits = weights.view(torch.int32 if dtype == torch.float32 else torch.int16).numpy()
                index = tower.pos_embed.index.int().numpy()
                kind = "f32" if dtype == torch.float32 else "bf16"
                if h * w > 100:
                    row["index_int32_sha256"] = sha256(np.ascontiguousarray(index).tobytes())
                    row[f"weights_{kind}_sha256"] = sha256(bits.tobytes())
                else:
                    digits = 8 if kind == "f32" else 4
                    row["index"] = index.tolist()
                    row[f"weights_{kind}"] = [[f"{v:0{digits}x}" for v in line]
                                              for line in bits.view(np.uint32 if digits == 8 else np.uint16).tolist()]
                if (h, w) == (10, 34):  # one whole row beside the hash, to find a mistake by eye
                    row[f"row_1_weights_{kind}"] = [
                        [f"{v:x}" for v in line[34:68]] for line in
                        bits.view(np.uint32 if kind == "f32" else np.uint16).tolist()]
                    row["row_1_index"] = index[:, 34:68].tolist()
            grids.append(row)
    # A second rounding would change these: torch uses a fused multiply-add for the second half where the CPU has one.
    lines = [{"side": side, "count": n, "f32": _hex32(torch.linspace(0, side - 1, n))}
             for side in (48, 16) for n in (2, 4, 24, 30, 36, 68, 120)]
    return {"linspace": {"formula": "step = f32(side - 1) / f32(n - 1); i < n / 2: step * i; else fma(-step, n - 1 - i, side - 1)",
                         "rows": lines},
            "layout": "[4][h * w]: corners (y0,x0) (y0,x1) (y1,x0) (y1,x1), patches in raster order; hashes over the same array, "
                      "little-endian", "grids": grids}


def write(path, configs):
    write_json(path, {
        "mrope_positions": mrope_positions(configs / "gqa4-wide"),
        "image_smart_resize": image_sizes(),
        "video_smart_resize": video_sizes(),
        "frames": frames(),
        "inverse_frequencies": inverse_frequencies(configs / "gqa4-wide"),
        "position_embeddings": position_embeddings(configs / "gqa4-wide"),
    })
