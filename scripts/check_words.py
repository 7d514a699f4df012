#!/usr/bin/env python3
"""Finds words that the project's dictionary replaces (runtime/README.md, "Words").

    scripts/check_words.py [ROOT]

Looks at code (names are split at capitals and underscores), comments, texts and documents. Prints
"file:line: word: line" for each, and exits 1 when there is any. ALLOWED holds the exceptions, each
with its reason.
"""

import pathlib
import re
import sys

# A word as it begins and ends in a name or a sentence -> what to write. Words whose everyday sense is
# right as often (question, page, item, listing, agree, suspects, word, manifest) are left to reviews: a
# pattern cannot tell a question that a user asks from a job's signature.
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
# (files, words, what the line must hold as well, reason)
ALLOWED = [
    (r"DECISIONS\.md|runtime/README\.md|scripts/check_words\.py", r".*", r"", "they explain the dictionary"),
    (r"parallel/device/(graph|arena)\..*", r"replay\w*", r"", "a recorded graph is replayed"),
    (r".*", r"replay\w*", r"(?i)graph|record|capture|step|stream|launch", "a recorded graph is replayed"),
    (r".*", r"apart", r"(?i)stride|pitch|elements|bytes|rows|levels|addresses|_?mean|0\.2 s|half a sample", "a distance"),
    (r".*", r"leads?", r"leads to|(does|would|may|not) (not )?lead|that leads", "the verb"),
    (r".*", r"leads?", r"lead byte|\"lead\"|rank\.lead", "Unicode's lead byte; the key of status.json"),
    (r"runtime/jobs/caption/caption\.cpp", r"lead", r"lead\(", "the verb"),
    (r"runtime/status/.*", r"sealing", r"\"sealing\"", "the value in status.json"),
    (r".*", r"pictures?|clips?", r"\[?\"(pictures|picture|clips?)\"|r\.pictures|no column picture|(picture|clip)\.\w{3}|long_clip|picture\(\)",
     "keys of files, columns and names of golden data"),
    (r"runtime/media/video_ffmpeg\.cpp", r"whence|seal\w*|stand", r"", "names of C's and libavformat's; a frame that stands in"),
    (r"tests/.*|scripts/.*|layers/kernels/.*", r"deaths?", r"", "GoogleTest's death tests"),
    (r"(tests/)?runtime/dataset/.*", r"stands?", r"stands already|messages stand alone", "errors that the item table's hash holds"),
    (r"tests/.*", r"somebody", r"\"somebody\"", "foreign text"),
]
FOLDERS = ["parallel", "layers", "runtime", "launcher", "tests", "scripts", "configs"]
TEXTS = {".h", ".cpp", ".cu", ".cuh", ".inl", ".in", ".md", ".py", ".sh", ".html", ".js", ".cmake", ".txt"}
# Skipped: data, and the text that goes into it. scripts/golden and scripts/demo write prompts, captions
# and names of files that golden data and examples hold; a reworded one would change the data.
SKIP = re.compile(r"tests/golden/|configs/models/|configs/examples/|scripts/golden/|scripts/demo/|LICENSE|\.json$")

PATTERN = {re.compile(rf"(?<![a-z])({word})(?![a-z])"): instead for word, instead in WORDS.items()}


def split_names(line):
    """Names become words: kMaxCrashes -> k max crashes, own_path -> own path."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", line).lower()


def is_allowed(path, word, line):
    return any(re.fullmatch(files, path) and re.fullmatch(words, word) and re.search(needs, line)
               for files, words, needs, _ in ALLOWED)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    files = [*root.glob("*.*"), *(file for folder in FOLDERS for file in sorted((root / folder).rglob("*")))]
    found = []
    for file in files:
        path = file.relative_to(root).as_posix()
        if SKIP.search(path) or file.suffix not in TEXTS or not file.is_file():
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            words = split_names(line)
            for pattern, instead in PATTERN.items():
                for match in pattern.finditer(words):
                    if not is_allowed(path, match[1], line):
                        found.append(f"{path}:{number}: {match[1]} ({instead}): {line.strip()[:90]}")
    print("\n".join(found) if found else "no word that the dictionary replaces")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
