"""Shared by all makers: where the data goes, how it is written, which versions made it."""

import hashlib
import importlib.metadata
import json
import os
import shutil
from pathlib import Path

FORMAT = 1
SEED = 20251
ROOT = Path(__file__).resolve().parents[2]
OUTPUT = Path(os.environ.get("RETINUE_GOLDEN_OUTPUT", ROOT / "tests" / "golden"))
PACKAGES = ("transformers", "torch", "torchvision", "tokenizers", "pillow", "numpy", "safetensors", "jinja2")
PINNED_TRANSFORMERS = "4.57.3"


def versions():
    """Package -> version. Refuses to write goldens with any other release of the reference."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    if found["transformers"] != PINNED_TRANSFORMERS:
        raise SystemExit(f"[golden] transformers is {found['transformers']}, wanted {PINNED_TRANSFORMERS}. Run scripts/golden/make.sh")
    return found


def fresh_folder(maker):
    """Empties and returns the folder that the maker owns."""
    folder = OUTPUT / maker
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def set_up_torch():
    """One thread, deterministic kernels: the same machine writes the same bytes."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    return torch


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file_hashes(folder, paths=None):
    """Path relative to the folder -> {bytes, sha256}, sorted."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file()) if paths is None else sorted(paths)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p.read_bytes())} for p in paths}


def _flat(value):
    """True for values that are printed on one line: scalars, and lists of scalars or of such lists."""
    if isinstance(value, dict):
        return False
    if isinstance(value, (list, tuple)):
        return all(_flat(item) for item in value)
    return True


def _format(value, indent):
    if _flat(value):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    pad, close = " " * (indent + 1), " " * indent
    if isinstance(value, dict):
        rows = [f"{json.dumps(str(k), ensure_ascii=False)}: {_format(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(pad + row for row in rows) + "\n" + close + "}" if rows else "{}"
    return "[\n" + ",\n".join(pad + _format(v, indent + 1) for v in value) + "\n" + close + "]"


def write_json(path, value):
    """JSON with one line per key and per list of numbers: short, and a change affects one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_format(value, 0) + "\n", encoding="utf-8")


def write_manifest(folder, **fields):
    """manifest.json of one maker: format, versions, the maker's own fields, and a hash of every other file."""
    manifest = {"format": FORMAT, "remake": f"scripts/golden/make.sh {folder.name}", "seed": SEED, "versions": versions()}
    write_json(folder / "manifest.json", {**manifest, **fields, "files": file_hashes(folder)})
