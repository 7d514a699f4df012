"""Captions of a manifest by unpatched transformers, greedy: the reference for retinue."""

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

import grammar


class Reference:
    def __init__(self, model):
        self.processor = AutoProcessor.from_pretrained(model)
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(model, dtype=torch.bfloat16, attn_implementation="sdpa")
        self.model.eval()

    @torch.no_grad()
    def answer(self, line, folder, max_new_tokens=64):
        """The caption for a line of a manifest that names an image."""
        image = Image.open(folder / line["image"]).convert("RGB")
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": line.get("prompt", grammar.CAPTION_PROMPT)}]}]
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = self.processor(text=[text], images=[image], return_tensors="pt")
        ids = self.model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
        return self.processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
