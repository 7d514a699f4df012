"""The captioner's shape: every part of Qwen3-VL, each small, with dimensions divisible by 1, 2, 4 and 8 ranks."""

from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

TAPS = [1, 3, 4]


def config(tokenizer):
    ids = {text: tokenizer.token_to_id(text) for text in (
        "<|endoftext|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")}
    return Qwen3VLConfig(
        text_config={
            "vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64, "hidden_size": 192, "intermediate_size": 512,
            "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
            "rope_theta": 10000, "rope_scaling": {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True},
            "max_position_embeddings": 2048, "tie_word_embeddings": True, "initializer_range": 0.02,
            "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 6, "hidden_size": 128, "intermediate_size": 512, "num_heads": 4, "in_channels": 3, "patch_size": 16,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 192, "num_position_embeddings": 256,
            "deepstack_visual_indexes": TAPS, "initializer_range": 0.02,
        },
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def fresh_model(tokenizer):
    return Qwen3VLForConditionalGeneration._from_config(config(tokenizer), attn_implementation="sdpa")
