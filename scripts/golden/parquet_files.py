"""Makes Parquet goldens: files that pyarrow writes in many ways, and the cells they hold.

tests/golden/parquet/files/*        one table in many encodings, and files that the reader refuses
tests/golden/parquet/manifest.json
  columns   path -> cells of the table, in order. A cell is null, a text (numbers and booleans as text, too), {"picture":
            [seed, size]} for bytes by the rule of image_bytes(), or a list of these
  files     name -> rows: how often the table is repeated or where it is cut
  refused   name -> column -> a word of the refusal
  nested    name -> column -> its rows as JSON; binary is {"hex": …}
"""

import datetime
import decimal
import importlib.metadata
import random
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

import common
import parquet_nested

ROWS = 36


def image_bytes(seed, size):
    """Bytes in place of an image: no two alike, and no codec compresses them."""
    state, out = (seed * 2654435761 + 1) % 2**32, bytearray()
    for _ in range(size):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return bytes(out)


class ImageBytes:
    def __init__(self, seed, size):
        self.seed, self.size, self.bytes = seed, size, image_bytes(seed, size)


def struct_of(i):
    """An image as Hugging Face stores it: bytes or a path or both, or no image at all."""
    if i % 7 == 3:
        return None
    return {"bytes": None if i % 5 == 1 else ImageBytes(i, 20 + i % 40), "path": None if i % 3 == 2 else f"photos/{i:03d}.jpg"}


def list_of(i):
    """Lists of 0 to 4, absent ones and absent elements among them."""
    if i % 11 == 4:
        return None
    return [None if (i + k) % 9 == 8 else k for k in range(i * 7 % 5)]


