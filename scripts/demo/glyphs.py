"""The objects of the scenes: a curated set of everyday emoji, cut out of Debian's fonts-noto-color-emoji.

Names follow Unicode CLDR's short names where these are everyday words. The font is not copied: an atlas of the glyphs in use is
written under runs/, so that the other scripts need only Pillow.
"""

import io
import os
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("RETINUE_DEMO_WORK", ROOT / "runs" / "demo"))
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SIDE = 136  # pixels of one glyph in the atlas; the font's strikes are 136 x 128
COLUMNS = 10

OBJECTS = [line.split(" ", 1) for line in """
1F436 dog|1F431 cat|1F42D mouse|1F430 rabbit|1F98A fox|1F43C panda|1F981 lion|1F42E cow|1F437 pig|1F438 frog
1F435 monkey|1F414 chicken|1F427 penguin|1F989 owl|1F986 duck|1F418 elephant|1F40E horse|1F42A camel|1F992 giraffe|1F40D snake
1F422 turtle|1F41F fish|1F419 octopus|1F980 crab|1F433 whale|1F40C snail|1F98B butterfly|1F41D bee|1F41E ladybug|1F577 spider
1F339 rose|1F33B sunflower|1F337 tulip|1F335 cactus|1F334 palm tree|1F333 tree|1F332 fir tree|1F344 mushroom|1F340 clover|1F383 pumpkin
1F34E red apple|1F350 pear|1F34C banana|1F34B lemon|1F34A tangerine|1F349 watermelon|1F353 strawberry|1F34D pineapple|1F345 tomato|1F951 avocado
1F955 carrot|1F336 hot pepper|1F950 croissant|1F968 pretzel|1F355 pizza|1F354 hamburger|1F32D hot dog|1F369 doughnut|1F36A cookie|1F382 birthday cake
1F36D lollipop|1F366 ice cream|1F697 car|1F695 taxi|1F68C bus|1F69C tractor|1F6B2 bicycle|1F3CD motorcycle|1F682 locomotive|2708 airplane
1F681 helicopter|1F680 rocket|26F5 sailboat|2693 anchor|1F3E0 house|26FA tent|1F3F0 castle|26BD soccer ball|1F3C0 basketball|1F3BE tennis racket
1F3B8 guitar|1F3BA trumpet|1F3BB violin|1F941 drum|1F511 key|1F528 hammer|2602 umbrella|23F0 alarm clock|1F4F7 camera|260E telephone
1F4FA television|1F4A1 light bulb|1F4D5 book|2709 envelope|1F388 balloon|1F381 gift|1F451 crown|1F3A9 top hat|1F392 backpack|26C4 snowman
""".replace("\n", "|").strip("|").split("|")]
NAMES = [name for _, name in OBJECTS]


def extract(path):
    """Writes the atlas: a PNG of COLUMNS glyphs a row, each centred in SIDE x SIDE."""
    from fontTools.ttLib import TTFont

    font = TTFont(FONT)
    characters, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    rows = -(-len(OBJECTS) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * SIDE, rows * SIDE), (0, 0, 0, 0))
    for i, (code, name) in enumerate(OBJECTS):
        glyph = Image.open(io.BytesIO(strike[characters[int(code, 16)]].imageData)).convert("RGBA")
        glyph = glyph.crop(glyph.getbbox())
        corner = (i % COLUMNS * SIDE + (SIDE - glyph.width) // 2, i // COLUMNS * SIDE + (SIDE - glyph.height) // 2)
        atlas.paste(glyph, corner)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.png")
    atlas.save(part)
    part.replace(path)


def load():
    """Name -> RGBA image of SIDE x SIDE."""
    path = WORK / "atlas.png"
    if not path.exists():
        if not FONT.exists():
            raise SystemExit(f"[demo] no {FONT}. Install it: apt-get install fonts-noto-color-emoji")
        extract(path)
    atlas = Image.open(path).convert("RGBA")
    glyphs = {}
    for i, name in enumerate(NAMES):
        x, y = i % COLUMNS * SIDE, i // COLUMNS * SIDE
        glyphs[name] = atlas.crop((x, y, x + SIDE, y + SIDE))
    return glyphs
