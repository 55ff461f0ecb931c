"""A tuned language model for a server: one loaded model that names classes and answers chats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.lm.chat import Chat
from workbench.predictor import Predictor
from workbench.runs import MANIFEST, read_json
from workbench.serve.served import Chatty, Written

METHOD = "qlora"


class TunedChat:
    """Answers messages with a loaded model and its own chat template."""

    def __init__(self, model: Any, chat: Chat) -> None:
        self._model, self._chat = model, chat
        self._context = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)

    def complete(
        self, messages: Sequence[Mapping[str, str]], *, max_tokens: int, temperature: float, top_p: float, seed: int
    ) -> Written:
        """See `Chatty`; the same seed draws the same answer."""
        import torch

        ids = self._chat.prompt(messages)
        room = self._context - len(ids)
        if room < 1:
            raise DataError(
                f"The messages have {len(ids)} tokens; the model takes {self._context} with its answer.",
                "Send fewer or shorter messages.",
            )
        asked = torch.tensor([ids], device=self._model.device)
        drawn = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        plain = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(seed)
            out = self._model.generate(
                input_ids=asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=min(max_tokens, room),
                eos_token_id=sorted(self._chat.ends),
                pad_token_id=self._chat.tokenizer.pad_token_id,
                **(drawn if temperature > 0 else plain),
            )
        new = out[0, len(ids) :].tolist()
        finish = "stop" if any(token in self._chat.ends for token in new) else "length"
        return Written(self._chat.decode(new), finish, len(ids), len(new))


class Wordy:
    """The predictor of a model that was tuned for responses: it has no classes, and says so."""

    labels: tuple[str, ...] = ()

    def __init__(self, version: str) -> None:
        self.version = version

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Refuses.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"The model {self.version} was tuned for responses; it names no classes.", "Ask /v1/chat/completions."
        )


def is_tuned(run: Path) -> bool:
    """Whether the model of a run is a tuned language model."""
    manifest = read_json(run / MANIFEST)
    return bool((manifest.get("opens") or manifest.get("method")) == METHOD)


def open_both(bench: Bench, run: Path) -> tuple[Predictor, Chatty]:
    """The model of a run of method qlora, loaded once for both uses.

    Raises:
        DataError: the run holds no adapter.
        ConfigError: the base model cannot be loaded.
        MissingExtra: a package is missing.
    """
    from workbench.flow.models.language import how, open_tuned
    from workbench.lm.adapters import ADAPTER, load_tuned
    from workbench.lm.label_predictor import LabelPredictor
    from workbench.lm.load import resolve
    from workbench.train.qlora.ask import TASK

    facts = read_json(run / TASK) if (run / TASK).is_file() else {}
    if facts.get("task", "intent") == "intent":
        tuned = open_tuned(bench, run)
        named: Any = tuned  # frozen, which the protocol does not foresee
        return LabelPredictor.of(run.name, named, bench.config.evaluate.answer), TunedChat(tuned.model, tuned.chat)
    model, tokenizer = load_tuned(run / ADAPTER, base=resolve(facts["base"]), **how(bench))
    return Wordy(run.name), TunedChat(model, Chat.of(model, tokenizer))
