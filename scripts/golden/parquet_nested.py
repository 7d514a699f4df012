"""Random nested tables, and the JSON that each of their rows must become; used by parquet_files.py.

python3 scripts/golden/parquet_nested.py FOLDER COUNT SEED writes COUNT tables as FOLDER/N.parquet, and their rows as pyarrow
holds them as FOLDER/N.json: column -> rows.
"""

import datetime
import decimal
import json
import pathlib
import random
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

SCALARS = [pa.string(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64(), pa.float64(), pa.float32(), pa.bool_(), pa.binary(),
           pa.date32(), pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.time64("us"), pa.decimal128(20, 3), pa.binary(4)]


def random_type(rng, depth):
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return rng.choice(SCALARS)
    if kind < 0.6:
        return pa.list_(pa.field("element", random_type(rng, depth - 1), nullable=rng.random() < 0.8))
    if kind < 0.7:
        return pa.map_(pa.string(), random_type(rng, depth - 1))
    return pa.struct([pa.field(f"f{i}", random_type(rng, depth - 1), nullable=rng.random() < 0.8)
                      for i in range(rng.randint(1, 4))])


def random_scalar(rng, kind):
    if pa.types.is_string(kind):
        return rng.choice(["", "a", "Ein Bär № 7", "x" * rng.randint(0, 30), "role", "\u0000\n"])
    if pa.types.is_integer(kind):
        top = 2 ** (kind.bit_width - (1 if pa.types.is_signed_integer(kind) else 0))
        return rng.choice([0, 1, top - 1, rng.randrange(top), -(top // 2) if pa.types.is_signed_integer(kind) else 5])
    if pa.types.is_floating(kind):
        return rng.choice([0.0, -1.5, rng.randint(-9999, 9999) / 8])
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if pa.types.is_binary(kind):
        return rng.randbytes(rng.randint(0, 12))
    if pa.types.is_decimal(kind):
        return decimal.Decimal(rng.randint(-10**rng.randint(1, 19), 10**12)).scaleb(-3)
    instant = datetime.datetime(1970, 1, 1) + datetime.timedelta(days=rng.randint(-300000, 900000), milliseconds=rng.randint(0, 86399999))
    if pa.types.is_date(kind):
        return instant.date()
    if pa.types.is_time(kind):
        return instant.time()
    return instant.replace(tzinfo=datetime.timezone.utc) if kind.tz else instant


def random_value(rng, field):
    kind = field.type
    if field.nullable and rng.random() < 0.25:
        return None
    if pa.types.is_map(kind):
        return {f"k{i}": random_value(rng, kind.item_field) for i in range(rng.choice([0, 1, 2, 3]))}
    if pa.types.is_list(kind):
        return [random_value(rng, kind.value_field) for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 7]))]
    if pa.types.is_struct(kind):
        return {each.name: random_value(rng, each) for each in kind}
    return random_scalar(rng, kind)


def as_json(kind, value):
    """What runtime/formats/parquet/nested.h promises for a value of pyarrow's to_pylist()."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {key: as_json(kind.item_type, each) for key, each in value}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [as_json(kind.value_type, each) for each in value]
    if pa.types.is_struct(kind):
        return {each.name: as_json(each.type, value[each.name]) for each in kind}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    return value


def random_table(rng, rows):
    fields = [pa.field(f"c{i}", random_type(rng, rng.randint(1, 4)), nullable=rng.random() < 0.8) for i in range(3)]
    columns = [pa.array([random_value(rng, field) for _ in range(rows)], field.type) for field in fields]
    return pa.table(columns, schema=pa.schema(fields))


def random_writer(rng):
    # Dictionaries and deltas, pages of a few values, row groups of a few rows.
    return {"compression": rng.choice(["none", "snappy", "gzip", "zstd"]), "use_dictionary": rng.random() < 0.5,
            "data_page_version": rng.choice(["1.0", "2.0"]), "use_compliant_nested_type": rng.random() < 0.7,
            "row_group_size": rng.choice([3, 7, 1000]), "data_page_size": rng.choice([20, 100, 1 << 20]),
            "write_batch_size": rng.choice([1, 3, 1024]), "store_schema": rng.random() < 0.5, "write_statistics": False}


def rows_of(table):
    return {name: [as_json(table.schema.field(name).type, each) for each in table.column(name).to_pylist()]
            for name in table.column_names}


def main():
    folder, count, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        rng = random.Random(seed * 1000003 + i)
        table = random_table(rng, rng.randint(1, 40))
        pq.write_table(table, folder / f"{i}.parquet", **random_writer(rng))
        (folder / f"{i}.json").write_text(json.dumps(rows_of(table)))


if __name__ == "__main__":
    main()
