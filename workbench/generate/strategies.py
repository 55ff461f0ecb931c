"""How a need becomes requests. A strategy is a prompt file, `<strategy>.<language>.j2`, and what is shown in it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.records import Need, Sample


@dataclass(frozen=True, slots=True)
class Shown:
    """What prompts of one class may show: its real rows, those of the partner, and what people say about both."""

    rows: Sequence[Sample]
    partner_rows: Sequence[Sample]
    about: Mapping[str, str]


def build_request(
    need: Need, shown: Shown, prompt: Prompt, *, rows: int, examples: int, draw: int, seed: int
) -> Request:
    """The request number `draw` for a need: the same arguments always give the same request.

    Args:
        need: the class, and the partner for a pair.
        shown: real rows to choose examples from.
        prompt: the strategy's prompt file.
        rows: rows to ask for.
        examples: most real rows to show of each side.
        draw: number of the request; other draws show other examples.
        seed: drives the choice of examples.
    """
    choice = random.Random(f"{seed}/{need.label}/{need.against}/{need.strategy}/{draw}")
    own = choice.sample(list(shown.rows), min(examples, len(shown.rows)))
    other = choice.sample(list(shown.partner_rows), min(examples, len(shown.partner_rows)))
    values = {
        "label": need.label,
        "against": need.against,
        "about": shown.about.get(need.label, ""),
        "about_against": shown.about.get(need.against, ""),
        "count": rows,
        "examples": [sample.text for sample in own],
        "against_examples": [sample.text for sample in other],
        "dialogue": any(len(sample.turns) > 1 for sample in shown.rows),
    }
    return Request(
        label=need.label,
        against=need.against,
        strategy=need.strategy,
        rows=rows,
        draw=draw,
        seed=seed,
        prompt=prompt.fingerprint,
        parents=tuple(sample.id for sample in (*own, *other)),
        messages=tuple(prompt.messages(values)),
    )
