#!/usr/bin/env python3
"""Finds words that the project's dictionary replaces (runtime/README.md, "Words").

    scripts/check_words.py [ROOT]

Looks at code (names are split at capitals and underscores), comments, texts and documents. Prints
"file:line: word: line" for each, and exits 1 when there is any. ALLOWED holds the exceptions, each
with its reason.
"""

import pathlib
import re
import subprocess
import sys

# A word as it begins and ends in a name or a sentence -> what to write.
WORDS = {
    "dealers?|dealt|deals|dealing": "work queue, claim, assign",
    "portions?": "batch",
    "leads?": "leader",
    "wish|wishes": "engine sizing, need",
    "apart": "isolated, separate",
    "death ?marks?|deaths?": "crash report, crash",
    "strikes?|struck": "crash attribution, attributed",
    "replayed|replays?": "bisection; a recorded graph is replayed",
    "seals?|sealed|sealing": "finalize",
    "settles?|settled": "validate, resolve",
    "spoils?|spoiled|spoilt": "mark poisoned",
    "scrubs?|scrubbed": "zero",
    "tournaments?": "round-robin pairing",
    "parcels?": "chunk",
    "standing|stands?|stood": "status; is, exists",
    "told|tells?|hears?|heard|talks?": "report, receive, exchange messages",
    "epitaphs?|flaws?|absurd": "exit reason, validation error, invalid",
    "feeders?": "prefetcher",
    "pictures?": "image",
    "clips?": "video",
    "whence": "provenance",
    "nobody|whoever|somebody": "name who or what",
}
# (files, words, reason)
ALLOWED = [
    (r"DECISIONS\.md|runtime/README\.md|scripts/check_words\.py", r".*", "they explain the dictionary"),
    (r".*", r"replay\w*", "CUDA graphs are replayed: see GRAPHS"),
    (r"runtime/media/video_ffmpeg\.cpp", r"whence|seal\w*", "names of libavformat's and C's own"),
    (r"tests/.*|scripts/.*|layers/kernels/.*", r"deaths?", "GoogleTest's death tests"),
]
# Where "replay" means a recorded graph, of CUDA or of a stream.
GRAPHS = re.compile(r"graph|record|capture|step|stream|launch", re.I)
TEXTS = {".h", ".cpp", ".cu", ".cuh", ".inl", ".in", ".md", ".py", ".sh", ".html", ".js", ".cmake", ".txt"}
SKIP = re.compile(r"tests/golden/|configs/models/|configs/examples/|scripts/golden/|scripts/demo/|LICENSE|\.json$")

PATTERN = {re.compile(rf"(?<![a-z])({word})(?![a-z])"): instead for word, instead in WORDS.items()}


def split_names(line):
    """Names become words: kMaxCrashes -> k max crashes, own_path -> own path."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", line).lower()


def is_allowed(path, word, line):
    for files, words, _ in ALLOWED:
        if re.fullmatch(files, path) and re.fullmatch(words, word):
            if not words.startswith("replay") or GRAPHS.search(line):
                return True
    return False


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    names = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=True).stdout
    found = []
    for path in names.splitlines():
        if SKIP.search(path) or pathlib.PurePosixPath(path).suffix not in TEXTS or not (root / path).is_file():
            continue
        for number, line in enumerate((root / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            words = split_names(line)
            for pattern, instead in PATTERN.items():
                for match in pattern.finditer(words):
                    if not is_allowed(path, match[1], line):
                        found.append(f"{path}:{number}: {match[1]} ({instead}): {line.strip()[:90]}")
    print("\n".join(found) if found else "no word that the dictionary replaces")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
