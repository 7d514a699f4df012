"""Makes tiny Qwen3-VL folders in Hugging Face form. The configurations differ in everything that can differ."""

import json
import shutil

import random_weights
import tiny_tokenizer
from common import SEED

IDS = tiny_tokenizer.added_ids()


def tiny_config(hidden, layers, heads, kv_heads, head_dim, intermediate, tied, mrope_section,
            depth, vision_hidden, vision_heads, vision_intermediate, taps, positions):
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "image_token_id": IDS["<|image_pad|>"],
        "model_type": "qwen3_vl",
        "text_config": {
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": IDS["<|endoftext|>"],
            "dtype": "bfloat16",
            "eos_token_id": IDS["<|im_end|>"],
            "head_dim": head_dim,
            "hidden_act": "silu",
            "hidden_size": hidden,
            "initializer_range": 0.02,
            "intermediate_size": intermediate,
            "max_position_embeddings": 4096,
            "model_type": "qwen3_vl_text",
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "num_key_value_heads": kv_heads,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": mrope_section, "rope_type": "default"},
            "rope_theta": 5000000,
            **({"tie_word_embeddings": True} if tied else {}),
            "use_cache": True,
            "vocab_size": 512,
        },
        "tie_word_embeddings": tied,
        "transformers_version": "4.57.0.dev0",
        "video_token_id": IDS["<|video_pad|>"],
        "vision_config": {
            "deepstack_visual_indexes": taps,
            "depth": depth,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": vision_hidden,
            "in_channels": 3,
            "initializer_range": 0.02,
            "intermediate_size": vision_intermediate,
            "model_type": "qwen3_vl",
            "num_heads": vision_heads,
            "num_position_embeddings": positions,
            "out_hidden_size": hidden,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        "vision_end_token_id": IDS["<|vision_end|>"],
        "vision_start_token_id": IDS["<|vision_start|>"],
    }


CONFIGS = {
    "gqa8-tied": tiny_config(hidden=64, layers=4, heads=8, kv_heads=1, head_dim=32, intermediate=256, tied=True,
                         mrope_section=[6, 5, 5], depth=4, vision_hidden=144, vision_heads=2, vision_intermediate=192,
                         taps=[0, 1, 3], positions=2304),
    "mha-untied": tiny_config(hidden=128, layers=3, heads=8, kv_heads=8, head_dim=64, intermediate=512, tied=False,
                          mrope_section=[12, 10, 10], depth=5, vision_hidden=128, vision_heads=2, vision_intermediate=256,
                          taps=[1, 3], positions=256),
    "gqa4-wide": tiny_config(hidden=96, layers=5, heads=8, kv_heads=2, head_dim=128, intermediate=768, tied=False,
                         mrope_section=[24, 20, 20], depth=6, vision_hidden=144, vision_heads=2, vision_intermediate=200,
                         taps=[0, 2, 4], positions=2304),
}
# This one tests reading checkpoints: it is small enough to commit with its weights, in two shards.
SHARDED = tiny_config(hidden=32, layers=2, heads=2, kv_heads=1, head_dim=32, intermediate=96, tied=False,
                  mrope_section=[6, 5, 5], depth=2, vision_hidden=32, vision_heads=1, vision_intermediate=48,
                  taps=[0], positions=16)

GENERATION = {
    "bos_token_id": IDS["<|endoftext|>"],
    "do_sample": True,
    "eos_token_id": [IDS["<|im_end|>"], IDS["<|endoftext|>"]],
    "pad_token_id": IDS["<|endoftext|>"],
    "repetition_penalty": 1.0,
    "temperature": 0.7,
    "top_k": 20,
    "top_p": 0.8,
    "transformers_version": "4.57.3",
}
PREPROCESSOR = {
    "size": {"shortest_edge": 4096, "longest_edge": 65536},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
VIDEO_PREPROCESSOR = {
    **{key: value for key, value in PREPROCESSOR.items() if key != "image_processor_type"},
    "size": {"shortest_edge": 4096, "longest_edge": 131072},
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def _dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_folder(folder, config):
    """Writes a Hugging Face model folder without the weights."""
    folder.mkdir(parents=True)
    _dump(folder / "config.json", config)
    _dump(folder / "generation_config.json", GENERATION)
    _dump(folder / "preprocessor_config.json", PREPROCESSOR)
    _dump(folder / "video_preprocessor_config.json", VIDEO_PREPROCESSOR)
    tiny_tokenizer.write(folder)


def state_dict(config_folder):
    """Name -> bfloat16 tensor by the rule, for every tensor that transformers expects in the folder's checkpoint."""
    import torch
    from transformers import AutoConfig, Qwen3VLForConditionalGeneration

    config = AutoConfig.from_pretrained(config_folder)
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in Qwen3VLForConditionalGeneration(config).state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    return {
        name: torch.from_numpy(random_weights.tensor_bits(name, shape, SEED)).view(torch.bfloat16)
        for name, shape in shapes.items()
    }


def load(config_folder, dtype, work):
    """The reference model as a user loads it: a checkpoint on disk and from_pretrained."""
    from safetensors.torch import save_file
    from transformers import Qwen3VLForConditionalGeneration

    checkpoint = work / config_folder.name
    if not checkpoint.exists():
        shutil.copytree(config_folder, checkpoint)
        save_file(state_dict(config_folder), checkpoint / "model.safetensors", metadata={"format": "pt"})
    model, report = Qwen3VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=dtype, attn_implementation="sdpa", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.eval()


def write_sharded(folder, work):
    """A checkpoint as save_pretrained writes it: two shards and an index; the values follow the rule."""
    import torch
    from safetensors.torch import load_file

    source = work / "sharded-source"
    write_folder(source, SHARDED)
    model = load(source, torch.bfloat16, work / "sharded-work")
    total = sum(t.numel() * 2 for t in model.state_dict().values())
    model.save_pretrained(folder, max_shard_size=total * 3 // 5)
    shards = sorted(p.name for p in folder.glob("*.safetensors"))
    assert shards == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], shards
    for path in source.iterdir():
        if not (folder / path.name).exists():
            shutil.copy(path, folder / path.name)
    stored = {}
    for name in shards:
        stored |= load_file(folder / name)
    wanted = state_dict(source)
    assert stored.keys() == wanted.keys() and all(torch.equal(stored[name], wanted[name]) for name in wanted)
    for path in folder.iterdir():
        path.chmod(0o644)
