"""An encoder classifier as ONNX: token ids and mask to logits, checked against the model that it was made of."""

from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import DataError
from workbench.train.encoder.model import EncoderModel

_PROBE = ("你好", "请帮我查一下这个月的话费，谢谢", "Where is my card?")
_CLOSE = 1e-3
"""By how much logits may differ from those of the model."""


def write_onnx(run: Path, target: Path) -> None:
    """Write `model.onnx` and the tokenizer; batch and length are free.

    Raises:
        DataError: the run holds no encoder, or the exported model says something else than the run's.
    """
    import torch

    opened = EncoderModel.open(run)
    model = opened.model.merge_and_unload() if hasattr(opened.model, "peft_config") else opened.model
    model = model.float().cpu().eval()
    batch = opened.inputs.pad(opened.inputs(list(_PROBE)), torch.device("cpu"))
    target.mkdir(parents=True)
    names = ("input_ids", "attention_mask")
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=2, max=opened.inputs.max_length)}

    class Logits(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    torch.onnx.export(
        Logits().eval(),
        tuple(batch[name] for name in names),
        str(target / "model.onnx"),
        input_names=list(names),
        output_names=["logits"],
        dynamic_shapes=(free, free),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    opened.inputs.tokenizer.save_pretrained(str(target))
    _check(target / "model.onnx", model, batch)


def _check(path: Path, model: Any, batch: Any) -> None:
    """Compare with the model, where something is installed that runs ONNX."""
    from importlib import import_module
    from importlib.util import find_spec

    import torch

    if find_spec("onnxruntime") is None:
        return
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows in (1, len(_PROBE)):
        some = {name: values[:rows] for name, values in batch.items()}
        (said,) = session.run(None, {name: values.numpy() for name, values in some.items()})
        with torch.inference_mode():
            meant = model(**some).logits.numpy()
        worst = float(np.abs(said - meant).max())
        if worst > _CLOSE:
            raise DataError(
                f"The exported model's logits differ by {worst:.2g} from the run's.",
                "Report this; do not use the export.",
            )
