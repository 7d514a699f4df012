"""Makes tests/golden/fp8/: tiny FP8 checkpoints, and what transformers computes with them.

transformers runs FP8 on GPUs alone: its quantiser refuses to begin without one, and FP8Linear calls Triton. Here the
refusal is taken out, and FP8Linear.forward does the same steps in torch: the same division by the scale, the same cast to
e4m3, one product per group of 128 inputs, scaled and added in float32. Everything else is transformers: which modules are
FP8, how a checkpoint is quantised, saved and loaded.
"""

import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

import common
import random_weights

ROWS = 8  # the last rows of each stage that are stored
LINEAR_ROWS = 2  # the last rows of inputs and outputs of linear layers
STEPS = 24  # greedy
MARGIN = 3  # see make_greedy
GROUP = 128


def add_fp8(config, not_converted):
    return {**config, "quantization_config": {
        "activation_scheme": "dynamic", "fmt": "e4m3", "modules_to_not_convert": not_converted,
        "quant_method": "fp8", "weight_block_size": [128, 128]}}


def official_list(config):
    """Each module by its path, as the published checkpoints list them, in both spellings."""
    vision = config["vision_config"]
    paths = [f"blocks.{i}.{part}" for i in range(vision["depth"])
             for part in ("attn.proj", "attn.qkv", "mlp.linear_fc1", "mlp.linear_fc2")]
    for merger in ["merger", *(f"deepstack_merger_list.{i}" for i in range(len(vision["deepstack_visual_indexes"])))]:
        paths += [f"{merger}.linear_fc1", f"{merger}.linear_fc2"]
    return ["lm_head", *(f"{prefix}visual.{path}" for prefix in ("model.", "") for path in paths)]


def configs():
    """By the rule of random weights: eight leaves; and few, with blocks of 64 rows and a layer that is half bfloat16."""
    from tiny_models import tiny_config as config

    wide = config(hidden=128, layers=3, heads=8, kv_heads=2, head_dim=128, intermediate=2048, tied=True,
                  mrope_section=[24, 20, 20], depth=2, vision_hidden=32, vision_heads=1, vision_intermediate=48,
                  taps=[0, 1], positions=16)
    narrow = config(hidden=256, layers=3, heads=4, kv_heads=2, head_dim=32, intermediate=384, tied=False,
                    mrope_section=[6, 5, 5], depth=2, vision_hidden=32, vision_heads=1, vision_intermediate=48,
                    taps=[0], positions=16)
    return {"fp8-wide": add_fp8(wide, official_list(wide)),
            "fp8-narrow": add_fp8(narrow, ["lm_head", "visual", "model.language_model.layers.1.mlp"])}


def quantiser_source():
    """What transformers quantises itself: there blocks must be whole, and more than one in each direction."""
    from tiny_models import tiny_config as config

    return config(hidden=256, layers=1, heads=2, kv_heads=2, head_dim=128, intermediate=256, tied=True,
                  mrope_section=[24, 20, 20], depth=1, vision_hidden=32, vision_heads=1, vision_intermediate=48,
                  taps=[0], positions=16)


SUMS = "float32"  # of a group's products, and over groups


def fp8_linear(module, x):
    """FP8Linear.forward: act_quant, then w8a8_block_fp8_matmul_triton, of transformers' finegrained_fp8.py."""
    import torch

    dtype = getattr(torch, SUMS)

    groups = x.shape[-1] // GROUP
    flat = x.reshape(-1, groups, GROUP).float()
    scales = flat.abs().amax(-1) / 448.0
    quantized = (flat / scales.unsqueeze(-1)).to(torch.float8_e4m3fn).to(dtype)
    weight = module.weight.to(dtype)
    blocks = module.weight_scale_inv.to(dtype).repeat_interleave(GROUP, 0)[: weight.shape[0]]
    total = torch.zeros(flat.shape[0], weight.shape[0], dtype=dtype)
    for g in range(groups):
        product = quantized[:, g] @ weight[:, g * GROUP:(g + 1) * GROUP].t()
        total += product * scales[:, g:g + 1] * blocks[:, g].unsqueeze(0)
    return total.reshape(*x.shape[:-1], -1).to(x.dtype)


