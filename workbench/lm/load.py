"""Load a language model: by name or path, in 4 bit (NF4, double quantised) or not, on a GPU or the processor."""

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from workbench.errors import ConfigError, WorkbenchError, need
from workbench.lm.architecture import EXTRA, FEATURE
from workbench.models import KNOWN, path_of

Quantise = Literal["nf4", "none"]
Precision = Literal["auto", "bf16", "fp32"]


def resolve(model: str) -> str:
    """The folder or hub name of a model; models of `wb models get` by their names, GGUF files by the folder made of them.

    Raises:
        WorkbenchError: a known model was not fetched, or cannot be converted.
    """
    path = path_of(model) if model in KNOWN else Path(model).expanduser()
    if not path.is_file():
        return str(path.resolve()) if path.is_dir() else model
    from workbench.llm.causal import converted

    need("gguf", extra="local", feature="Reading a GGUF file")
    folder = converted(path)
    if folder is None:
        raise WorkbenchError(
            f"{path} can only be trained on in converted form, and its folder cannot be written.",
            "Copy the file to a folder that you may write, and name it there.",
        )
    return str(folder)


def quiet() -> None:
    """Keep bars and hints of the libraries from between the lines of `wb`; errors stay.

    bitsandbytes tells on every import that a kernel from a hub is not installed; it has its own beside it.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # peft asks transformers by an old name.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
    sound = need("transformers.utils.logging", extra=EXTRA, feature=FEATURE)
    sound.disable_progress_bar()
    sound.set_verbosity_error()
    # peft still asks under the old name, which no user of `wb` can change.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


def compute_type(precision: Precision) -> Any:
    """The type that is computed in; `auto`: bfloat16 where the device has instructions for it, else float32."""
    import torch

    if precision != "auto":
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if fast is not None and fast() else torch.float32


def placement() -> Mapping[str, Any]:
    """Where a process puts its model: its own GPU, else the processor; nowhere yet where FSDP will spread it."""
    import torch

    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        return {}
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return {"device_map": {"": local if torch.cuda.is_available() else "cpu"}}


def load_tokenizer(source: str) -> Any:
    """The tokenizer, with a padding token and padding on the left.

    Raises:
        ConfigError: there is none.
    """
    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as exc:
        raise _unreadable(source, exc) from exc
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_base(source: str, *, quantise: Quantise = "nf4", precision: Precision = "auto") -> Any:
    """The model without an adapter.

    Args:
        source: what `resolve` gave.
        quantise: `nf4` for 4 bit with double quantisation; the embeddings and the output layer stay in `precision`.
        precision: what is computed in, and the type of weights that are not 4 bit.

    Raises:
        ConfigError: it cannot be read; files other than safetensors are not.
        MissingExtra: a package is missing.
    """
    torch = need("torch", extra=EXTRA, feature=FEATURE)
    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    quiet()
    dtype = compute_type(precision)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False, **placement()}
    if quantise == "nf4":
        need("bitsandbytes", extra=EXTRA, feature="4-bit training (train.qlora.quantise: nf4)")
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            # FSDP shards tensors of one type only: 4-bit weights are stored in that of the others.
            bnb_4bit_quant_storage=torch.uint8 if "device_map" in options else dtype,
        )
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(source, **options)
    except (OSError, ValueError) as exc:
        raise _unreadable(source, exc) from exc


def keep_layout(model: Any) -> None:
    """Keep 4-bit weights as they were loaded, for a model that is trained and evaluated in turns.

    On processors with AVX512-BF16, bitsandbytes packs them anew at the first pass in eval mode, with scales rounded to bfloat16.
    Training would go on with slightly other weights than before the first evaluation, and than after a resumption.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _unreadable(source: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"The model {source} cannot be loaded: {' '.join(str(exc).split())[:300]}",
        "Name a folder in Hugging Face form with safetensors, a GGUF file, or a model on a hub that can be reached.",
    )
