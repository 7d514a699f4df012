#!/usr/bin/env python3
"""Measures the structure of the product: rooms, functions, parameters, comments, untested headers.

    scripts/house.py [ROOT] [--check] [--longest N]

Prints a table. With --check it exits 1 when a limit is broken: no room above 20 % of the product's
lines, no folder above 40 files (layers/ops is a list and is exempt), no header without a test of its
name. A header that is rightly tested through another says so: "// Tested through <file>".
"""

import argparse
import pathlib
import re
import sys

TOP = ["parallel", "layers", "runtime", "launcher"]
CODE = {".h", ".cuh", ".cpp", ".cu", ".inl", ".inc", ".html", ".js", ".in"}
HEADERS, SOURCES = {".h", ".cuh"}, {".cpp", ".cu", ".inl"}
ROOM_SHARE, FOLDER_FILES, LISTS = 0.20, 40, {"layers/ops"}
FUNCTION_LINES, PARAMETERS = 60, 6

LITERAL = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'|//[^\n]*|/\*.*?\*/', re.S)
CONTROL = re.compile(r"\b(if|for|while|switch|catch|constexpr|requires|sizeof|decltype|noexcept|alignas|static_assert)\s*$")


def blank(text):
    """The text without comments, literals and preprocessor lines; every character keeps its place."""
    text = LITERAL.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.M)


def parse_head(head):
    """(name, text of the parameters) of a function, or None where `head` begins none.

    `head` is what lies between the end of the declaration before and an opening brace.
    """
    head = re.sub(r"^\s*template\s*<.*?>\s*(?=[\w:\[])", "", head, flags=re.S)
    head = re.sub(r"__launch_bounds__\([^()]*\)|\[\[.*?\]\]", "", head)
    depth, begin = 0, None
    for at, char in enumerate(head):
        if char == "(":
            if depth == 0 and begin is None:
                begin = at
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0 and begin is not None:
                name = head[:begin].rstrip()
                if CONTROL.search(name) or not re.search(r"[\w\]>=+*/<!&|~-]$", name):
                    return None
                if name.endswith("operator"):  # operator()(…)
                    begin = None
                    continue
                return re.search(r"operator\s*\S*$|[\w:~]*\S$", name)[0], head[begin + 1:at]
    return None


def count_parameters(text):
    if not text.strip() or text.strip() == "void":
        return 0
    depth, count = 0, 1
    for char in text:
        depth += char in "(<[{"
        depth -= char in ")>]}"
        count += char == "," and depth == 0
    return count


def functions(text):
    """(line, lines, parameters, name) of every function that is defined here; lambdas belong to theirs."""
    code = blank(text)
    found, scopes, begin = [], [], 0
    for match in re.finditer(r"[{};]", code):
        at, char = match.start(), match[0]
        inside = any(kind == "function" for kind, _ in scopes)
        if char == "{":
            head = code[begin:at]
            kind = "other"
            if not inside and not re.search(r"\b(namespace|enum|union)\b|=\s*$", head):
                is_type = re.search(r"\b(class|struct)\b[^()]*$", head)
                function = None if is_type else parse_head(head)
                if function is not None:
                    kind = "function"
                    start = begin + len(head) - len(head.lstrip())
                    found.append([code.count("\n", 0, start) + 1, 0, count_parameters(function[1]), function[0]])
            scopes.append((kind, len(found) - 1))
            if kind != "function" and not inside:
                begin = at + 1
        elif char == "}":
            if scopes:
                kind, index = scopes.pop()
                if kind == "function":
                    found[index][1] = code.count("\n", 0, at) + 2 - found[index][0]
            if not any(kind == "function" for kind, _ in scopes):
                begin = at + 1
        elif not inside:
            begin = at + 1
    return [tuple(function) for function in found]


def comment_lines(text):
    """(lines that hold a comment, lines that are not empty)"""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(1 for line in lines if re.search(r"(^|\s)//", line)), len(lines)


def is_tested(root, path, text):
    if "// Tested through " in text:
        return True
    relative = pathlib.PurePosixPath(path)
    folder = root / "tests" / relative.parent
    return any((folder / f"{relative.stem}_test{end}").exists() for end in (".cpp", ".cu"))


def rooms_of(root, folder):
    """The room of a folder: the deepest one that check_includes.py names, else the folder itself."""
    names = re.findall(r'^    "([\w/]+)": \[', (root / "scripts/check_includes.py").read_text(), re.M)
    fitting = [name for name in names if folder == name or folder.startswith(name + "/")]
    return max(fitting, key=len) if fitting else folder


def measure(root):
    files = {}
    for top in TOP:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in CODE and path.is_file():
                files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", default=pathlib.Path(__file__).resolve().parents[1], type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="exit 1 when a limit is broken")
    parser.add_argument("--longest", type=int, default=8, help="how many functions to name (8)")
    options = parser.parse_args()
    root = options.root.resolve()
    files = measure(root)
    total = sum(text.count("\n") for text in files.values())
    broken = []

    rooms, folders = {}, {}
    for path, text in files.items():
        folder = path.rsplit("/", 1)[0]
        room = rooms.setdefault(rooms_of(root, folder), [0, 0])
        room[0] += 1
        room[1] += text.count("\n")
        folders[folder] = folders.get(folder, 0) + 1
    print(f"product: {len(files)} files, {total} lines\n")
    print(f"{'room':28}{'files':>7}{'lines':>8}{'share':>8}")
    for room, (count, lines) in sorted(rooms.items()):
        print(f"{room:28}{count:7}{lines:8}{lines / total:8.1%}")
        if lines > ROOM_SHARE * total:
            broken.append(f"{room} holds {lines / total:.1%} of all lines; {ROOM_SHARE:.0%} are the limit")
    for folder, count in folders.items():
        if count > FOLDER_FILES and folder not in LISTS:
            broken.append(f"{folder} holds {count} files; {FOLDER_FILES} are the limit")
    largest = max(folders, key=folders.get)
    print(f"\nlargest folder: {largest}, {folders[largest]} files")

    every = [(lines, count, f"{path}:{line} {name}") for path, text in files.items()
             if pathlib.PurePosixPath(path).suffix in HEADERS | SOURCES
             for line, lines, count, name in functions(text)]
    for title, key, limit in [("lines", 0, FUNCTION_LINES), ("parameters", 1, PARAMETERS)]:
        over = [function for function in every if function[key] > limit]
        print(f"\n{len(over)} of {len(every)} functions have more than {limit} {title}; the most:")
        for function in sorted(over, key=lambda entry: (-entry[key], entry[2]))[:options.longest]:
            print(f"{function[key]:6}  {function[2]}")

    for title, suffixes in [("headers", HEADERS), ("sources", SOURCES)]:
        counts = [comment_lines(text) for path, text in files.items() if pathlib.PurePosixPath(path).suffix in suffixes]
        comments, lines = (sum(column) for column in zip(*counts))
        print(f"\ncomment lines in {title}: {comments} of {lines}, {comments / lines:.1%}", end="")
    untested = [path for path, text in files.items() if path.endswith(".h") and not is_tested(root, path, text)]
    headers = sum(path.endswith(".h") for path in files)
    print(f"\n\nheaders without a test of their name: {len(untested)} of {headers}")
    if options.check:
        broken += [f"{path}: no test of its name, and no line '// Tested through …'" for path in untested]
        print("\n" + ("\n".join(broken) if broken else "all limits hold"))
    return 1 if options.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())
