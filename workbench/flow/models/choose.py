"""Which model a person means: a run by name or path, `last`, `promoted`, or nothing said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.bench import FILE, Bench, Config
from workbench.config import read_yaml
from workbench.encode import Encoder, EncoderConfig
from workbench.errors import DataError
from workbench.flow.models.checkpoint import find_model
from workbench.flow.models.predictors import fits
from workbench.flow.models.promotion import promoted
from workbench.runs import AT, MANIFEST, find_run, read_json

PROMOTED = "promoted"


def choose(bench: Bench, name: str = "") -> Path:
    """The run folder that `name` means.

    Args:
        bench: where runs are looked for.
        name: name or path of a run; `RUN@STEP`: a checkpoint of it; `last`: the newest; `promoted`: the one in use; empty:
            the one in use, or else the newest of gated rows, or else the newest.

    Raises:
        DataError: there is none.
    """
    if name in ("", PROMOTED):
        used = promoted(bench) if not bench.bare else None
        if used:
            return find_run(bench.runs, used, "train")
        if name:
            raise DataError("No run of this bench was promoted.", "Promote one with: wb models promote RUN")
        find_run(bench.runs, "last", "train")  # says so, where there is none at all
        known = servable(bench, bench.engine)
        return bench.runs / known[0] if known else find_run(bench.runs, "last", "train")
    return find_model(bench, name)


def servable(bench: Bench, encoder: Encoder) -> list[str]:
    """Runs whose model can be used with this encoder: those of gated rows first, each kind newest first."""
    names = [path.parent.name for path in bench.runs.glob(f"*/{MANIFEST}") if AT not in path.parent.name]
    names.sort(key=lambda name: (name[:15], len(name), name), reverse=True)  # seconds, then number within the second
    facts = {name: read_json(bench.runs / name / MANIFEST) for name in names}
    fit = [name for name in names if facts[name]["kind"] == "train" and fits(facts[name], encoder)]
    return sorted(fit, key=lambda name: facts[name].get("rows_from") != "gated")


def bench_of(run: Path) -> Bench:
    """What a run folder anywhere needs of a bench: the encoder of its own settings, and the vectors of the bench that it is in.

    Neither a bench's plugins nor anything else of it is run: a folder from elsewhere is data.

    Raises:
        ConfigError: the settings beside the model are damaged.
    """
    values: Mapping[str, Any] = read_yaml(run / "config.yaml") if (run / "config.yaml").is_file() else {}
    encoder = EncoderConfig.read(values.get("encoder") or {}, where=f"{run / 'config.yaml'}: encoder")
    root = run.resolve().parents[1]
    inside = run.resolve().parent.name == "runs" and (root / FILE).is_file()
    return Bench(root if inside else run.resolve(), Config(encoder=encoder))


def with_settings(bench: Bench, run: Path) -> Bench:
    """The bench, or for a run from elsewhere what that run needs of one."""
    return bench if run.resolve().parent == bench.runs.resolve() else bench_of(run)
