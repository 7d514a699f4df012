"""Compares captions.parquet and captions-*.tar of a job with its captions.jsonl. Called by check_formats.sh."""

import importlib.metadata
import json
import math
import sys
from pathlib import Path

import pyarrow.parquet as pq
import webdataset

NAMES = ["id", "caption", "finish_reason", "prompt_tokens", "completion_tokens", "input", "sha256", "numerics", "token_ids", "logprobs", "top_logprobs"]


def single(value):
    """As a 32-bit float."""
    import numpy as np

    return float(np.float32(value))


def main():
    job = Path(sys.argv[1])
    records = [json.loads(line) for line in (job / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    wrong = 0

    table = pq.read_table(job / "captions.parquet")
    print(f"pyarrow {importlib.metadata.version('pyarrow')}: {table.num_rows} rows, {table.schema.to_string()}".replace("\n", ", "))
    assert table.column_names == NAMES and table.num_rows == len(records), "columns or rows"
    for record, row in zip(records, table.to_pylist()):
        row["input"] = json.loads(row["input"])
        row["top_logprobs"] = row["top_logprobs"] and json.loads(row["top_logprobs"])
        wanted = {name: record.get(name) for name in NAMES}
        if wanted["logprobs"] is not None:
            wanted["logprobs"] = [-math.inf if each is None else single(each) for each in wanted["logprobs"]]
        wrong += row != wanted

    tars = sorted(str(path) for path in job.glob("captions-*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    print(f"webdataset {importlib.metadata.version('webdataset')}: {len(samples)} samples in {len(tars)} archives, "
          f"the first under {samples[0]['__key__']}")
    assert len(samples) == len(records), "samples"
    wrong += len({sample["__key__"] for sample in samples}) != len(samples)
    for record, sample in zip(records, samples):
        wrong += sample["json"] != record or sample["txt"] != record["caption"]

    print(f"{len(records)} records, {wrong} differ")
    return 1 if wrong or not records else 0


if __name__ == "__main__":
    sys.exit(main())
