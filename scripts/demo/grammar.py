"""Turns the truth of a scene into its caption, parses captions, and scores them against the truth.

    A dog is on a pink background.
    A dog is above a red apple on a pink background.
    A bicycle is left of a dog and above a red apple on a light blue background.

Objects are in alphabetical order; each relation is between the first object and the next one.
"""

import re

BACKGROUNDS = {
    "white": (246, 246, 246), "grey": (140, 140, 140), "black": (18, 18, 18), "red": (205, 35, 40), "pink": (255, 175, 200),
    "orange": (250, 145, 25), "yellow": (250, 225, 60), "green": (45, 150, 65), "light blue": (160, 210, 250),
    "dark blue": (25, 45, 130), "purple": (130, 60, 165), "brown": (120, 75, 40),
}
RELATIONS = ("above", "below", "left of", "right of")
OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}
CAPTION_PROMPT = "Describe this image."
VIDEO_PROMPT = "Describe this video."
COUNT_PROMPT = "How many objects are there?"
COLOUR_PROMPT = "What colour is the background?"
NUMBERS = ("Zero.", "One.", "Two.", "Three.")


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def relation(first, second):
    """The relation of `first` to `second`. Both have x and y of the centre, y downwards."""
    dx, dy = first["x"] - second["x"], first["y"] - second["y"]
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def caption(truth):
    first, *others = truth["objects"]
    text = article(first["name"]) + " is "
    text += "".join(f"{relation(first, other)} {article(other['name'])} and " for other in others).removesuffix("and ")
    text += f"on {article(truth['background'])} background."
    return text[0].upper() + text[1:]


def answer(truth, prompt):
    if prompt == COUNT_PROMPT:
        return NUMBERS[len(truth["objects"])]
    if prompt == COLOUR_PROMPT:
        return truth["background"].capitalize() + "."
    return caption(truth)


def parse(text):
    """(objects, relations, background) of a caption; empty where it does not follow the grammar."""
    whole = re.fullmatch(r"(.*) on an? ([a-z ]+) background\.", text.strip())
    if not whole:
        return [], [], ""
    parts = re.split(r" (?:is|and) (above|below|left of|right of) ", whole[1].removesuffix(" is"))
    objects = [re.sub(r"^[Aa]n? ", "", part) for part in parts[::2]]
    return objects, parts[1::2], whole[2]


def score(truth, said):
    """Counts of (found, asked) for objects and relations of one caption; background and exact as 0 or 1.

    A relation is found where the caption states it for the right two objects; "A is above B" also states that B is below A.
    """
    objects, relations, background = parse(said)
    wanted = parse(truth)
    found = sum(name in objects for name in wanted[0])
    stated = [(objects[0], r, name) for r, name in zip(relations, objects[1:])]
    stated += [(name, OPPOSITE[r], first) for first, r, name in stated]
    related = sum((wanted[0][0], r, name) in stated for r, name in zip(wanted[1], wanted[0][1:]))
    return {"objects": (found, len(wanted[0])), "relations": (related, len(wanted[1])),
            "background": (int(background == wanted[2]), 1), "exact": (int(said.strip() == truth), 1)}


def total(scores):
    """Percentages over many captions."""
    scores = list(scores)
    return {key: 100.0 * sum(s[key][0] for s in scores) / max(1, sum(s[key][1] for s in scores))
            for key in ("objects", "background", "relations", "exact")}
