"""The same likelihoods, computed in the two plain ways: what `scoring` must equal, and what is left where a tree cannot be used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


def naive(model: Any, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> Scores:
    """[k] log-probability of each answer, one whole sequence per answer in one right-padded batch without a cache."""
    import torch

    device = model.get_input_embeddings().weight.device
    ids, mask = _padded([[*prompt, *answer] for answer in answers])
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            use_cache=False,
        ).logits.float()
        start = len(prompt) - 1
        found = [
            torch.log_softmax(logits[row, start : start + len(answer)], dim=-1)[range(len(answer)), list(answer)].sum()
            for row, answer in enumerate(answers)
        ]
        scores: Scores = torch.stack(found).cpu().numpy()
    return scores


def repeated(model: Any, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> Scores:
    """[k] likewise: the prompt once, its key-value cache repeated for each answer, the answers as one batch behind it."""
    import torch

    device = model.get_input_embeddings().weight.device
    ids, mask = _padded(answers)
    with torch.inference_mode():
        read = model(input_ids=torch.tensor([list(prompt)], device=device), use_cache=True, logits_to_keep=1)
        cache = read.past_key_values
        cache.batch_repeat_interleave(len(answers))
        tokens, real = torch.tensor(ids, device=device), torch.tensor(mask, device=device)
        first = torch.log_softmax(read.logits[0, -1].float(), dim=-1)[tokens[:, 0]]
        if tokens.shape[1] == 1:
            return np.asarray(first.cpu().numpy(), dtype=np.float32)
        before = torch.ones((len(answers), len(prompt)), dtype=real.dtype, device=device)
        logits = model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([before, real[:, :-1]], dim=1),
            past_key_values=cache,
            use_cache=True,
        ).logits.float()
        each = torch.log_softmax(logits, dim=-1).gather(-1, tokens[:, 1:, None])[..., 0]
        found = first + (each * real[:, 1:]).sum(dim=1)
    return np.asarray(found.cpu().numpy(), dtype=np.float32)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids filled up on the right with zeros, and 1 where they are real."""
    width = max(map(len, rows))
    ids = [[int(token) for token in row] + [0] * (width - len(row)) for row in rows]
    return ids, [[1] * len(row) + [0] * (width - len(row)) for row in rows]
