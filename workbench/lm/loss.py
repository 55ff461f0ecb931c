"""The loss over answers, computed where answers stand and nowhere else."""

from typing import Any


def answer_loss(outputs: Any, labels: Any, items: Any = None) -> Any:
    """Cross-entropy over the answer tokens.

    Args:
        outputs: of the model, with logits [n, kept, vocabulary] at the positions that `kept` names.
        labels: [n, length], -100 where nothing is learned.
        items: number of answer tokens to divide by; those of this batch where None.
    """
    import torch

    logits = outputs.logits.float()
    wanted = labels[:, -logits.shape[1] :]
    total = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1), ignore_index=-100, reduction="sum"
    )
    return total / (items if items is not None else (wanted != -100).sum())


def kept(labels: Any) -> Any:
    """Positions whose logits are needed, [kept]: from the one before the longest answer to the one before the last token.

    Named one by one, not as a number of positions at the end: what the model cuts out is then a copy without gaps. On a view with
    gaps, torch multiplies row by row, each with a copy of the whole output layer of its own.
    """
    import torch

    length = labels.shape[1]
    longest = int((labels != -100).sum(dim=1).max())
    return torch.arange(length - longest - 1, length - 1, device=labels.device)
