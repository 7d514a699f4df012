#!/usr/bin/env python3
"""Writes runtime/text/unicode/unicode_ranges.inc: the Unicode classes that Hugging Face's tokenizers uses.

Needs the `tokenizers` release of scripts/golden/requirements.txt. The script asks the library itself,
code point by code point, because it mixes Unicode versions: its regex engine has Unicode 16, its NFC
has Unicode 9, and neither is the version of the system's utf8proc.

    python scripts/unicode_ranges.py > runtime/text/unicode/unicode_ranges.inc
"""

import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

LETTER, NUMBER, SPACE, ACTIVE, UNSTABLE = 1, 2, 3, 4, 8
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    return {c for c in CODE_POINTS if not split.pre_tokenize_str(chr(c))}


def main():
    flags = [0] * 0x110000
    for pattern, value in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\s", SPACE)):
        for c in members(pattern):
            assert flags[c] == 0
            flags[c] = value

    nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
    low, high = "\u0334", "\u0345"  # combining classes 1 and 240, the ends of the scale
    for c in CODE_POINTS:
        s = chr(c)
        parts = nfd(s)
        # A mark of class 1 swaps after any mark but one of class 1; one of class 240 before it.
        combines = parts == s and (nfd(s + low) != s + low or nfd(high + s) != high + s)
        if combines or nfc(s) != s:
            flags[c] |= ACTIVE | UNSTABLE
        if parts != s:
            flags[c] |= ACTIVE
            for part in parts:
                flags[ord(part)] |= ACTIVE
            if nfc(s) == s:  # a primary composite: its last part composes with the text before it
                flags[ord(parts[-1])] |= UNSTABLE
                # A Hangul LVT syllable also has a vowel inside.
                if 0xAC00 <= c <= 0xD7A3:
                    flags[ord(parts[1])] |= UNSTABLE

    # Where ACTIVE has no effect (assigned, no mark, no composite), the neighbour's value saves ranges. U+11930 and U+11935
    # compose since Unicode 13; U+11A7 never does, but utf8proc drops it after a Hangul syllable.
    for c in CODE_POINTS[1:]:
        inert = unicodedata.combining(chr(c)) == 0 and not unicodedata.decomposition(chr(c))
        if inert and unicodedata.category(chr(c)) != "Cn" and c not in (0x11930, 0x11935, 0x11A7):
            flags[c] |= flags[c - 1] & ACTIVE

    out = sys.stdout
    out.write("// Made by scripts/unicode_ranges.py from Hugging Face tokenizers %s; not edited by hand.\n"
              % tokenizers.__version__)
    out.write("// first, last, flags: 1 letter, 2 number, 3 white space; 4 takes part in NFC, 8 may change in it.\n")
    out.write("// clang-format off\n")
    rows, start = [], 0
    for c in range(1, 0x110001):
        if c == 0x110000 or flags[c] != flags[start]:
            if flags[start]:
                rows.append("{0x%X,0x%X,%d}," % (start, c - 1, flags[start]))
            start = c
    line = ""
    for row in rows:
        if len(line) + len(row) > 100:
            out.write(line + "\n")
            line = ""
        line += row
    out.write(line + "\n// clang-format on\n")


if __name__ == "__main__":
    main()
