"""The forward pass of Qwen3VLForConditionalGeneration for a batch whose images share one grid.

The modules and their weights are transformers' own; only the order of calls differs: images are one more dimension in place of a
Python loop, and the patch embedding's convolution is the matrix product that it equals. `check` compares both.
"""

import torch
from torch.nn import functional as F
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb, rotate_half

import batches


class BatchedForward(torch.nn.Module):
    """The model with training heads. For every merger they predict the object in each cell, the cell's place and the colour
    behind; for the last two, also the relation of the caption's first object to the one in the cell."""

    def __init__(self, model, classes, colours, relation_tokens):
        super().__init__()
        self.model = model
        width = model.config.text_config.hidden_size
        levels = 1 + len(model.config.vision_config.deepstack_visual_indexes)
        self.cells = torch.nn.ModuleList(torch.nn.Linear(width, classes) for _ in range(levels))
        self.colours = torch.nn.ModuleList(torch.nn.Linear(width, colours) for _ in range(levels))
        self.places = torch.nn.ModuleList(torch.nn.Linear(width, 2) for _ in range(levels))
        self.relations = torch.nn.ModuleDict({level: torch.nn.Linear(width, batches.THE_FIRST + 1) for level in ("0", str(levels - 1))})
        self.layouts = {}
        # Relations are few of a caption's words, and the hardest to learn.
        self.register_buffer("token_weights", torch.ones(model.config.text_config.vocab_size), persistent=False)
        self.token_weights[relation_tokens] = 3.0

    def layout(self, grid, ids):
        """Values that depend only on the grid."""
        model = self.model.model
        visual = (ids[0] == model.config.image_token_id) | (ids[0] == model.config.video_token_id)
        frames = int(visual.sum()) // (grid[0] * grid[1])
        key = (grid, frames, bool((ids[0] == model.config.video_token_id).any()))
        if key not in self.layouts:
            thw = torch.tensor([[1, grid[0] * 2, grid[1] * 2]])
            angles = model.visual.rot_pos_emb(thw)
            angles = torch.cat((angles, angles), dim=-1)
            slots = visual.nonzero()[:, 0]
            row = torch.cat((ids[:1, : slots[-1] + 2], torch.ones(1, 100, dtype=torch.long)), dim=1)
            kind = "video_grid_thw" if key[2] else "image_grid_thw"
            positions, _ = model.get_rope_index(row, **{kind: torch.tensor([[frames, grid[0] * 2, grid[1] * 2]])})
            text = model.language_model.rotary_emb(torch.zeros(1), positions)
            self.layouts[key] = thw, (angles.cos(), angles.sin()), slots, text
        return self.layouts[key]

    def vision(self, pixels, thw, rotary):
        visual = self.model.model.visual
        weight = visual.patch_embed.proj.weight.flatten(1)
        x = F.linear(pixels, weight, visual.patch_embed.proj.bias) + visual.fast_pos_embed_interpolate(thw)
        cos, sin = rotary
        features = []
        for i, block in enumerate(visual.blocks):
            items, patches, _ = x.shape
            qkv = block.attn.qkv(block.norm1(x)).view(items, patches, 3, block.attn.num_heads, -1).permute(2, 0, 3, 1, 4)
            q, k = (t * cos + rotate_half(t) * sin for t in (qkv[0].float(), qkv[1].float()))
            out = F.scaled_dot_product_attention(q.to(qkv.dtype), k.to(qkv.dtype), qkv[2])
            x = x + block.attn.proj(out.transpose(1, 2).reshape(items, patches, -1))
            x = x + block.mlp(block.norm2(x))
            if i in visual.deepstack_visual_indexes:
                features.append(visual.deepstack_merger_list[len(features)](x.reshape(items * patches, -1)))
        return [visual.merger(x.reshape(items * patches, -1))] + features

    def decoder(self, ids, slots, features, rotary):
        text = self.model.model.language_model
        x = text.embed_tokens(ids)
        images, length = ids.shape
        cos, sin = (t[:, :length].to(x.dtype) for t in rotary)
        features = [f.view(images, len(slots), -1) for f in features]
        x = x.index_copy(1, slots, features[0].to(x.dtype))
        for i, layer in enumerate(text.layers):
            attention = layer.self_attn
            h = layer.input_layernorm(x)
            q, k, v = (proj(h).view(images, length, -1, attention.head_dim)
                       for proj in (attention.q_proj, attention.k_proj, attention.v_proj))
            q, k = apply_rotary_pos_emb(attention.q_norm(q).transpose(1, 2), attention.k_norm(k).transpose(1, 2), cos, sin)
            groups = attention.num_key_value_groups
            k, v = (t.repeat_interleave(groups, dim=1) for t in (k, v.transpose(1, 2)))
            out = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
            x = x + attention.o_proj(out.transpose(1, 2).reshape(images, length, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            if i + 1 < len(features):
                x = x.index_add(1, slots, features[i + 1].to(x.dtype))
        return text.norm(x)

    def forward(self, batch):
        """(answer loss, loss of the training heads, shares of right answer tokens, object cells and relations of cells)."""
        ids, targets = torch.from_numpy(batch["ids"]), torch.from_numpy(batch["targets"])
        thw, rotary, slots, text_rotary = self.layout(batch["grid"], ids)
        features = self.vision(batches.patches(batch["pixels"], batch["grid"]), thw, rotary)
        hidden = self.decoder(ids, slots, features, text_rotary)
        said = targets != batches.UNCLEAR
        logits = self.model.lm_head(hidden[said]).float()
        answer = F.cross_entropy(logits, targets[said], weight=self.token_weights)

        labels, relations = torch.from_numpy(batch["labels"]).transpose(0, 1).reshape(2, -1)
        colours = torch.from_numpy(batch["colours"])
        places = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in batch["grid"]), indexing="ij"), dim=-1).view(-1, 2)
        heads = 0.0
        for level, feature in enumerate(features):
            items = feature.view(len(colours), -1, feature.shape[-1])
            cells = self.cells[level](feature).float()
            heads = heads + F.cross_entropy(cells, labels)
            heads = heads + 0.5 * F.cross_entropy(self.colours[level](items.mean(1)).float(), colours)
            heads = heads + (self.places[level](items).float() - places).square().mean()
            if level == 0:
                shown = labels > 0
                seen = (cells[shown].argmax(-1) == labels[shown]).float().mean()
            if str(level) in self.relations:
                related = self.relations[str(level)](feature).float()
                heads = heads + 2.0 * F.cross_entropy(related, relations)
                if level == 0:
                    shown = (relations >= 0) & (relations != batches.THE_FIRST)
                    placed = (related[shown].argmax(-1) == relations[shown]).float().sum() / max(1, int(shown.sum()))
        right = (logits.argmax(-1) == targets[said]).float().mean()
        return answer, heads / len(features), right.item(), seen.item(), placed.item()


def check(forward, batch):
    """Largest difference between these hidden states' logits and those of transformers' own forward pass."""
    with torch.no_grad():
        ids = torch.from_numpy(batch["ids"])
        thw, rotary, slots, text_rotary = forward.layout(batch["grid"], ids)
        pixels = batches.patches(batch["pixels"], batch["grid"])
        ours = forward.model.lm_head(forward.decoder(ids, slots, forward.vision(pixels, thw, rotary), text_rotary))
        frames = max(1, batch["frames"] // 2)
        kind = "video" if batch["frames"] > 1 else "image"
        pixels_name = "pixel_values_videos" if kind == "video" else "pixel_values"
        grids = torch.tensor([[frames, batch["grid"][0] * 2, batch["grid"][1] * 2]] * len(ids))
        theirs = forward.model(input_ids=ids, attention_mask=torch.ones_like(ids), **{
            pixels_name: pixels.reshape(-1, pixels.shape[-1]), f"{kind}_grid_thw": grids}).logits
    return (ours - theirs).abs().max().item(), theirs.abs().max().item()
