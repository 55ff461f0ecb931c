"""Special tokens that a model did not have: into its tokenizer, and rows for them into its embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any


def add_tokens(tokenizer: Any, tokens: Sequence[str]) -> list[int]:
    """Add those that the tokenizer lacks, as special tokens; returns their ids.

    Those that it has (`<|user|>` of GLM-4) stay as they are.
    """
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    new = [token for token in dict.fromkeys(tokens) if token not in known]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in new], special_tokens=True)
    return [int(tokenizer.convert_tokens_to_ids(token)) for token in new]


def make_room(model: Any, tokenizer: Any) -> bool:
    """Give the embeddings a row for every token of the tokenizer; whether they had to grow.

    Many models have spare rows (GLM-4 some 200), which are taken first.
    """
    if len(tokenizer) <= model.get_input_embeddings().weight.shape[0]:
        return False
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return True


def begin_rows(model: Any, tokenizer: Any, ids: Sequence[int], words: Mapping[int, str]) -> None:
    """Set the rows of new tokens to the mean of the rows of the words that say what they mean.

    Args:
        model: with room for them.
        tokenizer: that has them.
        ids: of the new tokens.
        words: id -> words; where there are none, the letters of the token itself.
    """
    import torch

    matrices = {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None}
    new = set(ids)
    with torch.no_grad():
        for i in ids:
            text = words.get(i) or str(tokenizer.convert_ids_to_tokens(i)).strip("<|>").replace("_", " ")
            pieces = [p for p in tokenizer(text, add_special_tokens=False)["input_ids"] if p not in new]
            for matrix in matrices.values():
                rows = matrix.weight[pieces] if pieces else matrix.weight[: min(ids)]
                matrix.weight[i] = rows.float().mean(dim=0).to(matrix.weight.dtype)
