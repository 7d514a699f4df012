"""Writes scenes with their true captions: `make_scenes.py --seed S --count N --output DIR`.

DIR/manifest.jsonl is an input of `retinue caption`: id, image or video, a prompt for questions, and `truth`, the right answer,
which retinue ignores. Every pair of objects in a scene is held out from training. The same arguments give the same files.
"""

import argparse
import json
from pathlib import Path

import grammar
import scenes

FPS = 2


def save_picture(rng, image, stem):
    """Saves in one of the three formats; returns the name of the file."""
    kind = rng.choices(("jpg", "png", "webp"), (6, 2, 2))[0]
    path = stem.with_name(f"{stem.name}.{kind}")
    if kind == "jpg":
        image.save(path, quality=rng.randint(70, 95))
    elif kind == "png":
        image.save(path, optimize=True)
    else:
        image.save(path, quality=rng.randint(75, 95))
    return path.name


def write_scene(painter, seed, number, folder, video=False, **choice):
    """Writes one scene; returns its line of the manifest and its truth."""
    rng, truth, image = scenes.scene(painter, f"{seed}-{number}", test=True, **choice)
    name = f"scene-{number:03}"
    if not video:
        return {"id": name, "image": save_picture(rng, image, folder / name), "truth": grammar.caption(truth)}, truth
    name = f"video-{number:03}"
    (folder / name).mkdir(exist_ok=True)
    for k, frame in enumerate(painter.frames(rng, truth, 4)):
        frame.save(folder / name / f"{k:03}.jpg", quality=90)
    line = {"id": name, "video": name, "fps": FPS, "prompt": grammar.VIDEO_PROMPT, "truth": grammar.caption(truth)}
    return line, truth


def write_manifest(folder, lines):
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--videos", type=int, default=0, help="how many of the scenes are videos: folders of frames")
    parser.add_argument("--questions", type=int, default=0, help="how many images also get questions about a count and a colour")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    painter = scenes.Painter()
    lines, questions = [], []
    for number in range(args.count):
        # Videos come last and are small: they take the most bytes.
        video = number >= args.count - args.videos
        choice = {"grid": (3, 4), "counts": (1, 2)} if video else {}
        line, truth = write_scene(painter, args.seed, number, args.output, video, **choice)
        lines.append(line)
        if number < args.questions:
            for kind, prompt in (("count", grammar.COUNT_PROMPT), ("colour", grammar.COLOUR_PROMPT)):
                questions.append({"id": f"{line['id']}-{kind}", "image": line["image"], "prompt": prompt,
                                  "truth": grammar.answer(truth, prompt)})
    write_manifest(args.output, lines + questions)


if __name__ == "__main__":
    main()