def let_transformers_run_on_cpu():
    import triton  # noqa: F401  imported by transformers' file
    from transformers.integrations import finegrained_fp8
    from transformers.quantizers.quantizer_finegrained_fp8 import FineGrainedFP8HfQuantizer

    FineGrainedFP8HfQuantizer.validate_environment = lambda self, *args, **kwargs: None
    finegrained_fp8.FP8Linear.forward = fp8_linear


def random_state(folder):
    """Name -> tensor by the rule of --weights random, under the names that transformers wants for the folder."""
    import torch
    from transformers import AutoConfig, Qwen3VLForConditionalGeneration
    from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear
    from transformers.utils.quantization_config import FineGrainedFP8Config

    config = AutoConfig.from_pretrained(folder)
    settings = FineGrainedFP8Config(**config.quantization_config)
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(config)
        model = replace_with_fp8_linear(model, list(settings.modules_to_not_convert), settings)
    state = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        shape = tuple(tensor.shape)
        if tensor.dtype == torch.float8_e4m3fn:
            bits = random_weights.to_bf16_bits(448.0 * random_weights.uniform(name, math.prod(shape), common.SEED))
            state[name] = torch.from_numpy(bits.reshape(shape)).view(torch.bfloat16).float().to(torch.float8_e4m3fn)
        elif name.endswith(".weight_scale_inv"):
            center = math.sqrt(3.0 / (shape[1] * GROUP)) / 448.0
            values = center + center / 2 * random_weights.uniform(name, math.prod(shape), common.SEED)
            state[name] = torch.from_numpy(random_weights.to_bf16_bits(values).reshape(shape)).view(torch.bfloat16)
        else:
            state[name] = torch.from_numpy(random_weights.tensor_bits(name, shape, common.SEED)).view(torch.bfloat16)
    return state


def load(checkpoint, attention="sdpa"):
    import torch
    from transformers import Qwen3VLForConditionalGeneration
    from transformers.integrations.finegrained_fp8 import FP8Linear

    model, report = Qwen3VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.bfloat16, attn_implementation=attention, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    layers = [m for m in model.modules() if isinstance(m, FP8Linear)]
    assert layers and all(m.weight.dtype == torch.float8_e4m3fn for m in layers)
    return model.eval()


