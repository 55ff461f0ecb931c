"""A transformers encoder as classifier: load it, freeze parts of it, save it, open it again, ask it."""

import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from workbench import models
from workbench.errors import ConfigError, DataError, WorkbenchError, need
from workbench.records import SEP, digest
from workbench.text import encodable
from workbench.train.encoder.config import EncoderTrainConfig
from workbench.train.packaged_e5 import converted

Floats = npt.NDArray[np.float32]
EXTRA, FEATURE = "train", "`wb train --method encoder`"
E5 = "e5-small"
SIDE = "workbench.json"
"""Beside the weights: what transformers has no place for."""


@dataclass(frozen=True, slots=True)
class Side:
    """What a trained encoder needs beside its weights."""

    labels: tuple[str, ...]
    base: str
    fingerprint: str
    """Of the base model's weights; an adapter fits no others."""
    prefix: str
    max_length: int
    temperature: float


class Inputs:
    """Texts to token ids, cut to length by turns."""

    def __init__(self, tokenizer: Any, prefix: str, max_length: int) -> None:
        self.tokenizer, self.prefix = tokenizer, prefix
        self.max_length = min(max_length, tokenizer.model_max_length)
        self.cut = 0
        """Texts that were too long so far."""
        self._join = f" {tokenizer.sep_token or tokenizer.eos_token or ''} "

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with the tokens that begin and end an input."""
        if not texts:
            return []
        plain = [text if encodable(text) else text.encode("utf-8", "replace").decode() for text in texts]
        ids = [list(row) for row in self._ids([self._joined(text.split(SEP)) for text in plain])]
        for i, row in enumerate(ids):
            if len(row) > self.max_length:
                self.cut += 1
                ids[i] = self._shorter(plain[i].split(SEP))
        return ids

    def pad(self, ids: Sequence[list[int]], device: Any) -> dict[str, Any]:
        """A batch as long as its longest row."""
        found = self.tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt")
        return {name: found[name].to(device) for name in ("input_ids", "attention_mask")}

    def _joined(self, turns: Sequence[str]) -> str:
        return self.prefix + self._join.join(turns)

    def _ids(self, texts: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(list(texts), verbose=False, **options)["input_ids"]

    def _shorter(self, turns: list[str]) -> list[int]:
        """Turns are left out from the middle: what a dialogue is about is said at its start or its end."""
        sizes = [len(row) for row in self._ids([f"{self._join}{turn}" for turn in turns], add_special_tokens=False)]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add() - len(self._ids([self.prefix])[0])
        while len(turns) > 1 and sum(sizes) > room:
            middle = len(turns) // 2
            turns, sizes = turns[:middle] + turns[middle + 1 :], sizes[:middle] + sizes[middle + 1 :]
        return list(self._ids([self._joined(turns)], truncation=True, max_length=self.max_length)[0])


def source_of(name: str) -> str:
    """Where a model is: a known one that was fetched, a folder, or a hub's name as it is."""
    if name in models.KNOWN and not Path(name).is_dir():
        path = models.path_of(name)
        return str(converted(path) if name == E5 else path.parent)
    return name


