"""Let a model write its answer: along the tree of allowed answers, or freely with a parser behind it."""

from collections.abc import Sequence
from typing import Any

from workbench.lm.tree import TokenTree


def constrained(model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int) -> list[int]:
    """[n] which answer greedy decoding writes, where only beginnings of answers may be written: always a valid one.

    The likeliest next token at each step need not lead to the likeliest whole answer; `scoring` finds that.

    Args:
        model: a causal language model of `transformers`.
        prompts: token ids of each prompt.
        answers: token ids of each answer; the longer one is written where an answer is the beginning of another.
        pad: token that prompts are filled up with, on the left.
    """
    tree = TokenTree.build(answers)
    width = max(map(len, prompts))
    ends = {int(answer[-1]) for answer in answers}
    stop = next(iter(ends))

    def allowed(row: int, ids: Any) -> list[int]:
        return tree.children(ids[width:].tolist()) or [stop]

    written = _generate(
        model, prompts, pad, max(map(len, answers)), prefix_allowed_tokens_fn=allowed, eos_token_id=None
    )
    return [_longest(ids, answers) for ids in written]


def free(model: Any, prompts: Sequence[Sequence[int]], pad: int, most: int, ends: Sequence[int]) -> list[list[int]]:
    """[n] token ids that greedy decoding writes, without the end token and what follows it.

    Args:
        model: a causal language model of `transformers`.
        prompts: token ids of each prompt.
        pad: token that prompts are filled up with, on the left.
        most: tokens that an answer may have.
        ends: tokens that end an answer.
    """
    written = _generate(model, prompts, pad, most, eos_token_id=list(ends))
    stops = set(ends)
    return [ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))] for ids in written]


def _generate(model: Any, prompts: Sequence[Sequence[int]], pad: int, most: int, **options: Any) -> list[list[int]]:
    import torch

    device = model.get_input_embeddings().weight.device
    width = max(map(len, prompts))
    ids = [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    with torch.inference_mode():
        out = model.generate(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            max_new_tokens=most,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
            **options,
        )
    return [[int(token) for token in row] for row in out[:, width:].tolist()]


def _longest(ids: Sequence[int], answers: Sequence[Sequence[int]]) -> int:
    """The longest answer that stands at the beginning of what was written."""
    fit = [i for i, answer in enumerate(answers) if list(ids[: len(answer)]) == [int(token) for token in answer]]
    return max(fit, key=lambda i: len(answers[i]))
