"""The loss over answers, computed where answers stand and nowhere else."""

from typing import Any


def answer_loss(outputs: Any, labels: Any, items: Any = None) -> Any:
    """Cross-entropy over the answer tokens.

    Args:
        outputs: of the model, with logits [n, kept, vocabulary] of the last `kept` positions.
        labels: [n, length], -100 where nothing is learned.
        items: number of answer tokens to divide by; those of this batch where None.
    """
    import torch

    logits = outputs.logits[:, :-1].float()
    wanted = labels[:, -logits.shape[1] :]
    total = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1), ignore_index=-100, reduction="sum"
    )
    return total / (items if items is not None else (wanted != -100).sum())


def kept(labels: Any) -> int:
    """Positions at the right end whose logits are needed: the longest answer, and the token before it."""
    return int((labels != -100).sum(dim=1).max()) + 1
