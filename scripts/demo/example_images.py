#!/usr/bin/env python3
"""Draws configs/examples/ and configs/example-frames/: small pictures with something to say.

    scripts/demo/example_images.py [FOLDER]      FOLDER: configs

Needs Pillow, as pinned in scripts/golden/requirements.txt. The pictures are drawn by this script
alone and belong to the project.
"""

import json
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFilter

SCALE = 2  # drawn larger, then shrunk: smooth edges


def canvas(width, height, colour):
    image = Image.new("RGB", (width * SCALE, height * SCALE), colour)
    return image, Pen(ImageDraw.Draw(image))


class Pen:
    """ImageDraw in units of the final picture."""

    def __init__(self, draw):
        self.draw = draw

    def shape(self, name, points, **more):
        more = {key: value * SCALE if key in ("width", "radius") else value for key, value in more.items()}
        getattr(self.draw, name)([(x * SCALE, y * SCALE) for x, y in points], **more)


def gradient(image, top, bottom, until):
    draw = ImageDraw.Draw(image)
    for y in range(until * SCALE):
        part = y / (until * SCALE)
        colour = tuple(round(a + (b - a) * part) for a, b in zip(top, bottom))
        draw.line([(0, y), (image.width, y)], fill=colour)


def shrunk(image):
    return image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.LANCZOS)


def sunset():
    image, pen = canvas(320, 240, (20, 40, 90))
    gradient(image, (60, 40, 120), (255, 150, 60), 150)
    pen.shape("ellipse", [(130, 100), (190, 160)], fill=(255, 230, 120))
    pen.shape("rectangle", [(0, 150), (320, 240)], fill=(20, 50, 110))
    for k in range(6):
        pen.shape("line", [(140 - 6 * k, 162 + 12 * k), (180 + 6 * k, 162 + 12 * k)], fill=(250, 190, 100), width=3)
    pen.shape("polygon", [(40, 190), (110, 190), (95, 208), (55, 208)], fill=(60, 30, 20))
    pen.shape("polygon", [(75, 185), (75, 120), (112, 180)], fill=(240, 240, 235))
    return shrunk(image)


def chessboard():
    image, pen = canvas(256, 256, (240, 217, 181))
    for row in range(8):
        for column in range(8):
            if (row + column) % 2:
                pen.shape("rectangle", [(32 * column, 32 * row), (32 * column + 31, 32 * row + 31)], fill=(181, 136, 99))
    for row, column, colour in [(0, 3, (20, 20, 20)), (7, 4, (250, 250, 250)), (5, 2, (250, 250, 250)), (2, 5, (20, 20, 20))]:
        x, y = 32 * column, 32 * row
        pen.shape("ellipse", [(x + 6, y + 6), (x + 26, y + 26)], fill=colour, outline=(90, 90, 90), width=1)
    return shrunk(image)


def bar_chart():
    image, pen = canvas(320, 200, (255, 255, 255))
    pen.shape("line", [(30, 10), (30, 180), (310, 180)], fill=(60, 60, 60), width=2)
    for k, (height, colour) in enumerate(
        [(50, (66, 133, 244)), (85, (219, 68, 55)), (120, (244, 180, 0)), (155, (15, 157, 88))]
    ):
        pen.shape("rectangle", [(50 + 65 * k, 180 - height), (95 + 65 * k, 179)], fill=colour)
    return shrunk(image)


def houses():
    image, pen = canvas(300, 220, (150, 200, 240))
    pen.shape("rectangle", [(0, 170), (300, 220)], fill=(90, 160, 80))
    for x, wall, roof in [(20, (220, 90, 80), (110, 40, 40)), (115, (240, 220, 130), (120, 90, 50)), (210, (120, 150, 210), (50, 60, 110))]:
        pen.shape("rectangle", [(x, 100), (x + 70, 180)], fill=wall)
        pen.shape("polygon", [(x - 8, 100), (x + 78, 100), (x + 35, 55)], fill=roof)
        pen.shape("rectangle", [(x + 27, 140), (x + 45, 180)], fill=(80, 50, 30))
        pen.shape("rectangle", [(x + 8, 112), (x + 24, 128)], fill=(250, 250, 200))
        pen.shape("rectangle", [(x + 46, 112), (x + 62, 128)], fill=(250, 250, 200))
    pen.shape("ellipse", [(245, 12), (285, 52)], fill=(255, 220, 80))
    return shrunk(image)


def rainbow():
    image, pen = canvas(360, 200, (130, 190, 240))
    colours = [(230, 50, 50), (245, 140, 40), (250, 225, 60), (70, 180, 80), (60, 110, 220), (130, 70, 180)]
    for k, colour in enumerate(colours):
        inset = 40 + 12 * k
        pen.shape("arc", [(inset, inset), (360 - inset, 360 - inset)], start=180, end=360, fill=colour, width=13)
    pen.shape("rectangle", [(0, 175), (360, 200)], fill=(80, 150, 70))
    cloud = Image.new("L", image.size)
    cloud_pen = Pen(ImageDraw.Draw(cloud))
    for x in (30, 60, 90, 270, 300, 330):
        cloud_pen.shape("ellipse", [(x - 28, 140), (x + 28, 185)], fill=255)
    image.paste((255, 255, 255), mask=cloud.filter(ImageFilter.GaussianBlur(4)))
    return shrunk(image)


def traffic_light():
    """With a transparent ground: what is not the light is nothing."""
    image = Image.new("RGBA", (120 * SCALE, 280 * SCALE), (0, 0, 0, 0))
    pen = Pen(ImageDraw.Draw(image))
    pen.shape("rectangle", [(52, 200), (68, 280)], fill=(70, 70, 70, 255))
    pen.shape("rounded_rectangle", [(25, 10), (95, 210)], radius=16, fill=(35, 35, 35, 255))
    for k, colour in enumerate([(230, 40, 40, 255), (70, 60, 20, 255), (20, 60, 30, 255)]):
        pen.shape("ellipse", [(38, 22 + 62 * k), (82, 66 + 62 * k)], fill=colour)
    return shrunk(image)


def ball_frame(step):
    """A ball that falls and comes up again."""
    image, pen = canvas(160, 160, (235, 235, 230))
    pen.shape("rectangle", [(0, 140), (160, 160)], fill=(120, 100, 80))
    height = (100, 74, 0, 74, 100, 74, 0, 74)[step]
    x, y = 20 + 17 * step, 118 - height
    pen.shape("ellipse", [(x - 18, y - 18 + 4), (x + 18, y + 18 + 4)], fill=(220, 60, 40))
    return shrunk(image)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "configs")
    examples, frames = root / "examples", root / "example-frames" / "ball"
    examples.mkdir(parents=True, exist_ok=True)
    frames.mkdir(parents=True, exist_ok=True)
    pictures = {
        "sunset.jpg": (sunset(), {"quality": 85}),
        "chessboard.png": (chessboard(), {"optimize": True}),
        "bar-chart.png": (bar_chart(), {"optimize": True}),
        "houses.webp": (houses(), {"quality": 80}),
        "rainbow.jpg": (rainbow(), {"quality": 80, "progressive": True}),
        "traffic-light.webp": (traffic_light(), {"lossless": True}),
    }
    lines = []
    for name, (image, options) in sorted(pictures.items()):
        image.save(examples / name, **options)
        lines.append({"id": name.split(".")[0], "image": name})
    for step in range(8):
        ball_frame(step).save(frames / f"{step:03}.png", optimize=True)
    lines.append({"id": "ball", "video": "../example-frames/ball", "prompt": "What happens in this video?"})
    with open(examples / "manifest.jsonl", "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
