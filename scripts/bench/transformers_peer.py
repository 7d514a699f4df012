"""Times prefill and decode of the scaled model of tests/bench/model_bench.cpp in Hugging Face transformers.

Same widths, depths, image and prompt; random weights, bfloat16, torch on CPU with the same threads.
Writes JSON: {"prefill_s" (vision included), "vision_s", "decode_s", versions}; the best of --rounds.
"""

import argparse
import json
import time

import torch
import transformers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

IMAGE_TOKEN, VIDEO_TOKEN, VISION_START, VISION_END, TEXT_TOKEN = 1, 2, 3, 4, 100


def build(layers: int, depth: int) -> Qwen3VLForConditionalGeneration:
    config = Qwen3VLConfig(
        text_config=dict(
            hidden_size=2048, intermediate_size=6144, num_hidden_layers=layers, num_attention_heads=16,
            num_key_value_heads=8, head_dim=128, vocab_size=32768, max_position_embeddings=8192, rope_theta=5e6,
            rope_scaling=dict(mrope_section=[24, 20, 20], rope_type="default", mrope_interleaved=True)),
        vision_config=dict(
            depth=depth, hidden_size=1024, intermediate_size=4096, num_heads=16, patch_size=16, temporal_patch_size=2,
            spatial_merge_size=2, out_hidden_size=2048, num_position_embeddings=2304,
            deepstack_visual_indexes=[depth * (k + 1) // 4 for k in range(3)]),
        image_token_id=IMAGE_TOKEN, video_token_id=VIDEO_TOKEN, vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END, tie_word_embeddings=True)
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration._from_config(config, torch_dtype=torch.bfloat16)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    for module in model.modules():  # to_empty leaves the rotary tables unset
        if hasattr(module, "inv_freq"):
            count = module.inv_freq.numel()
            module.inv_freq = 1.0 / (5e6 ** (torch.arange(count, dtype=torch.float32) / count))
            module.original_inv_freq = module.inv_freq
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--image", type=int, default=1024)
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = build(arguments.layers, arguments.depth)

    side = arguments.image // 16
    visual = side * side // 4
    ids = torch.full((1, visual + 64), TEXT_TOKEN)
    ids[0, 3] = VISION_START
    ids[0, 4:4 + visual] = IMAGE_TOKEN
    inputs = dict(input_ids=ids, attention_mask=torch.ones_like(ids),
                  pixel_values=torch.rand(side * side, 1536) * 2 - 1, image_grid_thw=torch.tensor([[1, side, side]]))
    prefill, vision, decode = [], [], []
    with torch.inference_mode():
        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            model.model.visual(inputs["pixel_values"].bfloat16(), grid_thw=inputs["image_grid_thw"])
            vision.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            out = model(**inputs, use_cache=True, logits_to_keep=1)
            prefill.append(time.perf_counter() - begin)
            for step in range(8):
                length = ids.shape[1] + step
                begin = time.perf_counter()
                out = model(input_ids=torch.full((1, 1), TEXT_TOKEN), attention_mask=torch.ones(1, length + 1, dtype=torch.long),
                            past_key_values=out.past_key_values, use_cache=True, cache_position=torch.tensor([length]))
                decode.append(time.perf_counter() - begin)
    report = dict(schema_version=1, prefill_s=min(prefill), vision_s=min(vision), decode_s=min(decode), torch=torch.__version__,
                  transformers=transformers.__version__, threads=arguments.threads)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}: "
          f"prefill {min(prefill) * 1e3:.1f} ms, of which vision {min(vision) * 1e3:.1f} ms, decode {min(decode) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