def name_of(name: str) -> str:
    """The name under which a model is found again from any folder."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def load_base(config: EncoderTrainConfig, labels: Sequence[str], seed: int) -> tuple[Any, Any, list[str]]:
    """The base model with a new head, its tokenizer, and the names of the modules that begin at random.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ConfigError: the model cannot be read.
    """
    torch = need("torch", extra=EXTRA, feature=FEATURE)
    torch.manual_seed(seed)
    model, tokenizer, missing = _read(source_of(config.model), labels)
    new = sorted({name.rpartition(".")[0] for name in missing})
    return model, tokenizer, new


def _read(source: str, labels: Sequence[str]) -> tuple[Any, Any, list[str]]:
    transformers: Any = need("transformers", extra=EXTRA, feature=FEATURE)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    here = Path(source).is_dir()
    options: dict[str, Any] = {"local_files_only": here, "trust_remote_code": False}
    names = dict(enumerate(labels))
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        model, said = transformers.AutoModelForSequenceClassification.from_pretrained(
            source,
            id2label=names,
            label2id={label: i for i, label in names.items()},
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the head of another task
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise ConfigError(
            f"The encoder {source!r} cannot be loaded: {' '.join(str(exc).split())[:300]}",
            "Name a folder in transformers' form with safetensors, a hub's name that can be reached, or `e5-small` "
            "after `wb models get e5-small`, which needs no hub.",
        ) from exc
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"The tokenizer of {source!r} has no padding token.", "Choose an encoder model.")
    mismatched = [key[0] if isinstance(key, tuple) else key for key in said["mismatched_keys"]]
    return model.float(), tokenizer, [*said["missing_keys"], *mismatched]


def fingerprint(model: Any, new: Sequence[str]) -> str:
    """A hash of a part of each weight that a model comes with."""
    hashes = [
        f"{name}:{digest(parameter.detach().flatten()[:1024].float().cpu().numpy().tobytes().hex())}"
        for name, parameter in sorted(model.named_parameters())
        if name.rpartition(".")[0] not in new
    ]
    return digest(*hashes)


def layers(model: Any) -> Any:
    """The encoder's layers in order.

    Raises:
        ConfigError: they cannot be found, as their number in the configuration fits no list of modules.
    """
    import torch

    count = getattr(model.config, "num_hidden_layers", 0)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise ConfigError(
        f"The layers of a {model.config.model_type} model cannot be told apart.", "Set train.encoder.freeze_layers=0."
    )


def freeze(model: Any, config: EncoderTrainConfig) -> None:
    """Stop the training of the embeddings and of the first layers.

    Raises:
        ConfigError: there are not so many layers.
    """
    if config.freeze_embeddings:
        for parameter in model.get_input_embeddings().parameters():
            parameter.requires_grad_(False)
    if not config.freeze_layers:
        return
    found = layers(model)
    if config.freeze_layers > len(found):
        raise ConfigError(
            f"train.encoder.freeze_layers is {config.freeze_layers}, but {config.model} has {len(found)} layers.",
            f"Set it to {len(found)} or less.",
        )
    for layer in found[: config.freeze_layers]:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)


def adapted(model: Any, config: EncoderTrainConfig, new: Sequence[str]) -> Any:
    """The model with adapters on the linear maps of the layers that are not frozen; what began at random is trained whole."""
    import torch

    peft = _peft("train.encoder.lora")
    frozen = {id(module) for layer in layers(model)[: config.freeze_layers] for module in layer.modules()}
    inside = {id(module) for module in layers(model).modules()} - frozen
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) in inside and name not in new
    ]
    lora = config.lora
    settings = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        modules_to_save=list(new),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        return peft.get_peft_model(model, settings)


def _peft(feature: str) -> Any:
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # peft imports it; it tells of kernels that nobody asked for
    return need("peft", extra=EXTRA, feature=feature)


def device() -> Any:
    """The first CUDA device, or the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computing(precision: str, place: Any) -> AbstractContextManager[Any]:
    """Computes in bfloat16 where asked, or where `auto` finds hardware made for it."""
    import torch

    if precision == "auto":
        made_for = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        on_processor = bool(made_for.get("avx512_bf16") or made_for.get("amx_bf16"))
        quick = torch.cuda.is_bf16_supported() if place.type == "cuda" else on_processor
    else:
        quick = precision == "bfloat16"
    found: AbstractContextManager[Any] = torch.autocast(place.type, dtype=torch.bfloat16, enabled=quick)
    return found


class EncoderModel:
    """A trained encoder classifier, ready to be asked."""

    def __init__(self, model: Any, inputs: Inputs, side: Side) -> None:
        self.model, self.inputs, self.side = model.eval(), inputs, side

    def save(self, run: Path) -> None:
        """Write the model into `run/model`, or its adapter into `run/adapter`, the tokenizer beside it."""
        whole = not hasattr(self.model, "peft_config")
        folder = run / ("model" if whole else "adapter")
        self.model.save_pretrained(folder)
        self.inputs.tokenizer.save_pretrained(folder)
        (folder / SIDE).write_text(json.dumps(asdict(self.side), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def open(cls, run: Path) -> Self:
        """The model of a run folder.

        Raises:
            DataError: the folder holds none, or its base model is another than it was trained on.
        """
        folder = run / ("adapter" if (run / "adapter").is_dir() else "model")
        try:
            known = json.loads((folder / SIDE).read_text(encoding="utf-8"))
            side = Side(**known | {"labels": tuple(known["labels"])})
        except (FileNotFoundError, TypeError, ValueError, KeyError) as exc:
            raise DataError(f"{run} holds no trained encoder.", "Train one: wb train --method encoder") from exc
        model = _open_whole(folder, side) if folder.name == "model" else _open_adapter(folder, side)
        transformers: Any = need("transformers", extra=EXTRA, feature="A trained encoder")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(model.to(device()), Inputs(tokenizer, side.prefix, side.max_length), side)

    def logits(self, texts: Sequence[str], batch_size: int = 32) -> Floats:
        """[n, classes] before temperature and softmax, in float32; texts of like length are computed together."""
        import torch

        ids = self.inputs(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found = np.zeros((len(ids), len(self.side.labels)), np.float32)
        place = next(self.model.parameters()).device
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                some = order[start : start + batch_size]
                batch = self.inputs.pad([ids[i] for i in some], place)
                found[some] = self.model(**batch).logits.float().cpu().numpy()
        return found

    def probabilities(self, texts: Sequence[str], batch_size: int = 32) -> Floats:
        """[n, classes], rows sum to 1, calibrated by the temperature."""
        logits = self.logits(texts, batch_size) / self.side.temperature
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def _open_whole(folder: Path, side: Side) -> Any:
    model, _, missing = _read(str(folder), side.labels)
    if missing:
        raise DataError(f"{folder} lacks weights: {', '.join(missing[:3])}.", "Train again.")
    return model


def _open_adapter(folder: Path, side: Side) -> Any:
    peft = _peft("A model with adapters")
    try:
        model, _, missing = _read(source_of(side.base), side.labels)
    except WorkbenchError as exc:
        raise DataError(f"The base model of {folder} is needed: {exc.message}", exc.hint) from exc
    if fingerprint(model, sorted({name.rpartition(".")[0] for name in missing})) != side.fingerprint:
        raise DataError(
            f"{side.base} holds other weights now than when {folder} was trained on it.",
            "Bring the base model back, or train again.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return peft.PeftModel.from_pretrained(model, folder)
