"""Writes a training checkpoint as a Hugging Face folder in bf16, with all other files of a Qwen3-VL checkpoint."""

import argparse
import json
from pathlib import Path

import safetensors.torch
import torch

import architecture
import glyphs
import scenes
import tokenizer as demo_tokenizer


def write_json(path, tree):
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def processor(kind, smallest, largest):
    return {
        "size": {"shortest_edge": smallest, "longest_edge": largest},
        "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor", **kind,
    }


def write_side_files(folder, tokenizer, config):
    demo_tokenizer.write(folder, tokenizer)
    write_json(folder / "preprocessor_config.json",
               processor({"image_processor_type": "Qwen2VLImageProcessorFast"}, scenes.MIN_PIXELS, scenes.MAX_PIXELS))
    write_json(folder / "video_preprocessor_config.json",
               processor({"video_processor_type": "Qwen3VLVideoProcessor"}, scenes.MIN_PIXELS, 4 * scenes.MAX_PIXELS))
    end, pad = config.text_config.eos_token_id, config.text_config.bos_token_id
    write_json(folder / "generation_config.json", {
        "bos_token_id": pad, "do_sample": False, "eos_token_id": [end, pad], "pad_token_id": pad,
        "transformers_version": "4.57.3"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="captioner", help="name of the training run, a folder in the work folder")
    parser.add_argument("--output", type=Path, default=glyphs.ROOT / "configs" / "models" / "emoji-captioner")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    tokenizer = demo_tokenizer.build()
    model = architecture.fresh_model(tokenizer)
    state = torch.load(glyphs.WORK / args.name / "checkpoint.pt", weights_only=True)
    weights = {name.removeprefix("model."): tensor for name, tensor in state["forward"].items() if name.startswith("model.")}
    model.load_state_dict(weights)
    # The training heads are not exported, nor is lm_head, which is the embedding.
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()
               if name != "lm_head.weight"}
    safetensors.torch.save_file(tensors, args.output / "model.safetensors", metadata={"format": "pt"})
    (args.output / "model.safetensors").chmod(0o644)
    model.config.dtype = model.config.text_config.dtype = "bfloat16"
    config = json.loads(model.config.to_json_string())
    write_json(args.output / "config.json", dict(config, architectures=["Qwen3VLForConditionalGeneration"]))
    write_side_files(args.output, tokenizer, model.config)
    size = sum(tensor.numel() for tensor in tensors.values())
    print(f"{args.output}: {size / 1e6:.2f} M parameters after {state['step']} steps, {state['spent'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
