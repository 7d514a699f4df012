#!/usr/bin/env python3
"""Checks the include arrows between rooms, and where third-party headers may be included.

    scripts/check_includes.py [ROOT]

Prints one line per breach, "file:line: what", and exits 1 if there is any. The tables below are the rules;
ARCHITECTURE.md gives the reasons.
"""

import fnmatch
import pathlib
import re
import sys

# A library may include itself and the libraries left of it.
TOP = ["parallel", "layers", "runtime", "launcher"]
# Room -> the rooms of the same library that are directly left of it. A room may include itself and
# everything left of it. A room is listed after those that it names, so the arrows have no circle.
INNER = {
    "parallel/base": [],
    "parallel/device": ["parallel/base"],
    "parallel/comm": ["parallel/device"],
    "parallel/comm/local": ["parallel/comm"],
    "parallel/comm/mpi": ["parallel/comm/local"],
    "parallel/comm/nccl": ["parallel/comm"],
    "parallel/mesh": ["parallel/comm"],
    "layers/spec": [],
    "layers/ops": ["layers/spec"],
    "layers/kernels": ["layers/ops"],
    "layers/weights": ["layers/ops"],
    "layers/modules": ["layers/weights"],
    "layers/vision": ["layers/modules"],
    "layers/decoder": ["layers/modules"],
    "layers/model": ["layers/vision", "layers/decoder"],
    "runtime/media": [],
    "runtime/text/unicode": [],
    "runtime/text/jinja": ["runtime/text/unicode"],
    "runtime/text": ["runtime/media", "runtime/text/jinja"],
    "runtime/formats": [],
    "runtime/formats/parquet": ["runtime/formats"],
    "runtime/dataset": ["runtime/text", "runtime/formats/parquet"],
    "runtime/engine": [],
    "runtime/failure": ["runtime/formats"],
    "runtime/decode": ["runtime/dataset", "runtime/engine", "runtime/failure"],
    "runtime/output": ["runtime/text", "runtime/formats/parquet", "runtime/failure"],
    "runtime/status": ["runtime/decode"],
    "runtime/jobs": ["runtime/output", "runtime/status"],
    "runtime/jobs/caption": ["runtime/jobs"],
    "runtime/doctor": ["runtime/jobs"],
    "runtime/pages": [],
    "runtime/monitor": ["runtime/status", "runtime/pages"],
    "runtime/study/model": ["runtime/jobs"],
    "runtime/study/run": ["runtime/study/model"],
    "runtime/study/report": ["runtime/study/run", "runtime/pages"],
    "runtime/study": ["runtime/study/report"],
    "launcher": [],
}
# (including file, included header, reason): refused beyond the arrows.
FORBIDDEN = [
    ("layers/vision/*", "parallel/comm/*", "the vision tower has no communicator"),
    ("layers/vision/*", "parallel/mesh/*", "the vision tower has no mesh"),
    ("layers/vision/*", "layers/modules/parallel_*", "vision weights are whole on every rank"),
    ("layers/vision/*", "layers/modules/vocab_parallel_*", "vision weights are whole on every rank"),
    ("runtime/engine/*", "filesystem", "the engine opens no file"),
    ("runtime/engine/*", "fstream", "the engine opens no file"),
    ("runtime/engine/*", "iostream", "the engine prints nothing"),
    ("layers/*", "iostream", "layers print nothing"),
]
# (header, files that may include it). Headers that no row names belong to the standard library or the system.
THIRD_PARTY = [
    ("cuda*", ["parallel/device/cuda/*", "parallel/comm/nccl/*", "layers/kernels/cuda/*", "tests/support/cuda_emulator/*"]),
    ("cublas*", ["layers/kernels/cuda/cublaslt_*", "tests/bench/cuda_*", "tests/support/cuda_emulator/*"]),
    ("nccl.h", ["parallel/comm/nccl/*", "tests/support/cuda_emulator/*"]),
    ("nvtx3/*", ["parallel/device/cuda/*", "parallel/comm/nccl/*", "layers/kernels/cuda/*", "tests/support/cuda_emulator/*"]),
    ("mpi.h", ["parallel/comm/mpi/*", "tests/support/*"]),
    ("oneapi/dnnl/*", ["tests/bench/*"]),
    ("omp.h", ["layers/kernels/cpu/*", "tests/bench/*"]),
    ("immintrin.h", ["layers/kernels/cpu/*", "runtime/media/pixel_kernels_*", "parallel/*", "tests/bench/*"]),
    ("turbojpeg.h", ["runtime/media/image_*.cpp", "tests/*"]),
    ("png.h", ["runtime/media/image_*.cpp", "tests/*"]),
    ("webp/*", ["runtime/media/image_*.cpp", "tests/*"]),
    ("libav*", ["runtime/media/video_ffmpeg.cpp"]),
    ("utf8proc.h", ["runtime/text/pretokenizer.cpp"]),
    ("zlib.h", ["runtime/formats/parquet/codecs.cpp"]),
    ("snappy*", ["runtime/formats/parquet/codecs.cpp"]),
    ("zstd.h", ["runtime/formats/parquet/codecs.cpp"]),
    ("nlohmann/json_fwd.hpp", ["layers/spec/*", "layers/weights/*", "runtime/*", "launcher/*", "tests/*"]),
    ("nlohmann/*", ["layers/spec/*.cpp", "layers/weights/*.cpp", "runtime/*.cpp", "launcher/*.cpp", "tests/*"]),
    ("boost/*", ["runtime/monitor/http_server.cpp"]),
    ("hwloc*", ["parallel/device/topology.cpp"]),
    ("openssl/*", ["parallel/base/hash.cpp"]),
    ("xxhash.h", ["parallel/base/hash.cpp"]),
    ("fmt/*", ["*.cpp"]),
    ("gtest/*", ["tests/*"]),
    ("gmock/*", ["tests/*"]),
    ("benchmark/*", ["tests/bench/*"]),
]
HEADER_LINES = 250  # a header is one idea

INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder_of(path):
    """The room of INNER that a file is in; none outside the four libraries."""
    parts = path.split("/")
    for depth in (3, 2, 1):
        if "/".join(parts[:depth]) in INNER:
            return "/".join(parts[:depth])
    return None


def left_of(room):
    """Every room that `room` may include besides itself."""
    found = set(INNER[room])
    for direct in INNER[room]:
        found |= left_of(direct)
    return found


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def breach(path, bracket, included):
    """The reason why `path` may not include it, or None."""
    for including, header, why in FORBIDDEN:
        if fnmatch.fnmatchcase(path, including) and fnmatch.fnmatchcase(included, header):
            return f"<{included}>: {why}"
    if bracket == "<":
        for header, files in THIRD_PARTY:
            if fnmatch.fnmatchcase(included, header):
                return None if matches(path, files) else f"<{included}> may be included in {', '.join(files)} only"
        return None
    here, there = path.split("/")[0], included.split("/")[0]
    if "/" not in included:
        return f'"{included}" must be named from the root of the repository'
    if here not in TOP:
        return None
    if there not in TOP:
        return f'"{included}": a library includes nothing of {there}/'
    if TOP.index(there) > TOP.index(here):
        return f'"{included}": {here} may not include {there}'
    if here == there:
        mine, its = folder_of(path), folder_of(included)
        if mine is None or its is None:
            return f'"{included}": no rule for this folder; add one to INNER of check_includes.py'
        if its != mine and its not in left_of(mine):
            return f'"{included}": {mine} may not include {its}'
    return None


def check_file(root, path):
    found = []
    text = (root / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        if include:
            why = breach(path, include[1], include[2])
            if why:
                found.append(f"{path}:{number}: {why}")
    if path.endswith(".h"):
        if "#pragma once" not in text:
            found.append(f"{path}:1: no #pragma once")
        if len(lines) > HEADER_LINES:
            found.append(f"{path}:{HEADER_LINES}: a header of {len(lines)} lines; {HEADER_LINES} are the limit")
    return found


def self_test():
    """The arrows have no circle, and the rules refuse what they are there for."""
    rooms = list(INNER)
    for room, direct in INNER.items():
        assert all(rooms.index(name) < rooms.index(room) for name in direct), room
    for path, bracket, included in [
        ("parallel/base/a.h", '"', "layers/spec/config.h"),
        ("parallel/base/a.h", '"', "parallel/comm/communicator.h"),
        ("layers/ops/a.cpp", '"', "layers/modules/linear.h"),
        ("layers/decoder/a.cpp", '"', "layers/vision/vision_tower.h"),
        ("layers/vision/a.cpp", '"', "parallel/comm/communicator.h"),
        ("runtime/media/a.cpp", '"', "runtime/text/b.h"),
        ("runtime/engine/a.cpp", "<", "fstream"),
        ("runtime/engine/a.cpp", '"', "launcher/options.h"),
        ("launcher/a.cpp", '"', "option.h"),
        ("layers/a.cpp", '"', "tests/support/ranks.h"),
        ("layers/ops/a.h", "<", "fmt/format.h"),
        ("runtime/dataset/a.h", "<", "nlohmann/json.hpp"),
        ("launcher/a.cpp", "<", "mpi.h"),
    ]:
        assert breach(path, bracket, included), (path, included)
    for path, bracket, included in [
        ("runtime/jobs/a.cpp", '"', "runtime/engine/engine.h"),
        ("launcher/a.cpp", '"', "launcher/option.h"),
        ("layers/kernels/cpu/simd/a.cpp", '"', "layers/ops/matmul.h"),
        ("runtime/dataset/a.h", "<", "nlohmann/json_fwd.hpp"),
        ("tests/launcher/a.cpp", '"', "launcher/option.h"),
    ]:
        assert not breach(path, bracket, included), (path, included)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    self_test()
    found, files = [], 0
    for top in [*TOP, "tests"]:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".inl", ".inc", ".cuh", ".cu"):
                files += 1
                found += check_file(root, path.relative_to(root).as_posix())
    print("\n".join(found) if found else f"{files} files include what they may")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