def write_by_quantiser(folder, work):
    """A checkpoint that transformers quantised and saved, in two shards."""
    import tiny_models
    import torch
    from safetensors.torch import save_file
    from transformers import Qwen3VLForConditionalGeneration
    from transformers.utils.quantization_config import FineGrainedFP8Config

    source = work / "source"
    tiny_models.write_folder(source, quantiser_source())
    save_file(tiny_models.state_dict(source), source / "model.safetensors", metadata={"format": "pt"})
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        source, dtype=torch.bfloat16, quantization_config=FineGrainedFP8Config(modules_to_not_convert=["lm_head", "visual"]))
    size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    model.save_pretrained(folder, max_shard_size=size * 3 // 5)
    assert len(list(folder.glob("*.safetensors"))) == 2
    for path in source.iterdir():
        if path.name != "model.safetensors" and not (folder / path.name).exists():
            shutil.copy(path, folder / path.name)
    for path in folder.iterdir():
        path.chmod(0o644)


def last_rows(stages):
    return {name: np.ascontiguousarray(value[-ROWS:].numpy()) for name, value in stages.items()
            if not name.startswith("vision.")}


def in_other_order(run):
    """The same in float64 sums: every rounding to bfloat16 stays where it is, and some go the other way."""
    global SUMS
    SUMS = "float64"
    result = run()
    SUMS = "float32"
    return result


def write_linears(path, model, run):
    """Inputs and outputs of the FP8 layers in the first layer of the decoder, while `run` runs."""
    from safetensors.torch import save_file
    from transformers.integrations.finegrained_fp8 import FP8Linear

    seen, hooks = {}, []
    for name, module in model.named_modules():
        if isinstance(module, FP8Linear) and ".layers.0." in name:
            def keep(module, args, output, name=name):
                seen[f"{name}.x"] = args[0][0, -LINEAR_ROWS:].clone()
                seen[f"{name}.y"] = output[0, -LINEAR_ROWS:].clone()
            hooks.append(module.register_forward_hook(keep))
    run()
    for hook in hooks:
        hook.remove()
    assert len(seen) == 14, seen.keys()
    save_file(seen, path)


def make_case(folder, name, messages, processor, model, other):
    from model_cases import Tracer, processed, relative_error
    from safetensors.numpy import save_file

    inputs = processed(processor, messages, folder)
    tracer = Tracer(model)
    stages = tracer.run(inputs)
    other_stages = in_other_order(lambda: Tracer(other).run(inputs))
    common.write_json(folder / f"{name}.json", {
        "messages": messages,
        "input_ids": inputs["input_ids"][0].tolist(),
        "position_ids": tracer.position_ids.tolist(),
        "rope_delta": int(model.model.rope_deltas[0, 0]),
        "logits_first_row": max(0, inputs["input_ids"].shape[1] - ROWS),
        "error_in_other_order": {stage: relative_error(other_stages[stage], value) for stage, value in stages.items()
                                 if not stage.startswith("vision.")},
    })
    save_file(last_rows(stages), folder / f"{name}.safetensors")


def make_greedy(folder, processor, model, other):
    """Greedy outputs, and the steps that rounding cannot change: there the gap of the two best logits is MARGIN times the
    largest difference to the logits of the run in another order."""
    import torch
    from model_cases import processed, text, user
    from transformers import GenerationConfig

    words = ["A red boat on a calm lake.", "Is the sky blue or grey?", "Let us count: one, two, three,",
             "The mountains are covered with snow.", "Then the camera moves to the left."]
    rows, sure = [], 0
    model.generation_config = GenerationConfig(pad_token_id=0)
    for line in words:
        inputs = processed(processor, [user(text(line))], folder)
        model.model.rope_deltas = None
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=STEPS)
        model.model.rope_deltas = other.model.rope_deltas = None
        first = inputs["input_ids"].shape[1]
        wanted = model(input_ids=ids).logits[0, first - 1:-1].float()
        error = (in_other_order(lambda: other(input_ids=ids)).logits[0, first - 1:-1].float() - wanted).abs().amax(-1)
        best = wanted.topk(2).values
        steps = torch.nonzero(best[:, 0] - best[:, 1] > MARGIN * error).flatten().tolist()
        sure += len(steps)
        rows.append({"input_ids": ids[0, :-1].tolist(), "first_step": first - 1,
                     "best": wanted.argmax(-1).tolist(), "sure_steps": steps})
    print(f"    greedy: {sure} of {len(words) * STEPS} steps are sure")
    assert sure >= 5, sure
    common.write_json(folder / "greedy.json", rows)


def make(folder, config_folder, checkpoint):
    from model_cases import processed, text, user
    from transformers import AutoProcessor

    folder.mkdir(parents=True)
    processor = AutoProcessor.from_pretrained(config_folder)
    model, other = load(checkpoint), load(checkpoint, "eager")
    cases = {"text": [user(text("It isn't so.\n\nWhy?"))],
             "image": [user({"type": "image", "image": "../../../model/images/pond.png"}, text("Describe this image."))]}
    for name, messages in cases.items():
        make_case(folder, name, messages, processor, model, other)
    inputs = processed(processor, cases["text"], folder)
    write_linears(folder / "linears.safetensors", model, lambda: model(**inputs))
    make_greedy(folder, processor, model, other)


def main():
    torch = common.set_up_torch()
    let_transformers_run_on_cpu()
    import tiny_models
    from safetensors.torch import save_file

    folder = common.fresh_folder("fp8")
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for name, config in configs().items():
            print(f"  {name}")
            config_folder, checkpoint = folder / "configs" / name, work / name
            tiny_models.write_folder(config_folder, config)
            shutil.copytree(config_folder, checkpoint)
            save_file(random_state(config_folder), checkpoint / "model.safetensors", metadata={"format": "pt"})
            make(folder / "cases" / name, config_folder, checkpoint)
        name = "fp8-quantiser"
        print(f"  {name}")
        config_folder = folder / "configs" / name
        write_by_quantiser(config_folder, work)
        make(folder / "cases" / name, config_folder, config_folder)
    common.write_manifest(folder, weights=f"random:{common.SEED}, but for fp8-quantiser", rows=f"the last {ROWS} of each stage")
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"  {total / 1e6:.2f} MB in {folder.name}/")


if __name__ == "__main__":
    main()
