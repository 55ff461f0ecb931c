"""A causal language model in this process: load (GGUF, folder, hub), convert a GGUF once, continue prompts in one batch."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from workbench.errors import ConfigError, WorkbenchError, need
from workbench.records import digest

_CANDIDATES = 1024
"""Likeliest tokens that a draw chooses among: sorting a whole vocabulary at each token takes as long as a small model."""
_EXTRA = "local"
_FEATURE = "A model in this process (`kind: local`)"


@dataclass(frozen=True, slots=True)
class Job:
    """One prompt to continue."""

    messages: tuple[Mapping[str, str], ...]
    """As for a chat; a last message of the assistant is continued, not answered."""
    seed: int
    lines: int
    """Lines after which a continued message is complete; 0 for no such limit."""


@dataclass(frozen=True, slots=True)
class Continued:
    """What the model wrote. `finish` is `stop`, or `length` where it was cut."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int


class Causal:
    """A loaded model with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        self._eos = _end_tokens(model, tokenizer)
        self.context = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)
        """Tokens that prompt and answer may have together."""

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of a prompt in the model's own chat template."""
        begun = messages[-1]["role"] == "assistant"
        plain = [dict(message) for message in messages]
        if not self._tokenizer.chat_template:  # a base model: it only continues
            return list(self._tokenizer("\n\n".join(message["content"] for message in plain))["input_ids"])
        ids = self._tokenizer.apply_chat_template(
            plain, add_generation_prompt=not begun, continue_final_message=begun, tokenize=True, return_dict=False
        )
        return list(ids)

    def run(
        self, jobs: Sequence[Job], *, temperature: float, top_p: float, most: int, stopped: Callable[[], bool]
    ) -> list[Continued]:
        """Continue all prompts in one left-padded batch.

        A row draws from a generator of its own seed, so that its company in the batch does not choose its words. Rounding
        may: sums over a batch of another shape differ in the last bits, which now and then tips a draw.

        Args:
            jobs: prompts that fit into the context.
            temperature: 0 takes the likeliest token.
            top_p: only the likeliest tokens that make up this share are drawn from.
            most: longest answer, in tokens.
            stopped: asked at each token; True ends the batch.
        """
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        prompts = [self.prompt(job.messages) for job in jobs]
        batch = self._tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left")
        start = batch["input_ids"].shape[1]
        sampling = [_sampler([job.seed for job in jobs], temperature, top_p)] if temperature > 0 else []
        with torch.inference_mode():
            out = self._model.generate(
                **batch.to(self._model.device),
                max_new_tokens=max(1, min(most, self.context - start)),
                do_sample=False,  # the processor draws: one generator for the batch would make rows depend on each other
                logits_processor=LogitsProcessorList(sampling),
                stopping_criteria=StoppingCriteriaList([self._stop([job.lines for job in jobs], start, stopped)]),
                eos_token_id=sorted(self._eos),
                pad_token_id=self._tokenizer.pad_token_id,
            )
        written = out[:, start:].tolist()
        return [self._read(job, len(ids), row) for job, ids, row in zip(jobs, prompts, written, strict=True)]

    def _read(self, job: Job, tokens_in: int, ids: list[int]) -> Continued:
        """Text and finish of one row of a batch, without what fills it up behind its end."""
        end, breaks = len(ids), 0
        finish = "length"
        for i, token in enumerate(ids):
            breaks += self._breaks[token]
            if token in self._eos or (job.lines and breaks >= job.lines):
                end, finish = i + (token not in self._eos), "stop"
                break
        return Continued(self._tokenizer.decode(ids[:end], skip_special_tokens=True), finish, tokens_in, end)

    @property
    def _breaks(self) -> list[bool]:
        """For each token whether it holds a line break."""
        if not hasattr(self, "_breaks_"):
            pieces = self._tokenizer.batch_decode([[i] for i in range(len(self._tokenizer))])
            spare = max(0, self._model.config.vocab_size - len(pieces))
            self._breaks_ = ["\n" in piece for piece in pieces] + [False] * spare
        return self._breaks_

    def _stop(self, lines: Sequence[int], start: int, stopped: Callable[[], bool]) -> Any:
        """Ends a row after its lines, and the batch where it is stopped."""
        import torch

        breaks = torch.tensor(self._breaks, device=self._model.device)
        limit = torch.tensor([count or 1 << 30 for count in lines], device=self._model.device)

        class Lines:  # what a stopping criterion is
            def __call__(self, input_ids: Any, scores: Any, **options: Any) -> Any:
                return (breaks[input_ids[:, start:]].sum(dim=1) >= limit) | stopped()

        return Lines()


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end an answer, by the generation settings and by the tokenizer."""
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = [*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]
    return {int(token) for token in ids if token is not None}


def _sampler(seeds: Sequence[int], temperature: float, top_p: float) -> Any:
    """Draws by adding Gumbel noise and taking the largest: the same distribution as sampling, with a generator per row."""
    import torch

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    class Draw:  # what a logits processor is
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            scores = scores.float() / temperature
            likely, ids = scores.topk(min(_CANDIDATES, scores.shape[1]), dim=1)
            share = (likely - scores.logsumexp(dim=1, keepdim=True)).exp()
            likely = likely.masked_fill(share.cumsum(dim=1) - share > top_p, float("-inf"))  # the first is always kept
            noise = torch.stack([torch.rand(likely.shape[1], generator=one) for one in generators]).to(likely.device)
            drawn = ids.gather(1, (likely - torch.log(-torch.log(noise.clamp(1e-20)))).argmax(dim=1, keepdim=True))
            return torch.full_like(scores, float("-inf")).scatter_(1, drawn, 0.0)

    return Draw()


@lru_cache(maxsize=1)
def load(source: str, dtype: str = "auto", threads: int = 0) -> Causal:
    """The model in a GGUF file or a folder, or under a hub's name; the last one stays loaded.

    Args:
        source: absolute path of a file or folder, or a hub's name.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        threads: processor threads; 0 leaves the choice to torch.

    Raises:
        MissingExtra: torch, transformers or gguf is not installed.
        ConfigError: the model cannot be read.
    """
    torch = need("torch", extra=_EXTRA, feature=_FEATURE)
    need("transformers", extra=_EXTRA, feature=_FEATURE)
    if threads:
        torch.set_num_threads(threads)
    path = Path(source)
    _quiet()
    try:
        if path.is_file():
            folder = converted(path)
            return _open(folder, dtype) if folder else Causal(*_dequantised(path, _dtype(dtype)))
        return _open(path if path.is_dir() else source, dtype)
    except WorkbenchError:
        raise
    except Exception as exc:  # a broken file can end in any error of five libraries
        raise ConfigError(
            f"The model {source} cannot be loaded: {' '.join(str(exc).split())[:300]}",
            "Name a GGUF file, a folder in Hugging Face form with safetensors, or a model on the hub that can be reached.",
        ) from exc


def _quiet() -> None:
    """No bars and hints of transformers between the lines of `wb`; its errors stay."""
    from transformers.utils import logging as sound

    sound.disable_progress_bar()
    sound.set_verbosity_error()


def _open(source: Path | str, dtype: str) -> Causal:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    here = isinstance(source, Path)
    options: dict[str, Any] = {"local_files_only": here, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    placed = {"device_map": "auto"} if torch.cuda.is_available() else {}
    model = AutoModelForCausalLM.from_pretrained(source, dtype=_dtype(dtype), use_safetensors=True, **placed, **options)
    return Causal(model.eval(), tokenizer)


def _dtype(name: str) -> Any:
    """`auto`: bfloat16 where the processor computes in it, else float32."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if fast is not None and fast() else torch.float32


