"""Runs the reference on the tiny models: every stage in float32, the error of its own bfloat16 run, and greedy outputs."""

import copy

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoProcessor, GenerationConfig

import model_images
import tiny_models
from common import file_hashes, sha256, write_json

LOGIT_ROWS = 24  # the last rows of `logits` that are stored; `norm` is stored whole
GREEDY_STEPS = 64
SMALLEST_GAP = 1e-3
PENALTY = 1.3


def text(words):
    return {"type": "text", "text": words}


def image(name):
    return {"type": "image", "image": f"../../images/{name}"}


def video(name, fps=2.0):
    frames = [f"../../images/{name}-{index}.png" for index in model_images.VIDEOS[name][2]]
    return {"type": "video", "video": frames, "fps": fps}


def user(*items):
    return {"role": "user", "content": list(items)}


def cases(config_name):
    """Case name -> messages. The single image differs per configuration."""
    single = {"gqa8-tied": "ridge.png", "mha-untied": "pond.png", "gqa4-wide": "tower.png"}[config_name]
    return {
        "text": [
            {"role": "system", "content": [text("You are careful.")]},
            user(text("Is it 3 or 4?")),
            {"role": "assistant", "content": [text("Three.")]},
            user(text("It isn't so.\n\nWhy?")),
        ],
        "image": [user(image(single), text("Describe this image."))],
        "images": [user(text("First "), image("pond.png"), text(" then "), image("fence.png"), image("stone.png"),
                        text("Compare the pictures."))],
        "frames": [user(video("walk"), text("What happens in the video?"))],
        "mixed": [user(image("fence.png"), text("and"), video("turn", 4.0), text("Write a caption."))],
    }


def resolved(messages, folder):
    """The same messages with paths that the reference opens, and string contents as one text item (see README)."""
    messages = copy.deepcopy(messages)
    for message in messages:
        if isinstance(message["content"], str):
            message["content"] = [text(message["content"])]
        for item in message["content"]:
            if item["type"] == "image":
                item["image"] = str((folder / item["image"]).resolve())
            elif item["type"] == "video":
                item["video"] = [str((folder / path).resolve()) for path in item["video"]]
    return messages


def processed(processor, messages, folder):
    """Model inputs from the real processor: a frame list is a video whose frames were taken at the given rate."""
    metadata = [
        {"total_num_frames": len(item["video"]), "fps": item["fps"], "frames_indices": list(range(len(item["video"])))}
        for message in messages if not isinstance(message["content"], str)
        for item in message["content"] if item["type"] == "video"
    ]
    extra = {"video_metadata": metadata, "do_sample_frames": False} if metadata else {}
    return processor.apply_chat_template(resolved(messages, folder), tokenize=True, add_generation_prompt=True,
                                         return_dict=True, return_tensors="pt", **extra)


class Tracer:
    """Records every stage of one forward pass as float32, under the names of `retinue trace`."""

    def __init__(self, model):
        self.model, self.stages, self.hooks, self.position_ids = model, {}, [], None
        visual, language = model.model.visual, model.model.language_model

        def after(module, name):
            self.hooks.append(module.register_forward_hook(lambda m, args, out: self.add(name, out)))

        def before(module, name):
            self.hooks.append(module.register_forward_pre_hook(lambda m, args: self.add(name, args[0])))

        after(visual.patch_embed, "vision.patch_embed")
        before(visual.blocks[0], "vision.pos_embed")
        for k, block in enumerate(visual.blocks):
            after(block, f"vision.block.{k}")
        after(visual.merger, "vision.merger")
        for k, merger in enumerate(visual.deepstack_merger_list):
            after(merger, f"vision.deepstack.{k}")
        # DeepStack is added between two layers, so layer k ends where the next module begins.
        before(language.layers[0], "embed_tokens")
        for k, following in enumerate([*language.layers[1:], language.norm]):
            before(following, f"layer.{k}")
        after(language.norm, "norm")
        after(model.lm_head, "logits")
        self.hooks.append(language.register_forward_pre_hook(self.positions, with_kwargs=True))

    def positions(self, module, args, kwargs):
        self.position_ids = kwargs["position_ids"][:, 0].clone()

    def add(self, name, value):
        value = value[0] if value.dim() == 3 else value
        value = value.detach().float().clone()
        # The tower runs once for all images, then once for all videos: rows are appended.
        self.stages[name] = torch.cat([self.stages[name], value]) if name in self.stages else value

    def run(self, inputs):
        self.model.model.rope_deltas = None
        self.model(**inputs)
        for hook in self.hooks:
            hook.remove()
        return self.stages


def relative_error(value, reference):
    return float(f"{(value.double() - reference.double()).norm() / reference.double().norm():.4g}")


def check_stages(name, model, inputs, stages):
    """The random weights keep every stage alive, and DeepStack reaches the logits."""
    for stage, value in stages.items():
        rms = value.pow(2).mean().sqrt().item()
        assert torch.isfinite(value).all() and 0.02 < rms < 50, (name, stage, rms)
    if "vision.merger" in stages:
        language = model.model.language_model
        language._deepstack_process = lambda hidden, mask, features: hidden
        without = model(**inputs).logits[0].float()
        del language._deepstack_process
        assert relative_error(without, stages["logits"]) > 0.01, (name, "DeepStack does not reach the logits")


