"""Scores the captions of fresh held-out scenes by `retinue caption` and by transformers.

    evaluate.py [--count 500] [--seed evaluation] [--model DIR] [--retinue build/bin/retinue | --no-retinue] [--no-reference]

Prints object recall, background, relations and exact captions of both in percent, and the difference.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time

import glyphs
import grammar


def read_lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def report(name, lines, said, seconds):
    totals = grammar.total(grammar.score(line["truth"], said[line["id"]]) for line in lines)
    print(f"{name:14}" + "".join(f"{totals[key]:12.2f}" for key in totals) + f"{seconds:10.1f} s", flush=True)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", default="evaluation")
    parser.add_argument("--model", default=str(glyphs.ROOT / "configs" / "models" / "emoji-captioner"))
    parser.add_argument("--retinue", default=str(glyphs.ROOT / "build" / "bin" / "retinue"))
    parser.add_argument("--flags", default="", help="more flags of retinue caption")
    parser.add_argument("--no-retinue", action="store_true")
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="print captions that are not exact")
    args = parser.parse_args()
    folder = glyphs.WORK / f"evaluation-{args.seed}-{args.count}"
    if not (folder / "manifest.jsonl").exists():
        subprocess.run([sys.executable, str(glyphs.ROOT / "scripts/demo/make_scenes.py"), "--seed", args.seed, "--count",
                        str(args.count), "--output", str(folder)], check=True)
    lines = read_lines(folder / "manifest.jsonl")
    print(f"{len(lines)} scenes of seed '{args.seed}'; percent")
    print(f"{'':14}{'objects':>12}{'background':>12}{'relations':>12}{'exact':>12}")
    results, answers = [], {}
    if not args.no_retinue:
        output = folder / "retinue"
        shutil.rmtree(output, ignore_errors=True)
        start = time.monotonic()
        subprocess.run([args.retinue, "caption", "--model", args.model, "--input", str(folder / "manifest.jsonl"), "--output",
                        str(output), "--max-new-tokens", "64", "--quiet", *args.flags.split()], check=True, stdout=subprocess.DEVNULL)
        answers["retinue"] = {line["id"]: line["caption"] for line in read_lines(output / "captions.jsonl")}
        results.append(report("retinue", lines, answers["retinue"], time.monotonic() - start))
    if not args.no_reference:
        import reference

        start = time.monotonic()
        model = reference.Reference(args.model)
        answers["transformers"] = {line["id"]: model.answer(line, folder) for line in lines}
        results.append(report("transformers", lines, answers["transformers"], time.monotonic() - start))
    if len(results) == 2:
        print(f"{'difference':14}" + "".join(f"{results[0][key] - results[1][key]:12.2f}" for key in results[0]))
        same = sum(answers["retinue"][line["id"]] == answers["transformers"][line["id"]] for line in lines)
        print(f"the same caption: {same} of {len(lines)}")
    if args.wrong:
        for line in lines:
            for name, said in answers.items():
                if said[line["id"]] != line["truth"]:
                    print(f"{line['id']} {name}\n  truth {line['truth']}\n  said  {said[line['id']]}")


if __name__ == "__main__":
    main()