def converted(gguf: Path) -> Path | None:
    """The folder beside a GGUF file with the same model in float16 safetensors, made once: it loads 10 times as fast.

    None where nothing can be written there.
    """
    from filelock import FileLock

    stat = gguf.stat()
    folder = gguf.with_name(f"{gguf.stem}.{digest(str(stat.st_size), str(stat.st_mtime_ns))}.hf")
    if folder.is_dir():
        return folder
    try:
        with FileLock(gguf.with_name(f".{gguf.stem}.lock")):
            if folder.is_dir():
                return folder
            for old in gguf.parent.glob(f".{gguf.stem}.partial-*"):
                shutil.rmtree(old, ignore_errors=True)
            partial = Path(mkdtemp(dir=gguf.parent, prefix=f".{gguf.stem}.partial-"))
            try:
                _save(gguf, partial)
                partial.replace(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except PermissionError as exc:
        logging.getLogger(__name__).warning("the converted model cannot be kept beside %s: %s", gguf.name, exc)
        return None
    return folder


def _save(gguf: Path, folder: Path) -> None:
    import torch

    model, tokenizer = _dequantised(gguf, torch.float16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _dequantised(gguf: Path, dtype: Any) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file; the weights in `dtype`, free of the mark that forbids saving them."""
    from copy import deepcopy

    from transformers import AutoModelForCausalLM, AutoTokenizer

    need("gguf", extra=_EXTRA, feature="Reading a GGUF file")
    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=dtype, **options)
    config = deepcopy(read.config)
    with suppress(AttributeError):
        del config.quantization_config
    model = type(read)(config).to(dtype)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model.eval(), tokenizer
