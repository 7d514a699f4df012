"""Makes goldens of Parquet files as inputs: tables with images as pyarrow and Hugging Face's datasets write them.

tests/golden/table_files/*.parquet
tests/golden/table_files/manifest.json
  rows     file -> a list of {id?, prompt?, system?, messages?, media: [sha256 or null], error?}
  refused  file -> words of the refusal

Needs only pyarrow: python3 scripts/golden/table_files.py
"""

import datetime
import decimal
import importlib.metadata
import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

import common


def image_bytes(i):
    return f"bytes of picture {i} ".encode() * (1 + i * 5 % 11)


def sha(i):
    return common.sha256(image_bytes(i))


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def text(value):
    return {"type": "text", "text": value}


def asked(*content):
    """What becomes of a message of a user: images are shown by place alone."""
    return [{"role": "user", "content": [{"type": "image"} if part == "image" else text(part) for part in content]}]


def conversations(write):
    """Typed columns of messages and of LLaVA's conversations, in the forms in which datasets writes them."""
    part = pa.struct([("index", pa.int64()), ("text", pa.string()), ("type", pa.string())])
    messages = pa.list_(pa.struct([("content", pa.list_(part)), ("role", pa.string())]))
    ask = lambda *parts: [{"role": "user", "content": list(parts)}]
    words = lambda value: {"index": None, "text": value, "type": "text"}
    shown = lambda index: {"index": index, "text": None, "type": "image"}
    two = [{"bytes": image_bytes(i), "path": None} for i in (1, 2)]
    rows = [(ask(words("One?"), shown(0)), two[:1], {"messages": asked("One?", "image"), "media": [sha(1)]}),
            (ask(shown(1), words("Two?"), shown(0)), two, {"messages": asked("image", "Two?", "image"), "media": [sha(2), sha(1)]}),
            (ask(shown(None), shown(None)), two, {"messages": asked("image", "image"), "media": [sha(1), sha(2)]}),
            (ask(words("None?")), None, {"messages": asked("None?"), "media": []}),
            (ask(words("None?")), [], {"messages": asked("None?"), "media": []}),
            (ask(shown(2)), two, {"error": "index: wanted one of the row's 2"}),
            (ask(shown(0)), two, {"error": "messages show 1 of the row's images and videos, it has 2"}),
            (ask(shown(0)), None, {"error": "index: wanted one of the row's 0"}),
            (ask(shown(None)), None, {"error": "messages show 1"}),
            ([], None, {"error": "list of messages"}),
            (None, two, {"media": [sha(1), sha(2)]}),
            (None, None, {"error": "shows nothing"}),
            ([None], None, {"error": "wanted an object with a role"}),
            ([{"role": None, "content": [words("?")]}], None, {"error": "wanted an object with a role"}),
            ([{"role": "user", "content": None}], None, {"messages": [{"role": "user", "content": ""}], "media": []})]
    write("typed_messages", {"messages": pa.array([row[0] for row in rows], messages), "images": pa.array([row[1] for row in rows], pa.list_(IMAGE))},
          [row[2] for row in rows], row_group_size=4)
    rows = [[{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}]] * 2
    write("typed_texts", {"messages": pa.array(rows, pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))},
          [{"messages": rows[0], "media": []}] * 2, data_page_version="2.0")
    maps = [[[("role", "user"), ("content", "Hello")]]]
    write("typed_maps", {"messages": pa.array(maps, pa.list_(pa.map_(pa.string(), pa.string())))},
          [{"messages": rows[0][1:], "media": []}])
    inside = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(pa.struct([
        ("type", pa.string()), ("text", pa.string()), ("image", IMAGE), ("image_url", pa.struct([("url", pa.string())])),
        ("max_pixels", pa.int64()), ("video", pa.list_(IMAGE)), ("fps", pa.float32())])))]))
    own = lambda **keys: [{"role": "user", "content": [{"type": "text", "text": "?"}, keys]}]
    empty = {"bytes": None, "path": None}
    rows = [(own(type="image", image={"bytes": image_bytes(3), "path": "gone.jpg"}), [sha(3)]),
            (own(type="image", image={"bytes": None, "path": "beside.jpg"}), [sha(99)]),
            (own(type="image_url", image_url={"url": "beside.jpg"}), [sha(99)]),
            (own(type="text", text="!", image=empty), []),
            (own(type="video", video=[{"bytes": image_bytes(4), "path": None}, {"bytes": None, "path": "beside.jpg"}], fps=2.0),
             [common.sha256(image_bytes(4) + image_bytes(99))]),
            (own(type="image", image=empty), "messages show 1"),
            (own(type="image", image={"bytes": None, "path": "beside.jpg"}, max_pixels=4096), "max_pixels is not served")]
    write("typed_images_inside", {"messages": pa.array([row[0] for row in rows], inside)},
          [{"error": row[1]} if isinstance(row[1], str) else {"media": row[1]} for row in rows])
    bare = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(pa.struct([("type", pa.string()), ("image", pa.binary())])))]))
    rows = [[{"role": "user", "content": [{"type": "image", "image": image_bytes(k)} for k in range(i)]}] for i in (1, 3)]
    write("typed_bytes_inside", {"messages": pa.array(rows, bare)},
          [{"messages": asked(*["image"] * i), "media": [sha(k) for k in range(i)]} for i in (1, 3)])
    turns = lambda *texts: [{"from": "human" if i % 2 == 0 else "gpt", "value": each} for i, each in enumerate(texts)]
    rows = [(turns("<image>\nHow many?", "Two."), {"bytes": image_bytes(1), "path": None}, {"messages": asked("image", "How many?"), "media": [sha(1)]}),
            (turns("Hello"), None, {"messages": asked("Hello"), "media": []}),
            (turns("<image>Hello"), None, {"error": "is no image of the line"}),
            (None, {"bytes": image_bytes(2), "path": None}, {"media": [sha(2)]})]
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    image = pa.array([row[1] for row in rows], IMAGE)
    write("typed_conversations", {"conversations": pa.array([row[0] for row in rows], kind), "image": image}, [row[2] for row in rows])
    sequence = pa.array([row[0] and {key: [turn[key] for turn in row[0]] for key in ("from", "value")} for row in rows],
                        pa.struct([("from", pa.list_(pa.string())), ("value", pa.list_(pa.string()))]))
    write("sequence_conversations", {"conversations": sequence, "image": image, "system": ["Be short.", None, "", None]},
          [{**rows[0][2], "messages": [{"role": "system", "content": "Be short."}] + rows[0][2]["messages"]}, rows[1][2], rows[2][2],
           rows[3][2]])
    write("questions", {"question": ["Who?", None, "What?"], "prompt": [None, None, "Why?"], "image": [image_bytes(1)] * 3,
                        "answer": ["A cat", "A dog", "A bird"], "system": ["Be short.", None, ""], "messages": pa.nulls(3)},
          [{"prompt": "Who?", "system": "Be short.", "media": [sha(1)]}, {"media": [sha(1)]}, {"prompt": "Why?", "media": [sha(1)]}],
          compression={"answer": "brotli"})


