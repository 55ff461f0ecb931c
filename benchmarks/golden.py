"""Score published predictions.

    python benchmarks/golden.py

The two files are the class pairs of a fine-tuned GLM-4 on the CMCC test set, before and after LLM augmentation.
"""

from common import SHARED, arguments, dump, table

from workbench.evaluate import CompareConfig
from workbench.flow.evaluate.run import score_file


def main() -> None:
    """Score both files and compare them."""
    arguments(__doc__ or "").parse_args()
    folder = SHARED / "data" / "cmcc34_synthetic"
    before, after = folder / "predictions_baseline.csv", folder / "predictions_after_llm_augmentation.csv"
    found = score_file(after, "union", before, CompareConfig())
    wanted = {"baseline": (0.6185, 0.4026), "after": (0.6121, 0.4722)}
    lines = []
    for name, scores in (("baseline", found["baseline"]), ("after", found)):
        accuracy, macro = scores["accuracy"], scores["macro_f1"]
        right = round(accuracy["value"], 4) == wanted[name][0] and round(macro["value"], 4) == wanted[name][1]
        spans = [f"{m['value']:.4f} [{m['low']:.4f}, {m['high']:.4f}]" for m in (accuracy, macro)]
        lines.append((name, accuracy["n"], *spans, "as published" if right else f"published: {wanted[name]}"))
    table(["file", "rows", "accuracy", "macro-F1 (union)", ""], lines)
    dump({"verdict": found["verdict"]["say"]})


if __name__ == "__main__":
    main()
