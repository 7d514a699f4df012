"""Makes goldens of tar archives that Python's tarfile and webdataset write, and the members that both read.

tests/golden/archive_files/*.tar       small archives in each format
tests/golden/archive_files/manifest.json
  members   archive -> [[name, sha256], …]                       as tarfile reads it
  samples   archive -> [[key, [[extension, sha256], …]], …]      as webdataset reads it

Needs only webdataset: python3 scripts/golden/archive_files.py
"""

import importlib.metadata
import io
import json
import tarfile

import common
import webdataset

LONG = "a-folder-with-a-name-that-is-long/" * 5
NAMES = ["000.jpg", "000.json", "000.txt", "001.JPG", "001.cls", "sub/v1.0/002.png", "sub/v1.0/002.seg.png", "sub/003.0.jpg",
         "sub/003.1.jpg", "sub/003.prompt", "no-extension", "__meta__/x.jpg", "__index__", "déjà/vu.webp", LONG + "004.jpg",
         LONG + "004.json", "x" * 120 + ".jpg", "empty.jpg", "__like__but-not.jpg"]


def content(name):
    if name.endswith(".json"):
        return json.dumps({"id": "id of " + name[-8:-5], "prompt": "What is " + name[-8:] + "?", "width": 3}).encode()
    return b"" if name.startswith("empty") else ("bytes of " + name + " ").encode() * (1 + len(name) * 7 % 23)


def add(tar, name, **facts):
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    data = content(name) if info.isreg() else b""
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write(path, format, names=NAMES, **options):
    with tarfile.open(path, "w", format=format, **options) as tar:
        add(tar, "sub", type=tarfile.DIRTYPE)
        for name in names:
            add(tar, name)
        add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname="000.jpg")
        add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="000.jpg")
        add(tar, "pipe.jpg", type=tarfile.FIFOTYPE)


def members(path):
    with tarfile.open(path) as tar:
        return [[m.name, common.sha256(tar.extractfile(m).read())] for m in tar if m.isreg()]


def samples(path):
    found = webdataset.tariterators.tarfile_samples([{"url": str(path)}])
    return [[s["__key__"], [[k, common.sha256(v)] for k, v in s.items() if not k.startswith("__")]] for s in found]


def main():
    tarfile.RECORDSIZE = tarfile.BLOCKSIZE  # no padding to 10 KiB
    folder = common.fresh_folder("archive_files")
    short = [name for name in NAMES if len(name) <= 100]
    write(folder / "ustar.tar", tarfile.USTAR_FORMAT, [name for name in NAMES if not name.startswith("xxx")])
    write(folder / "gnu.tar", tarfile.GNU_FORMAT)
    write(folder / "pax.tar", tarfile.PAX_FORMAT)
    write(folder / "pax_global.tar", tarfile.PAX_FORMAT, short, pax_headers={"comment": "of all members"})
    with tarfile.open(folder / "pax_size.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"path": "renamed/b.jpg", "size": "9"}
        info.size = 9
        tar.addfile(info, io.BytesIO(b"nine byte"))
        add(tar, "c.jpg")
    with webdataset.TarWriter(str(folder / "webdataset.tar"), mtime=0) as tar:
        for i in range(4):
            tar.write({"__key__": f"shard/{i:04d}", "jpg": content(f"{i}.jpg"), "json": {"caption": "x"}, "txt": "a text",
                       "prompt": f"Ask {i}"})
    archives = sorted(folder.glob("*.tar"))
    common.write_json(folder / "manifest.json", {
        "format": common.FORMAT, "remake": "python3 scripts/golden/archive_files.py",
        "versions": {"webdataset": importlib.metadata.version("webdataset")},
        "members": {p.name: members(p) for p in archives}, "samples": {p.name: samples(p) for p in archives},
        "files": common.file_hashes(folder, archives)})


if __name__ == "__main__":
    main()