def make_case(folder, name, messages, processor, f32, bf16):
    inputs = processed(processor, messages, folder)
    tracer = Tracer(f32)
    stages = tracer.run(inputs)
    check_stages(name, f32, inputs, stages)
    bf16_stages = Tracer(bf16).run(inputs)

    tokens = inputs["input_ids"].shape[1]
    first_row = max(0, tokens - LOGIT_ROWS)
    grids = {key: inputs[key].tolist() for key in ("image_grid_thw", "video_grid_thw") if key in inputs}
    hashes = {f"{key}_sha256": sha256(inputs[key].float().contiguous().numpy().tobytes())
              for key in ("pixel_values", "pixel_values_videos") if key in inputs}
    write_json(folder / f"{name}.json", {
        "messages": messages,
        "add_generation_prompt": True,
        "prompt": processor.apply_chat_template(resolved(messages, folder), add_generation_prompt=True),
        "input_ids": inputs["input_ids"][0].tolist(),
        "position_ids": tracer.position_ids.tolist(),
        "rope_delta": int(f32.model.rope_deltas[0, 0]),
        **grids,
        **hashes,
        "logits_first_row": first_row,
        "bf16_reference_error": {stage: relative_error(bf16_stages[stage], value) for stage, value in stages.items()},
    })
    stored = {stage: np.ascontiguousarray(value.numpy()) for stage, value in stages.items()}
    stored["logits"] = np.ascontiguousarray(stored["logits"][first_row:])
    save_file(stored, folder / f"{name}.safetensors")
    return {"tokens": tokens, "patches": sum(t * h * w for grid in grids.values() for t, h, w in grid),
            "dtype": "float32", "shapes": {stage: list(value.shape) for stage, value in stored.items()}}


def greedy_prompts(config_name):
    """Candidates. Those whose result depends on rounding are rejected; the most varied of the others are kept."""
    single = {"gqa8-tied": "stone.png", "mha-untied": "tower.png", "gqa4-wide": "pond.png"}[config_name]
    visual = [
        [user(image(single), text("Describe this image."))],
        [user(video("turn"), text("What happens?"))],
        [user(image("fence.png"), text(" or "), image("pond.png"), text(" Which picture is brighter?"))],
        [user(text("Write a caption."), image("stone.png"))],
        [user(image("pond.png"), text("How many birds are in the image?"))],
        [user(video("walk", 1.0), text("Describe the video."))],
    ]
    words = ["A red boat on a calm lake.", "Is the sky blue or grey?", "Let us count: one, two, three,",
             "What do you see here?", "The mountains are covered with snow.", "Answer with a number.",
             "Then the camera moves to the left.", "Write a short caption.", "It isn't raining.", "Why?"]
    return visual, [[user(text(line))] for line in words]


def greedy(model, inputs, penalty):
    """64 greedy steps that ignore end tokens, and the smallest gap between the two best scores."""
    model.model.rope_deltas = None
    model.generation_config = GenerationConfig(pad_token_id=tiny_models.GENERATION["pad_token_id"])
    out = model.generate(**inputs, do_sample=False, max_new_tokens=GREEDY_STEPS, repetition_penalty=penalty,
                         return_dict_in_generate=True, output_scores=True)
    ids = out.sequences[0, inputs["input_ids"].shape[1]:].tolist()
    assert len(ids) == GREEDY_STEPS
    scores = torch.stack(out.scores)[:, 0]
    best = scores.topk(2).values
    assert scores.argmax(-1).tolist() == ids
    return ids, (best[:, 0] - best[:, 1]).min().item()


def make_greedy(folder, config_name, processor, model):
    visual, words = greedy_prompts(config_name)
    rows = []
    for candidates, penalty, wanted in ((visual, 1.0, 3), (words, 1.0, 5), (visual, PENALTY, 1), (words, PENALTY, 1)):
        found = []
        for messages in candidates:
            inputs = processed(processor, messages, folder)
            ids, gap = greedy(model, inputs, penalty)
            if gap > SMALLEST_GAP:
                found.append({"messages": messages, "add_generation_prompt": True, "repetition_penalty": penalty,
                              "input_ids": inputs["input_ids"][0].tolist(), "output_ids": ids, "smallest_gap": round(gap, 6)})
        found.sort(key=lambda row: -len(set(row["output_ids"])))
        assert len(found) >= wanted, (config_name, penalty, len(found))
        rows += found[:wanted]
    write_json(folder / "greedy.json", rows)
    return {"prompts": len(rows), "steps": GREEDY_STEPS, "dtype": "float32",
            "smallest_gap": min(row["smallest_gap"] for row in rows)}


def make(folder, config_folder, work):
    """All cases of one configuration; returns the manifest's entries."""
    folder.mkdir(parents=True)
    name = config_folder.name
    processor = AutoProcessor.from_pretrained(config_folder)
    f32 = tiny_models.load(config_folder, torch.float32, work)
    bf16 = tiny_models.load(config_folder, torch.bfloat16, work)
    assert f32.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    assert bf16.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    entries = []
    for case, messages in cases(name).items():
        entry = make_case(folder, case, messages, processor, f32, bf16)
        entries.append({"config": name, "case": case, **entry,
                        "files": file_hashes(folder, [folder / f"{case}.json", folder / f"{case}.safetensors"])})
    entries.append({"config": name, "case": "greedy", **make_greedy(folder, name, processor, f32),
                    "files": file_hashes(folder, [folder / "greedy.json"])})
    return entries
