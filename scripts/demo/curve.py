"""Writes the log of a training run beside its checkpoint: training.csv, a line per 100 steps, and training.svg."""

import argparse
import csv
from pathlib import Path

import glyphs

WIDTH, HEIGHT, LEFT, TOP = 640, 260, 44, 24
CURVES = [("loss", "answer loss", "#c0392b"), ("head_loss", "loss of the training heads", "#8e8e8e"),
          ("cell_accuracy", "cells named right", "#2471a3")]
HIGHEST = 2.0  # of the vertical axis


def thinned(rows, every=5):
    """Means over groups of so many lines of the log."""
    result = []
    for i in range(0, len(rows) - every + 1, every):
        part = rows[i : i + every]
        means = {key: sum(float(r[key]) for r in part) / every for key in part[0]}
        result.append(dict(means, step=int(part[-1]["step"]), minutes=float(part[-1]["minutes"])))
    return result


def svg(rows):
    most = rows[-1]["minutes"]

    def point(row, key):
        x = LEFT + (WIDTH - LEFT - 8) * row["minutes"] / most
        return f"{x:.1f},{TOP + (HEIGHT - TOP - 30) * (1 - min(row[key], HIGHEST) / HIGHEST):.1f}"

    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for value in (0, 0.5, 1, 1.5, 2):
        y = TOP + (HEIGHT - TOP - 30) * (1 - value / HIGHEST)
        lines.append(f'<path d="M{LEFT},{y:.1f}H{WIDTH - 8}" stroke="#ddd"/><text x="12" y="{y + 4:.1f}">{value}</text>')
    for i, (key, name, colour) in enumerate(CURVES):
        points = " ".join(point(row, key) for row in rows)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        lines.append(f'<text x="{LEFT + 190 * i}" y="14" fill="{colour}">{name}</text>')
    lines += [f'<text x="{WIDTH - 120}" y="{HEIGHT - 8}">{most:.0f} minutes</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="captioner")
    parser.add_argument("--output", type=Path, default=glyphs.ROOT / "configs" / "models" / "emoji-captioner")
    args = parser.parse_args()
    rows = thinned(list(csv.DictReader(open(glyphs.WORK / args.name / "log.csv"))))
    with open(args.output / "training.csv", "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow([row["step"], f"{row['minutes']:.2f}"] + [f"{v:.4f}" for k, v in row.items() if k not in ("step", "minutes")])
    (args.output / "training.svg").write_text(svg(rows))


if __name__ == "__main__":
    main()
