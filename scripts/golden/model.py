"""Makes tests/golden/model/: tiny models, their inputs, every stage of the reference, and tables for unit tests."""

import tempfile
import time
from pathlib import Path

import common
import model_images
import random_weights

CHECKED_WEIGHTS = [
    ("model.language_model.layers.0.self_attn.q_proj.weight", (256, 64)),
    ("model.language_model.norm.weight", (64,)),
    ("model.language_model.embed_tokens.weight", (512, 64)),
    ("model.visual.patch_embed.proj.weight", (144, 3, 2, 16, 16)),
    ("model.visual.blocks.3.attn.qkv.bias", (432,)),
    ("model.visual.merger.norm.bias", (144,)),
    ("lm_head.weight", (512, 128)),
]


def main():
    common.set_up_torch()
    import model_cases
    import tables
    import tiny_models

    folder = common.fresh_folder("model")
    model_images.write(folder / "images")
    entries = []
    with tempfile.TemporaryDirectory() as work:
        for name, config in tiny_models.CONFIGS.items():
            start = time.monotonic()
            tiny_models.write_folder(folder / "configs" / name, config)
            entries += model_cases.make(folder / "cases" / name, folder / "configs" / name, Path(work))
            print(f"  {name}: {time.monotonic() - start:.0f} s")
        tiny_models.write_sharded(folder / "configs" / "sharded", Path(work))
        tables.write(folder / "tables.json", folder / "configs")
    common.write_manifest(
        folder,
        attention="sdpa",
        vision_rows="images first, in prompt order, then clips: the reference runs the tower once for each kind",
        logits=f"the last {model_cases.LOGIT_ROWS} rows at most; logits_first_row of the case is the first token stored",
        paths="in messages: relative to the folder of the case",
        frame_lists="fps is the rate of the frames as given; the reference gets frames_indices 0 … n-1 and do_sample_frames=False",
        weights=f"random:{common.SEED}",
        random_weights_check=[
            *random_weights.check_values(CHECKED_WEIGHTS, common.SEED),
            *(row for seed in (0, 1, 2**64 - 1) for row in random_weights.check_values(CHECKED_WEIGHTS[:1], seed)),
        ],
        cases=entries,
    )
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"  {total / 1e6:.2f} MB in {folder.name}/")


if __name__ == "__main__":
    main()