def identities(write):
    """Ids of every type keep its text."""
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3)
    columns = {
        "uuid": (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, uuid.UUID(int=2**127).bytes], pa.binary(16))),
                 ["00000000-0000-0000-0000-000000000007", "80000000-0000-0000-0000-000000000000"]),
        "bare_uuid": (pa.array([b"\xff\xfe" * 8, b"\xff\xfd" * 8], pa.binary(16)), ["\\xff\\xfe" * 8, "\\xff\\xfd" * 8]),
        "binary": (pa.array([b"caf\xc3\xa9", b"caf\xe9"], pa.binary()), ["café", "caf\\xe9"]),
        "int8": (pa.array([-1, 7], pa.int8()), ["-1", "7"]),
        "uint64": (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
        "float": (pa.array([3.0, 0.1], pa.float64()), ["3", "0.1"]),
        "decimal": (pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.01")], pa.decimal128(20, 2)), ["12.50", "-0.01"]),
        "date": (pa.array([moment.date(), None], pa.date32()), ["2024-02-29", None]),
        "timestamp": (pa.array([moment, moment.replace(microsecond=5)], pa.timestamp("us", "UTC")),
                      ["2024-02-29T01:02:03+00:00", "2024-02-29T01:02:03.000005+00:00"]),
        "bool": (pa.array([True, False]), ["true", "false"]),
        "dictionary": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"])}
    for name, (ids, texts) in columns.items():
        write(f"id_{name}", {"id": ids, "prompt": ["Hello"] * 2},
              [{"prompt": "Hello", "media": [], **({} if each is None else {"id": each})} for each in texts])


def refusals(folder):
    """Tables that are refused as a whole, and words of the refusal."""
    hello = ["Hello"]
    words = pa.array([[{"role": "user", "content": "Hello"}]], pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))
    pairs = pa.array([[{"user": "a", "assistant": "b"}]], pa.list_(pa.struct([("user", pa.string()), ("assistant", pa.string())])))
    bytes_ = pa.array([image_bytes(1)], pa.binary())
    plain = lambda **columns: (pa.table(columns), {})
    tables = {
        "list_of_texts": (plain(messages=pa.array([["a"]]), image=bytes_), ["messages is list<string>", "list<struct<role, content>>"]),
        "numbers": (plain(messages=[1], image=bytes_), ["messages is int64"]),
        "lists_of_lists": (plain(messages=pa.array([[["a"]]]), image=bytes_), ["messages is list<list<string>>"]),
        "one_object": (plain(conversations=pa.array([{"from": "human", "value": "a"}]), image=bytes_), ["conversations is struct<from"]),
        "prompt_of_messages": (plain(prompt=words, image=bytes_), ["prompt is list<struct<role", "to messages"]),
        "prompts_in_list": (plain(prompt=pa.array([hello]), image=bytes_), ["prompt is list<string>, wanted text"]),
        "id_in_struct": (plain(id=pa.array([{"a": 1}]), image=bytes_), ["id is struct<a: int64>"]),
        "near_name": (plain(promt=hello, image=bytes_), ["promt", 'may mean "prompt"']),
        "one_letter_less": (plain(message=words, image=bytes_), ["message", 'may mean "messages"']),
        "other_name": (plain(texts=pairs, image=bytes_), ["texts is list<struct<user", "looks like a conversation"]),
        "chat": (plain(chat=words, image=bytes_), ["chat is list<struct<role", "give --prompt"]),
        "image_of_numbers": (plain(image=pa.array([[1, 2]]), prompt=hello), ["image is list<int64>, wanted bytes"]),
        "image_in_other_struct": (plain(image=pa.array([{"data": b"a"}])), ["image is struct<data: binary>"]),
        "images_in_lists": (plain(images=pa.array([[[b"a"]]])), ["images is list<list<binary>>"]),
        "part_of_a_video": (plain(video=["a.mp4"], video_start=[1.5]), ["column video_start is not served yet"]),
        "size_of_an_image": (plain(image=pa.array([{"bytes": b"a", "max_pixels": 4096}])), ["image has a field max_pixels"]),
        "brotli": ((pa.table({"id": hello, "prompt": hello}), {"compression": {"id": "snappy", "prompt": "brotli"}}),
                   ["column prompt is compressed with brotli", "pyarrow.parquet", "brotli.parquet' new.parquet"]),
        "lz4": ((pa.table({"messages": words}), {"compression": "lz4"}), ["column messages.role is compressed with lz4"]),
        "lz4_image": ((pa.table({"image": pa.array([{"bytes": b"a", "path": "b"}], IMAGE)}),
                       {"compression": {"image.bytes": "lz4", "image.path": "none"}}), ["column image.bytes is compressed with lz4"]),
        "split_floats": ((pa.table({"id": [1.5], "prompt": hello}), {"use_dictionary": False, "column_encoding": {
            "id": "BYTE_STREAM_SPLIT", "prompt": "PLAIN"}}), ["column id is encoded as byte_stream_split"]),
        "int96": ((pa.table({"id": pa.array([1], pa.timestamp("ns")), "prompt": hello}), {"use_deprecated_int96_timestamps": True}),
                  ["column id is of type int96"])}
    (folder / "refused").mkdir()
    for name, ((table, options), _) in tables.items():
        pq.write_table(table, folder / "refused" / f"{name}.parquet", **options)
    return {f"refused/{name}.parquet": found for name, (_, found) in tables.items()}


def main():
    folder = common.fresh_folder("table_files")
    rows = {}
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
    write("struct", {"id": ids, "image": pa.array(images, IMAGE), "width": list(every)},
          [{"id": ids[i], "media": media[i]} for i in every], row_group_size=4)
    write("bytes", {"image": pa.array([image_bytes(i) for i in every], pa.binary()), "prompt": [f"Ask {i}" for i in every]},
          [{"prompt": f"Ask {i}", "media": [sha(i)]} for i in every], compression="none")
    write("paths", {"id": list(every), "image": ["beside.jpg"] * 9},
          [{"id": str(i), "media": [sha(99)]} for i in every])
    lists = [[{"bytes": image_bytes(10 * i + k), "path": None} for k in range(i % 4)] for i in every]
    write("lists", {"id": ids, "images": pa.array(lists, pa.list_(IMAGE)), "prompt": [f"Compare {i}" for i in every]},
          [{"id": ids[i], "prompt": f"Compare {i}", "media": [sha(10 * i + k) for k in range(i % 4)]} for i in every],
          compression="zstd")
    bare = [[image_bytes(10 * i + k) for k in range(1 + i % 3)] for i in every]
    write("lists_of_bytes", {"id": ids, "images": pa.array(bare, pa.list_(pa.binary()))},
          [{"id": ids[i], "media": [sha(10 * i + k) for k in range(1 + i % 3)]} for i in every])
    texts = [json.dumps([{"role": "user", "content": [{"type": "image"}] * (1 if i == 0 else i % 4) + [{"type": "text", "text": "?"}]}])
             for i in every]
    write("messages", {"id": ids, "images": pa.array(lists, pa.list_(IMAGE)), "messages": texts},
          [{"id": ids[i], "media": [sha(10 * i + k) for k in range(i % 4)]} if i else {"error": "messages show 1"} for i in every])
    write("prompts", {"prompt": ["Hello", None]}, [{"prompt": "Hello", "media": []}, {"error": "shows nothing"}])
    conversations(write)
    identities(write)
    pq.write_table(pa.table({"label": ["a"]}), folder / "other_columns.parquet")
    common.write_json(folder / "manifest.json", {
        "format": common.FORMAT, "remake": "python3 scripts/golden/table_files.py",
        "versions": {"pyarrow": importlib.metadata.version("pyarrow")}, "rows": rows, "refused": refusals(folder),
        "files": common.file_hashes(folder)})


if __name__ == "__main__":
    main()