def table():
    """Column -> (type, values)."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    every = range(ROWS)
    lists = [list_of(i) for i in every]
    shown = [None if l is None else [None if k is None else struct_of(i + 5 * k) for k in l] for i, l in enumerate(lists)]
    tags = [None if l is None else [None if k is None else f"tag {(i + k) % 6}" for k in l] for i, l in enumerate(lists)]
    return {
        "id": (pa.string(), [f"row-{i:04d}" for i in every]),
        "caption": (pa.string(), [None if i % 6 == 5 else f"Ein Bär № {i % 13} " * (i % 4) for i in every]),
        "label": (pa.string(), [["cat", "dog", "", None][i % 4] for i in every]),
        "small": (pa.int32(), [None if i % 10 == 9 else (-1) ** i * i * 40000000 for i in every]),
        "large": (pa.int64(), [(-1) ** i * i * 2**57 for i in every]),
        "unsigned": (pa.uint64(), [2**64 - 1 - i for i in every]),
        "single": (pa.float32(), [i / 8 for i in every]),
        "double": (pa.float64(), [None if i == 3 else i / 1024 for i in every]),
        "flag": (pa.bool_(), [None if i % 17 == 16 else i % 3 == 0 for i in every]),
        "fixed": (pa.binary(5), [ImageBytes(i, 5) for i in every]),
        "nothing": (pa.string(), [None] * ROWS),
        "image": (image, [struct_of(i) for i in every]),
        "images": (pa.list_(image), shown),
        "tags": (pa.list_(pa.string()), tags),
        "counts": (pa.list_(pa.int32()), [None if l is None else [None if k is None else k - 1 for k in l] for l in lists]),
    }


def plain(value):
    """For pyarrow."""
    if isinstance(value, ImageBytes):
        return value.bytes
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def cell(value):
    """For the manifest."""
    if isinstance(value, ImageBytes):
        return {"picture": [value.seed, value.size]}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, list):
        return [cell(each) for each in value]
    return value if value is None else str(value)


def arrow(columns, required=()):
    fields = [pa.field(name, kind, nullable=name not in required) for name, (kind, _) in columns.items()]
    return pa.table([pa.array(plain(values), kind) for kind, values in columns.values()], schema=pa.schema(fields))


def leaves(columns):
    """Path -> cells: structs are split into their fields, in lists, too."""
    out = {}
    for name, (_, values) in columns.items():
        if name not in ("image", "images"):
            out[name] = [cell(value) for value in values]
            continue
        for part in ("bytes", "path"):
            pick = lambda each: None if each is None else cell(each[part])
            out[f"{name}.{part}"] = [
                [pick(each) for each in value] if isinstance(value, list) else pick(value) for value in values]
    return out


def conversations():
    """The columns that datasets writes for conversations, and each kind of value that has a text of its own."""
    part = pa.struct([("type", pa.string()), ("text", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(part))]))
    text, image = {"type": "text", "text": "What?", "image": None}, {"type": "image", "text": None, "image": {"bytes": b"\xff\x00", "path": None}}
    rows = [[{"role": "user", "content": [image, text]}, {"role": "assistant", "content": None}], [], None,
            [{"role": "user", "content": []}, None, {"role": None, "content": [None, text, image, image]}]]
    day = datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)
    values = {"uuid": (pa.uuid(), [uuid.UUID(int=i * 2**100 + 7).bytes for i in range(4)]),
              "half": (pa.float16(), [0.5, -2.0, 0.25, None]),
              "money": (pa.decimal128(38, 10), [decimal.Decimal(text) for text in ("-0.0000000001", "9" * 28 + ".5", "0", "-1")]),
              "wide": (pa.decimal256(60, 2), [decimal.Decimal(text) for text in ("-1.00", "1" * 58 + ".25", "0.05", "-0.01")]),
              "day": (pa.date32(), [day.date(), datetime.date(2024, 2, 29), datetime.date(1, 1, 1), None]),
              "time": (pa.time32("ms"), [datetime.time(0), datetime.time(23, 59, 59, 999000), None, datetime.time(1, 2, 3)]),
              "moment": (pa.timestamp("us"), [day, datetime.datetime(9999, 12, 31), None, datetime.datetime(2000, 2, 29, 1)]),
              "fixed_list": (pa.list_(pa.int32(), 2), [[1, 2], None, [3, None], [5, 6]]),
              "large_list": (pa.large_list(pa.large_string()), [["a"], [], None, [None]]),
              "word": (pa.dictionary(pa.int32(), pa.string()), ["a", "b", None, "a"]),
              "nothing": (pa.null(), [None] * 4)}
    columns = {name: pa.array(each, kind if name != "uuid" else pa.binary(16)) for name, (kind, each) in values.items()}
    columns["uuid"] = pa.ExtensionArray.from_storage(pa.uuid(), columns["uuid"])
    return pa.table({"messages": pa.array(rows, messages), **columns})


def main():
    folder = common.fresh_folder("parquet")
    (folder / "files").mkdir()
    columns = table()
    whole = arrow(columns)
    files, refused = {}, {}

    def write(name, what=whole, rows=ROWS, **how):
        how = {"compression": "none", "use_dictionary": False, "write_statistics": False, "store_schema": False, **how}
        pq.write_table(what, folder / "files" / f"{name}.parquet", **how)
        files[name] = rows

    write("plain_v1")
    write("plain_v2", data_page_version="2.0")
    write("plain_v1_required", arrow(columns, ("id", "large", "unsigned", "fixed")))
    for codec in ("snappy", "gzip", "zstd"):
        write(f"dictionary_v1_{codec}", use_dictionary=True, compression=codec)
        write(f"plain_v2_{codec}", data_page_version="2.0", compression=codec)
    # Pages of a few values: rows of lists continue from page to page.
    write("small_pages_v1", data_page_size=40, write_batch_size=3, compression="snappy", row_group_size=23)
    write("small_pages_v2", data_page_size=40, write_batch_size=3, data_page_version="2.0", row_group_size=23)
    write("small_pages_dictionary", data_page_size=40, write_batch_size=3, use_dictionary=True, row_group_size=31)
    write("row_groups", row_group_size=11, use_dictionary=["label"])
    write("checksums_and_index", write_page_checksum=True, write_page_index=True, write_statistics=True, store_schema=True,
          compression="zstd")
    write("older_list_names", use_compliant_nested_type=False, version="1.0")
    strings = {"id": "DELTA_BYTE_ARRAY", "caption": "DELTA_LENGTH_BYTE_ARRAY", "label": "DELTA_BYTE_ARRAY",
               "small": "DELTA_BINARY_PACKED", "large": "DELTA_BINARY_PACKED", "unsigned": "DELTA_BINARY_PACKED",
               "flag": "RLE"}
    write("deltas_v1", column_encoding=strings)
    write("deltas_v2", column_encoding=strings, data_page_version="2.0", data_page_size=40, write_batch_size=9)
    write("no_rows", whole.slice(0, 0), rows=0)
    write("one_row", whole.slice(0, 1), rows=1)
    # A dictionary that becomes too large: later pages are plain.
    write("dictionary_given_up", use_dictionary=True, dictionary_pagesize_limit=60, data_page_size=40, write_batch_size=4)

    few = pa.table({"id": ["a", "b"], "x": [1.0, 2.0]})
    for codec in ("brotli", "lz4"):
        pq.write_table(few, folder / "files" / f"refused_{codec}.parquet", compression=codec)
        refused[f"refused_{codec}"] = {"id": codec}
    pq.write_table(few, folder / "files" / "refused_encoding.parquet", use_dictionary=False,
                   column_encoding={"id": "PLAIN", "x": "BYTE_STREAM_SPLIT"})
    refused["refused_encoding"] = {"x": "byte_stream_split"}
    times = pa.table({"when": pa.array([1, 2], pa.timestamp("ns"))})
    pq.write_table(times, folder / "files" / "refused_types.parquet", use_deprecated_int96_timestamps=True)
    refused["refused_types"] = {"when": "int96"}

    nested = {}
    for i in range(12):
        rng = random.Random(i)
        what = parquet_nested.random_table(rng, 9)
        pq.write_table(what, folder / "files" / f"nested_{i}.parquet", **parquet_nested.random_writer(rng))
        nested[f"nested_{i}"] = parquet_nested.rows_of(what)
    what = conversations()
    for name, how in {"v1": {}, "v2": {"data_page_version": "2.0", "data_page_size": 10, "write_batch_size": 1}}.items():
        pq.write_table(what, folder / "files" / f"nested_{name}.parquet", use_dictionary=False, write_statistics=False, **how)
        nested[f"nested_{name}"] = parquet_nested.rows_of(what)

    manifest = {"format": common.FORMAT, "remake": "scripts/golden/make.sh parquet_files",
                "versions": {"pyarrow": importlib.metadata.version("pyarrow")}, "columns": leaves(columns), "rows": files,
                "refused": refused, "nested": nested,
                "files": common.file_hashes(folder)}
    common.write_json(folder / "manifest.json", manifest)


if __name__ == "__main__":
    main()
