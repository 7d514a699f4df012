"""The captioner's byte-level BPE: Qwen's pipeline and special tokens, merges trained on this project's captions and prompts."""

import json
import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import glyphs
import grammar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
from tiny_tokenizer import ADDED_NOT_SPECIAL, CHAT_TEMPLATE, SPECIAL, SPLIT, check_template  # noqa: E402

MOST_REGULAR = 960 - len(SPECIAL) - len(ADDED_NOT_SPECIAL)


def corpus():
    """Sentences of the grammar, with every name and colour often enough that each word becomes one token."""
    rng = random.Random(1)
    for prompt in (grammar.CAPTION_PROMPT, grammar.VIDEO_PROMPT, grammar.COUNT_PROMPT, grammar.COLOUR_PROMPT):
        yield from ["user\n", prompt, "assistant\n", "system\n"] * 100
    for i in range(12 * len(glyphs.NAMES)):
        names = [glyphs.NAMES[i % len(glyphs.NAMES)]] + rng.sample(glyphs.NAMES, rng.randint(0, 2))
        truth = {"objects": [{"name": n, "x": rng.random(), "y": rng.random()} for n in sorted(set(names))],
                 "background": rng.choice(list(grammar.BACKGROUNDS))}
        for prompt in (grammar.CAPTION_PROMPT, grammar.COUNT_PROMPT, grammar.COLOUR_PROMPT):
            yield grammar.answer(truth, prompt)
    for tenths in range(100):
        yield f"<{tenths / 10:.1f} seconds>"


def build():
    tokenizer = Tokenizer(models.BPE(byte_fallback=False, fuse_unk=False, ignore_merges=False,
                                     continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=MOST_REGULAR, show_progress=False, special_tokens=[], min_frequency=2,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ADDED_NOT_SPECIAL])
    return tokenizer


def config(tokenizer):
    """tokenizer_config.json."""
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(text)): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                                               "single_word": False, "special": text in SPECIAL}
            for text in SPECIAL + ADDED_NOT_SPECIAL
        },
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def write(folder, tokenizer):
    """tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    check_template()
    tree = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config(tokenizer), ensure_ascii=False, indent=2) + "\n",
                                                  encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
