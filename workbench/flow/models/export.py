"""Give a run's model out in a form that other programs read; nothing of a model folder is ever executed."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from workbench.errors import MissingExtra, ServiceError, UsageError, need
from workbench.runs import MANIFEST, read_json, write_json

CONVERTER = "convert_hf_to_gguf.py"
"""llama.cpp's program, which writes GGUF."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    form: str
    path: Path
    """The folder, or the GGUF file."""
    size: int
    """Bytes of it."""


def forms(run: Path) -> tuple[str, ...]:
    """The forms that the model of a run can be given out in, the usual one first."""
    kind = _kind(run)
    if kind == "classifier":
        return ("head",)
    if kind == "encoder":
        return ("merged", "onnx")
    return ("merged", "4bit", "gguf")


def export(run: Path, target: Path, form: str = "") -> Exported:
    """Write the model of a run to `target`, whole or not at all.

    Args:
        run: a finished training run.
        target: the folder to make; for `gguf` a file.
        form: one of `forms`; the usual one where empty.

    Raises:
        UsageError: the method has no such form, or the target is there already.
        DataError: the run holds no model that can be read.
        MissingExtra: a package is missing.
        ServiceError: llama.cpp's converter failed.
    """
    known = forms(run)
    form = form or known[0]
    if form not in known:
        raise UsageError(f"A run of method {_kind(run)!r} has no form {form!r}.", f"Known: {', '.join(known)}")
    if target.exists():
        raise UsageError(f"{target} is there already.", "Name a folder that does not exist.")
    with _whole(target) as partial:
        _WRITERS[form](run, partial)
    files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
    return Exported(form, target, sum(path.stat().st_size for path in files))


def _kind(run: Path) -> str:
    manifest = read_json(run / MANIFEST)
    return str(manifest.get("opens") or manifest.get("method", "classifier"))


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A place beside the target that becomes the target in the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        yield folder / target.name
        (folder / target.name).replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _head(run: Path, target: Path) -> None:
    """The classifier with its settings: `wb predict --model FOLDER` and `load_model` read it on any machine."""
    shutil.copytree(run / "model", target / "model")
    for name in ("config.yaml", MANIFEST):
        shutil.copyfile(run / name, target / name)


def _merged(run: Path, target: Path) -> None:
    """Safetensors without an adapter, which anything that reads a transformers folder takes."""
    if _kind(run) == "encoder":
        _merged_encoder(run, target)
        return
    from workbench.lm.adapters import ADAPTER, merge

    merge(run / ADAPTER, target)
    _about(run, target)


def _merged_encoder(run: Path, target: Path) -> None:
    from workbench.train.encoder.model import EncoderModel

    opened = EncoderModel.open(run)
    model = opened.model
    model = model.merge_and_unload() if hasattr(model, "peft_config") else model
    EncoderModel(model, opened.inputs, opened.side).save(target)
    # In the form of a run, so that `wb predict --model FOLDER` reads it too; `model/` is a plain transformers folder.
    for name in ("config.yaml", MANIFEST):
        shutil.copyfile(run / name, target / name)


def _four_bit(run: Path, target: Path) -> None:
    """NF4, double quantised: merged in full precision first, since rounding an adapter into 4-bit weights loses most of it."""
    need("bitsandbytes", extra="qlora", feature="Export in 4 bit")
    from workbench.lm.load import load_base

    folder = target.with_name(f"{target.name}-full")
    _merged(run, folder)
    load_base(str(folder), quantise="nf4").save_pretrained(str(target), safe_serialization=True)
    for path in folder.iterdir():  # the tokenizer
        if path.suffix != ".safetensors" and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
    shutil.rmtree(folder)


def converter() -> str:
    """Path of llama.cpp's converter.

    Raises:
        MissingExtra: it is not installed.
    """
    found = shutil.which(CONVERTER)
    if found is None:
        raise MissingExtra(
            f"Export as GGUF needs llama.cpp's {CONVERTER}, which is not on the PATH.",
            "Get it with llama.cpp (github.com/ggml-org/llama.cpp) and add its folder to PATH; `--form merged` needs nothing.",
        )
    return found


def _gguf(run: Path, target: Path) -> None:
    program = converter()
    folder = target.with_name(f"{target.name}-full")
    _merged(run, folder)
    done = subprocess.run(
        [sys.executable, program, str(folder), "--outfile", str(target), "--outtype", "auto"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode or not target.is_file():
        said = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        package = re.search(r"No module named '([\w.]+)'", said)
        raise ServiceError(
            f"llama.cpp's converter failed: {said[:300].rstrip('.')}.",
            f"It runs in this Python: pip install {package[1]}"
            if package
            else f"Its program is {program}; update llama.cpp.",
        )
    shutil.rmtree(folder)


def _onnx(run: Path, target: Path) -> None:
    """The encoder with its head: input ids and mask -> logits, with batch and length free; checked against the model."""
    for package in ("onnx", "onnxscript"):
        need(package, extra="onnx", feature="Export as ONNX")
    from workbench.flow.models.onnx import write_onnx

    write_onnx(run, target)
    _about(run, target)


def _about(run: Path, target: Path) -> None:
    """Which run this was, and its classes: what a foreign folder would not say."""
    manifest = read_json(run / MANIFEST)
    kept = ("run", "method", "base", "labels", "version", "workbench")
    write_json(target / "workbench.json", {key: manifest[key] for key in kept if key in manifest})


_WRITERS: Mapping[str, Callable[[Path, Path], None]] = {
    "head": _head,
    "merged": _merged,
    "4bit": _four_bit,
    "gguf": _gguf,
    "onnx": _onnx,
}
