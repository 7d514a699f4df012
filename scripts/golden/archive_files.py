"""Makes goldens of tar archives that Python's tarfile and webdataset write, and the members that both read.

tests/golden/archive_files/*.tar       small archives in each format
tests/golden/archive_files/manifest.json
  members   archive -> [[name, sha256], …]                       as tarfile reads it
  samples   archive -> [[key, [[extension, sha256], …]], …]      as webdataset reads it
  extracted archive -> [[name, sha256 or null], …]               as GNU tar --ignore-zeros extracts it, links followed;
                                                                 null: not a file, or a link to none

Needs only webdataset, and GNU tar: python3 scripts/golden/archive_files.py
"""

import importlib.metadata
import io
import json
import os
import subprocess
import tarfile
import tempfile

import common
import webdataset

LONG = "a-folder-with-a-name-that-is-long/" * 5
FAR = "a-folder-with-a-long-name/" * 6
LINKS = [  # name, kind, target
    ("a/forward.jpg", "symbolic", "z.jpg"), ("hard-forward.jpg", "symbolic", "a/z.jpg"), ("./a/z.jpg", "file", ""),
    ("same-folder.jpg", "hard", "a/z.jpg"), ("dotted.jpg", "hard", "./a/z.jpg"), ("b/up.jpg", "symbolic", "../a/z.jpg"),
    ("b/twice.jpg", "symbolic", "up.jpg"), ("b/thrice.jpg", "hard", "b/twice.jpg"), ("b/odd.jpg", "symbolic", ".././a//z.jpg"),
    ("b/hard.jpg", "hard", "same-folder.jpg"), ("to-a", "symbolic", "a"), ("over-a.jpg", "symbolic", "to-a/z.jpg"),
    ("c/to-b", "symbolic", "../b"), ("c/over-b.jpg", "symbolic", "to-b/up.jpg"), ("circle-1.jpg", "symbolic", "circle-2.jpg"),
    ("circle-2.jpg", "symbolic", "circle-1.jpg"), ("self.jpg", "symbolic", "self.jpg"), ("gone.jpg", "symbolic", "not-there.jpg"),
    ("wrong-base.jpg", "symbolic", "z.jpg"), ("above.jpg", "symbolic", "../../a/z.jpg"), ("to-folder.jpg", "symbolic", "a"),
    ("through-file.jpg", "symbolic", "a/z.jpg/x"), (FAR + "0.jpg", "file", ""), ("far.jpg", "symbolic", FAR + "0.jpg"),
    ("far-hard.jpg", "hard", FAR + "0.jpg"), ("blobs/4f2a", "file", ""), ("snapshots/main/é.jpg", "symbolic", "../../blobs/4f2a"),
    ("empty.png", "file", ""), ("to-empty.jpg", "hard", "empty.png"), ("pipe.jpg", "pipe", "")]
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


def write_links(path, format):
    kinds = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE, "file": tarfile.REGTYPE}
    with tarfile.open(path, "w", format=format) as tar:
        add(tar, "a", type=tarfile.DIRTYPE, mode=0o755)
        for name, kind, target in LINKS:
            add(tar, name, type=kinds[kind], linkname=target)


def write_sparse(path, pieces, options):
    """Sparse files between two plain ones. Maps of more than 4 pieces need another header."""
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("sparse-1.img", 2), ("sparse-many.img", pieces)):
            with open(os.path.join(folder, name), "wb") as file:
                for i in range(count):
                    file.seek(i * 65536)
                    file.write(bytes([i + 1]) * 512)
        names = ["0.jpg", "sparse-1.img", "sparse-many.img", "1.jpg"]
        for name in ("0.jpg", "1.jpg"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content(name))
        subprocess.run(["tar", "-S", "-c", "-b", "1", "--mtime=@0", "--owner=0", "--group=0", "--mode=644", *options, "-f", path,
                        "-C", folder, *names], check=True)


def extracted(path):
    """A pipe is not opened; a hard link is extracted after the file that it links to."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path, ignore_zeros=True) as tar:
        subprocess.run(["tar", "-x", "--ignore-zeros", "-f", path, "-C", folder], check=True)
        files = {m.name: os.path.join(folder, m.name) for m in tar if not m.isdir()}
        return [[name, common.sha256(open(file, "rb").read()) if os.path.isfile(file) else None] for name, file in files.items()]


def members(path):
    with tarfile.open(path, ignore_zeros=True) as tar:
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
    wanted = sorted(folder.glob("*.tar"))
    write_links(folder / "links_gnu.tar", tarfile.GNU_FORMAT)
    write_links(folder / "links_pax.tar", tarfile.PAX_FORMAT)
    write_sparse(folder / "sparse_gnu.tar", 6, ["--format=oldgnu"])
    for version in ("0.0", "1.0"):
        write_sparse(folder / f"sparse_pax_{version[0]}{version[2]}.tar", 5, ["--format=posix", f"--sparse-version={version}",
                     "--pax-option=delete=atime,delete=ctime,delete=mtime,exthdr.name=%d/PaxHeaders/%f"])
    parts = [(folder / name).read_bytes() for name in ("pax_size.tar", "webdataset.tar")]
    # As cat joins them, with an archive of nothing first, and padded as a tape of large blocks is.
    (folder / "joined.tar").write_bytes(bytes(1536) + parts[0] + bytes(70 * 1024) + parts[1] + bytes(512 * 9))
    archives = sorted(folder.glob("*.tar"))
    common.write_json(folder / "manifest.json", {
        "format": common.FORMAT, "remake": "python3 scripts/golden/archive_files.py",
        "versions": {"webdataset": importlib.metadata.version("webdataset")},
        "members": {p.name: members(p) for p in archives if not p.name.startswith("sparse")}, "samples": {p.name: samples(p) for p in wanted},
        "extracted": {p.name: extracted(p) for p in archives},
        "files": common.file_hashes(folder, archives)})


if __name__ == "__main__":
    main()
