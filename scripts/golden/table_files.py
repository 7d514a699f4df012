"""Makes goldens of Parquet files as inputs: tables with images as pyarrow and Hugging Face's datasets write them.

tests/golden/table_files/*.parquet
tests/golden/table_files/manifest.json   rows: file -> a list of {id?, prompt?, media: [sha256 or null], error?}

Needs only pyarrow: python3 scripts/golden/table_files.py
"""

import importlib.metadata
import json

import pyarrow as pa
import pyarrow.parquet as pq

import common


def image_bytes(i):
    return f"bytes of picture {i} ".encode() * (1 + i * 5 % 11)


def sha(i):
    return common.sha256(image_bytes(i))


def main():
    folder = common.fresh_folder("table_files")
    rows = {}
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (folder / "beside.jpg").write_bytes(image_bytes(99))

    def write(name, columns, expected, **options):
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", **options)
        rows[f"{name}.parquet"] = expected

    every = range(9)
    ids = [f"row-{i}" for i in every]
    # A struct like that of datasets' Image(): bytes, else a path, else nothing.
    images = [{"bytes": image_bytes(i) if i % 3 != 1 else None, "path": "beside.jpg" if i % 3 == 1 else None} if i != 5 else None
              for i in every]
    media = [[sha(i) if i % 3 != 1 else sha(99)] if i != 5 else [None] for i in every]
    write("struct", {"id": ids, "image": pa.array(images, struct), "width": list(every)},
          [{"id": ids[i], "media": media[i]} for i in every], row_group_size=4)
    write("bytes", {"image": pa.array([image_bytes(i) for i in every], pa.binary()), "prompt": [f"Ask {i}" for i in every]},
          [{"prompt": f"Ask {i}", "media": [sha(i)]} for i in every], compression="none")
    write("paths", {"id": list(every), "image": ["beside.jpg"] * 9},
          [{"id": str(i), "media": [sha(99)]} for i in every])
    lists = [[{"bytes": image_bytes(10 * i + k), "path": None} for k in range(i % 4)] for i in every]
    write("lists", {"id": ids, "images": pa.array(lists, pa.list_(struct)), "prompt": [f"Compare {i}" for i in every]},
          [{"id": ids[i], "prompt": f"Compare {i}", "media": [sha(10 * i + k) for k in range(i % 4)]} for i in every],
          compression="zstd")
    bare = [[image_bytes(10 * i + k) for k in range(1 + i % 3)] for i in every]
    write("lists_of_bytes", {"id": ids, "images": pa.array(bare, pa.list_(pa.binary()))},
          [{"id": ids[i], "media": [sha(10 * i + k) for k in range(1 + i % 3)]} for i in every])
    asked = [json.dumps([{"role": "user", "content": [{"type": "image"}] * (1 if i == 0 else i % 4) + [{"type": "text", "text": "?"}]}])
             for i in every]
    write("messages", {"id": ids, "images": pa.array(lists, pa.list_(struct)), "messages": asked},
          [{"id": ids[i], "media": [sha(10 * i + k) for k in range(i % 4)]} if i else {"error": "messages show 1"} for i in every])
    write("prompts", {"prompt": ["Hello", None]}, [{"prompt": "Hello", "media": []}, {"error": "shows nothing"}])
    pq.write_table(pa.table({"label": ["a"]}), folder / "other_columns.parquet")
    common.write_json(folder / "manifest.json", {
        "format": common.FORMAT, "remake": "python3 scripts/golden/table_files.py",
        "versions": {"pyarrow": importlib.metadata.version("pyarrow")}, "rows": rows, "files": common.file_hashes(folder)})


if __name__ == "__main__":
    main()
