"""Makes goldens of text: token ids by Hugging Face tokenizers, templates by Jinja2 as transformers sets it up.

Writes tests/golden/text/. Needs the real tokenizer and template, which are not part of the project, in the folder
RETINUE_TEST_DATA (default: ../shared/data beside the checkout).
"""

import json
import lzma
import os
import random
import tempfile
from pathlib import Path

import jinja2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import common
import text_strings
import text_templates

SEED = 457
STRINGS = 5400
QWEN_SHA256 = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
           r"\s*[\r\n]+|\s+(?!\S)|\s+")


def test_data():
    return Path(os.environ.get("RETINUE_TEST_DATA", common.ROOT.parent / "shared" / "data"))


def qwen_tokenizer():
    data = lzma.decompress((test_data() / "qwen-tokenizer" / "tokenizer.json.xz").read_bytes())
    assert common.sha256(data) == QWEN_SHA256
    return Tokenizer.from_str(data.decode("utf-8"))


def own_tokenizer():
    """Qwen's pipeline and added tokens over a small vocabulary, trained on this folder's own phrases."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    byte_level = dict(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(**byte_level)])
    tokenizer.decoder = decoders.ByteLevel(**byte_level)
    tokenizer.post_processor = processors.ByteLevel(**byte_level)
    corpus = text_strings.PHRASES + text_strings.CODE + ["aaaaaaaa", "abababab", " " * 16, "\n\n\n\n", "Describe this image. user assistant system"] * 4
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(corpus * 2, trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in text_strings.SPECIALS])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in text_strings.ADDED])
    return tokenizer


def encode(tokenizer, text, plain=False):
    tokenizer.encode_special_tokens = plain
    return tokenizer.encode(text, add_special_tokens=False).ids


def line(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def write_strings(folder, tokenizers):
    """One array per line: text (or bytes, in hexadecimal, as {"bytes": …}), ids per tokenizer, and, where the text holds
    special tokens, the ids per tokenizer when those are to be plain text."""
    rows = []
    cells = [(text, text) for text in text_strings.strings(SEED, STRINGS)]
    cells += [({"bytes": data.hex()}, data.decode("utf-8", errors="replace")) for data in text_strings.byte_strings(SEED, 200)]
    for cell, text in cells:
        row = [cell] + [encode(t, text) for t in tokenizers]
        plain = [encode(t, text, plain=True) for t in tokenizers]
        rows.append(row if plain == row[1:] else row + plain)
    (folder / "strings.jsonl").write_text("".join(map(line, rows)), encoding="utf-8")
    return len(rows)


def write_decodings(folder, tokenizers):
    """One array per line: tokenizer index, ids, text with special tokens kept, text with them skipped."""
    rng = random.Random(SEED)
    rows = []
    for index, tokenizer in enumerate(tokenizers):
        size = tokenizer.get_vocab_size()
        for _ in range(150):
            ids = [rng.randrange(size + 40) if rng.random() < 0.6 else rng.randrange(256) for _ in range(rng.randint(1, 9))]
            if rng.random() < 0.5:
                ids.insert(rng.randrange(len(ids)), size - 1 - rng.randrange(26))
            rows.append([index, ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    (folder / "decodings.jsonl").write_text("".join(map(line, rows)), encoding="utf-8")


def write_tokenizer(folder, tokenizer):
    path = folder / "tokenizer" / "tokenizer.json"
    path.parent.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save(os.path.join(scratch, "t.json"), pretty=False)
        data = json.loads(Path(scratch, "t.json").read_text(encoding="utf-8"))
    data["model"].update({"continuing_subword_prefix": "", "end_of_word_suffix": ""})
    path.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return Tokenizer.from_file(str(path))


def render(template, messages, names):
    """The text that transformers renders; None where it raises."""
    from transformers.utils.chat_template_utils import render_jinja_template

    names = dict(names)
    try:
        return render_jinja_template([messages], tools=names.pop("tools", None), chat_template=template,
                                     add_generation_prompt=names.pop("add_generation_prompt", False), **names)[0][0]
    except (jinja2.TemplateError, TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        return {"raises": type(error).__name__}


def write_templates(folder):
    """templates.json: own templates by feature, two own chat templates, and the real one, which is not in the file."""
    own = {"vision": text_templates.VISION, "reasoning": text_templates.REASONING}
    real = (test_data() / "qwen3-vl" / "chat_template.jinja").read_text(encoding="utf-8")
    features = [{"template": t, "text": render(t, [], text_templates.DATA)} for t in text_templates.FEATURES]
    refused = [case for case in features if not isinstance(case["text"], str)]
    assert not refused, refused
    failures, syntax = ([{"template": t, "error": render(t, [], text_templates.DATA)} for t in templates]
                        for templates in (text_templates.ERRORS, text_templates.SYNTAX_ERRORS))
    accepted = [case for case in failures + syntax if isinstance(case["error"], str)]
    assert not accepted, accepted
    chats = []
    for messages, names in text_templates.CONVERSATIONS:
        texts = {name: render(t, messages, names) for name, t in {**own, "qwen": real}.items()}
        assert isinstance(texts["qwen"], str), texts
        chats.append({"messages": messages, "names": names, "texts": texts})
    data = {"data": text_templates.DATA, "features": features, "errors": failures, "syntax_errors": syntax, "templates": own,
            "qwen_sha256": common.sha256(real.encode("utf-8")), "chats": chats}
    (folder / "templates.json").write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")


def write_prompts(folder):
    """prompts.json: ids by transformers' own processor, its image and video processors replaced by given grids."""
    import numpy as np
    from transformers import PreTrainedTokenizerFast
    from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
    from transformers.video_utils import VideoMetadata

    class Given:
        merge_size = 2

        def __init__(self, media, key):
            self.media, self.key = media, key

        def __call__(self, **_):
            grids = np.array([m["grid"] for m in self.media])
            frames = [VideoMetadata(total_num_frames=1, fps=m.get("fps"), frames_indices=list(m.get("frames", []))) for m in self.media]
            return {self.key + "_grid_thw": grids, **({"video_metadata": frames} if self.key == "video" else {})}

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer" / "tokenizer.json"))
    cases = []
    for messages, media in text_templates.PROMPTS:
        processor = object.__new__(Qwen3VLProcessor)
        images, videos = [m for m in media if "fps" not in m], [m for m in media if "fps" in m]
        processor.tokenizer = tokenizer
        processor.image_processor, processor.video_processor = Given(images, "image"), Given(videos, "video")
        processor.image_token, processor.video_token = "<|image_pad|>", "<|video_pad|>"
        processor.image_token_id, processor.video_token_id = (tokenizer.convert_tokens_to_ids(t) for t in ("<|image_pad|>", "<|video_pad|>"))
        processor.vision_start_token, processor.vision_end_token = "<|vision_start|>", "<|vision_end|>"
        text = render(text_templates.VISION, messages, {"add_generation_prompt": True})
        ids = processor(images=images or None, videos=videos or None, text=text)["input_ids"][0]
        cases.append({"messages": messages, "media": media, "ids": [int(i) for i in ids]})
    (folder / "prompts.jsonl").write_text("".join(map(line, cases)), encoding="utf-8")


def main():
    folder = common.fresh_folder("text")
    own = write_tokenizer(folder, own_tokenizer())
    tokenizers = [qwen_tokenizer(), own]
    count = write_strings(folder, tokenizers)
    write_decodings(folder, tokenizers)
    write_templates(folder)
    write_prompts(folder)
    common.write_manifest(folder, strings=count, tokenizers=["qwen", "own"], qwen_sha256=QWEN_SHA256)


if __name__ == "__main__":
    main()
