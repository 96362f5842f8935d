"""Writes small Parquet files of every kind that is read, the inputs that fuzzing begins with: fuzz/corpus/data/seed-parquet-*.

    pip install pyarrow && python scripts/make_parquet_seeds.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus" / "data"

TEXTS = pa.table({"text": ["a text", "b c", "b"], "label": [0, 1, 1]})
NULLS = pa.table({"text": ["a text", None], "label": ["x", "y"]})
TAGGED = pa.table({"tokens": [["x", "y"], ["z"]], "tags": [["B-c", "O"], ["O"]]})
SPANS = pa.table({"text": ["a b"], "spans": [[{"start": 0, "end": 1, "type": "t"}]]})
ALIKE = pa.table({"text": ["prefix a", "prefix b", "prefix"], "label": ["x", "y", "x"]})
PAIRS = pa.table({"anchor": ["a", "b", "c"], "positive": ["d", "e", "f"]})

PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False, "store_schema": False}
LENGTHS = {"text": "DELTA_LENGTH_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"}
SHARED = {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_BYTE_ARRAY"}

for name, table, how in [
    ("plain", TEXTS, {}),
    ("nulls", NULLS, {}),
    ("dictionary", TEXTS, {"use_dictionary": True}),
    ("snappy", TAGGED, {"compression": "snappy", "use_dictionary": True}),
    ("gzip", TEXTS, {"compression": "gzip"}),
    ("gzip-v2", TAGGED, {"compression": "gzip", "data_page_version": "2.0"}),
    ("zstd-v2", SPANS, {"compression": "zstd", "data_page_version": "2.0"}),
    ("lengths", TEXTS, {"column_encoding": LENGTHS}),
    ("shared", ALIKE, {"column_encoding": SHARED}),
    ("statistics", TAGGED, {"write_statistics": True, "write_page_index": True, "store_schema": True}),
    ("groups", PAIRS, {"row_group_size": 1}),
]:
    pq.write_table(table, CORPUS / f"seed-parquet-{name}", **PLAIN | how)
