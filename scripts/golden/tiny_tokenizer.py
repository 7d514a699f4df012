"""Makes a small tokenizer in Qwen's form, and a short chat template that renders Qwen3-VL's strings.

The vocabulary is this project's own: 256 byte symbols and merges trained on the sentences below. Pipeline, regex, added tokens and
their flags are Qwen's, so that the same code reads the real file and this one.
"""

import json

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

REGULAR_TOKENS = 454
SPECIAL = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> <|quad_start|>
<|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>""".split()
ADDED_NOT_SPECIAL = """<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
<tool_response> </tool_response> <think> </think>""".split()
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = """user assistant system
Describe this image. Describe the image in one sentence. Describe the video in two sentences. Describe the first picture.
What is in this picture? What is in the image? What do you see here? What happens in the video? What changed between the pictures?
How many birds are in the image? How many boats can you see? Which picture is brighter? Which one is larger?
You are a helpful assistant. You are a careful assistant that writes short captions. Answer in one word. Answer with a number.
A red boat on a calm lake. A small bird sits on a wooden fence. Two children play with a yellow ball in the garden.
The picture shows a narrow street with white houses. The image shows a bowl of oranges on a kitchen table.
A man in a blue coat walks along the river in the morning. A woman reads a book under a large tree.
An old bicycle leans against a brick wall. A cat sleeps on the warm stones. The mountains are covered with snow.
Compare the two images. Compare the pictures and the video. Write a caption. Write a short caption for this photograph.
There are three birds on the roof. There is one boat in the harbour. There is nothing else in the picture.
seconds seconds seconds <0.5 seconds><1.5 seconds><2.5 seconds><3.5 seconds> The video lasts 4 seconds.
It isn't raining. They're waiting. We've seen it. I'm here. He'd come. She'll see. The sun's light is on the water.
Then the camera moves to the left and the light becomes darker. Then the camera moves to the right. The colours are soft.
Let us count: one, two, three, four. First the bird, then the boat, then the house. Is the sky blue or grey? Yes, it is. No, it is not.
"""

CHAT_TEMPLATE = r"""{%- set seen = namespace(images=0, videos=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' or message.role == 'assistant' or (message.role == 'system' and loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' }}
        {%- if message.content is string %}
            {{- message.content }}
        {%- else %}
            {%- for item in message.content %}
                {%- if message.role == 'user' and (item.type == 'image' or 'image' in item or 'image_url' in item) %}
                    {%- set seen.images = seen.images + 1 %}
                    {%- if add_vision_id %}
                        {{- 'Picture ' }}{{ seen.images }}{{ ': ' }}
                    {%- endif %}
                    {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
                {%- elif message.role == 'user' and (item.type == 'video' or 'video' in item) %}
                    {%- set seen.videos = seen.videos + 1 %}
                    {%- if add_vision_id %}
                        {{- 'Video ' }}{{ seen.videos }}{{ ': ' }}
                    {%- endif %}
                    {{- '<|vision_start|><|video_pad|><|vision_end|>' }}
                {%- elif 'text' in item %}
                    {{- item.text }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""


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
    trainer = trainers.BpeTrainer(vocab_size=REGULAR_TOKENS, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=[], min_frequency=1)
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    assert tokenizer.get_vocab_size() == REGULAR_TOKENS, f"{tokenizer.get_vocab_size()} tokens: the corpus does not fit"
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ADDED_NOT_SPECIAL])
    return tokenizer


def added_ids():
    return {text: REGULAR_TOKENS + i for i, text in enumerate(SPECIAL + ADDED_NOT_SPECIAL)}


def tokenizer_config():
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(number): {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                          "special": text in SPECIAL}
            for text, number in added_ids().items()
        },
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def check_template():
    """The vectors that Qwen's own template renders for text, images and videos."""
    def render(messages, **fields):
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        return environment.from_string(CHAT_TEMPLATE).render(messages=messages, add_generation_prompt=True, **fields)

    image, video = {"type": "image", "image": "a"}, {"type": "video", "video": "b"}
    marks = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
    assert render([{"role": "user", "content": "Hello"}]) == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert render([{"role": "system", "content": "You are helpful."},
                   {"role": "user", "content": [image, {"type": "text", "text": "Describe this image."}]}]) == (
        f"<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n{marks[0]}Describe this image.<|im_end|>\n"
        "<|im_start|>assistant\n")
    assert render([{"role": "user", "content": [image, image, video, {"type": "text", "text": "Compare."}]}],
                  add_vision_id=True) == (
        f"<|im_start|>user\nPicture 1: {marks[0]}Picture 2: {marks[0]}Video 1: {marks[1]}Compare.<|im_end|>\n"
        "<|im_start|>assistant\n")
    assert render([{"role": "user", "content": "hi"}, {"role": "system", "content": "late"},
                   {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nx<|im_end|>\n<|im_start|>assistant\n")


def write(folder):
    """tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    check_template()
    tokenizer = build()
    for text, number in added_ids().items():
        assert tokenizer.token_to_id(text) == number
    tree = json.loads(tokenizer.to_str())
    for key in ("normalizer", "pre_tokenizer"):
        assert tree[key] is not None
    (folder / "tokenizer.json").write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(), ensure_ascii=False, indent=2) + "\n",
                                                  encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
