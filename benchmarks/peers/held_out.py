"""Loss of adapters on the answers of held-out rows: the base in float32, adapters by plain peft.

`held_out.py JOB.json` writes, for each adapter, summed loss and number of answer tokens of every row.
"""

import json
import sys
from pathlib import Path
from typing import Any

BATCH = 8


def main() -> None:
    """Load the base once and each adapter in turn."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
    found = {"base": losses(base, job["rows"])}
    for name, adapter in job["adapters"].items():
        tuned = PeftModel.from_pretrained(base, adapter).eval()
        found[name] = losses(tuned, job["rows"])
        base = tuned.unload()
    Path(job["measured"]).write_text(json.dumps(found), encoding="utf-8")


def losses(model: Any, rows: list[dict[str, list[int]]]) -> list[tuple[float, int]]:
    """Summed loss over the answer of each row, and its tokens. Padded on the right, where nothing looks."""
    import torch

    found: list[tuple[float, int]] = []
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["prompt"]) + len(rows[i]["answer"]))
    for start in range(0, len(order), BATCH):
        some = [rows[i]["prompt"] + rows[i]["answer"] for i in order[start : start + BATCH]]
        longest = max(len(ids) for ids in some)
        ids = torch.tensor([one + [0] * (longest - len(one)) for one in some])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in some])
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for place, i in enumerate(order[start : start + BATCH]):
            first, answer = len(rows[i]["prompt"]), rows[i]["answer"]
            said = logits[place, first - 1 : first - 1 + len(answer)].log_softmax(dim=-1)
            wanted = torch.tensor(answer)
            found.append((-float(said[torch.arange(len(answer)), wanted].sum()), len(answer)))
    back = dict(zip(order, found, strict=True))
    return [back[i] for i in range(len(rows))]


if __name__ == "__main__":
    main()
