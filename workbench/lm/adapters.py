"""Low-rank adapters: put on, saved in peft's own format with the tokenizer beside them, loaded again, merged into the base."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import DataError, need
from workbench.lm.architecture import EXTRA, FEATURE, targets_of
from workbench.lm.load import Precision, Quantise, load_base, load_tokenizer, quiet
from workbench.lm.special import make_room
from workbench.runs import read_json

ADAPTER = "adapter"
"""Folder of the adapter in a run."""
_CONFIG = "adapter_config.json"


def attach(
    model: Any, *, r: int, alpha: int, dropout: float, targets: Sequence[str] = (), tokens: Sequence[int] = ()
) -> Any:
    """Freeze the model and put an adapter on it, in float32.

    Of new special tokens only the rows are trained (peft's `trainable_token_indices`), in the input embedding and, where that is
    another matrix, in the output layer. Training both matrices of GLM-4-9B whole would take 20 GB for 1.2 billion parameters.

    Args:
        model: base model.
        r: rank.
        alpha: the adapter is scaled by alpha / r.
        dropout: on the input of the adapter.
        targets: names of linear layers; by the architecture where empty.
        tokens: ids of new special tokens.

    Raises:
        ConfigError: the architecture is not known and no targets are given.
    """
    need("peft", extra=EXTRA, feature=FEATURE)
    from peft import LoraConfig, get_peft_model

    for parameter in model.parameters():
        parameter.requires_grad = False
    model.config.use_cache = False
    settings = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets_of(model.config.model_type, targets),
        trainable_token_indices=_rows(model, tokens) if tokens else None,
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, settings)
    for parameter in tuned.parameters():
        if parameter.requires_grad:  # a step of 2e-4 is lost in the 8 bits that bfloat16 has
            parameter.data = parameter.data.float()
    return tuned


@contextmanager
def inputs_cast(model: Any, cast: bool) -> Iterator[None]:
    """Whether adapters turn what comes in into the type of their weights, float32, as long as this lasts.

    Under autocast that is undone at once, and what came in is kept twice for the backward pass. peft leaves it out under
    autocast of a GPU; it does not see that of a processor. Without autocast it is needed.
    """
    name = "cast_input_dtype_enabled"
    before = [(module, getattr(module, name)) for module in model.modules() if hasattr(module, name)]
    for module, _ in before:
        setattr(module, name, cast)
    try:
        yield
    finally:
        for module, was in before:
            setattr(module, name, was)


def _rows(model: Any, tokens: Sequence[int]) -> dict[str, list[int]]:
    """Which rows of which matrices are trained; peft finds an output layer that is tied by itself."""
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    ids = sorted(tokens)
    found = {names[id(model.get_input_embeddings())]: ids}
    if not getattr(model.config, "tie_word_embeddings", False):
        found[names[id(model.get_output_embeddings())]] = ids
    return found


def save(model: Any, tokenizer: Any, folder: Path, *, state: Any = None) -> None:
    """Write adapter and tokenizer, as safetensors and JSON.

    The embeddings are not saved, though they may have grown: the trained rows are part of the adapter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {} if state is None else {"state_dict": state}
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False, **options)
    tokenizer.save_pretrained(str(folder))


def replace(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write adapter and tokenizer, whole or not at all, in place of what was there."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save(model, tokenizer, partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def base_of(adapter: Path) -> str:
    """Name or path of the model that an adapter was trained on.

    Raises:
        DataError: the folder holds no adapter.
    """
    if not (adapter / _CONFIG).is_file():
        raise DataError(f"{adapter} holds no adapter ({_CONFIG} is missing).", "Name a run of --method qlora.")
    return str(read_json(adapter / _CONFIG)["base_model_name_or_path"])


def load_tuned(
    adapter: Path, *, base: str = "", quantise: Quantise = "nf4", precision: Precision = "auto", trainable: bool = False
) -> tuple[Any, Any]:
    """Model with its adapter, and tokenizer.

    Args:
        adapter: folder in peft's format with a tokenizer.
        base: name or path of the base model where it is no longer the one that is written in the adapter.
        quantise: how the base is loaded.
        precision: what is computed in.
        trainable: whether training goes on.

    Raises:
        DataError: the folder holds no adapter.
        ConfigError: the base cannot be loaded.
    """
    source = base or base_of(adapter)
    quiet()  # before anything imports bitsandbytes
    need("peft", extra=EXTRA, feature=FEATURE)
    tokenizer = load_tokenizer(str(adapter))
    model = load_base(source, quantise=quantise, precision=precision)
    make_room(model, tokenizer)
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    return (tuned if trainable else tuned.eval()), tokenizer


def merge(adapter: Path, output: Path, *, base: str = "", precision: Precision = "bf16") -> None:
    """Write the model with its adapter merged in, as a plain folder of transformers: safetensors and the tokenizer.

    The base is loaded whole (bf16 or fp32, not 4 bit), so that merging rounds once only. Special tokens and their rows stay.

    Args:
        adapter: folder in peft's format with a tokenizer.
        output: new folder.
        base: name or path of the base model where it is no longer the one that is written in the adapter.
        precision: type of the weights.

    Raises:
        DataError: the folder holds no adapter, or `output` is there already.
    """
    if output.exists():
        raise DataError(f"{output} is there already.", "Name a new folder for the merged model.")
    tuned, tokenizer = load_tuned(adapter, base=base, quantise="none", precision=precision)
    merged = tuned.merge_and_unload()
    merged.config.use_cache = True
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    merged.save_pretrained(str(partial))
    tokenizer.save_pretrained(str(partial))
    partial.replace(output)
