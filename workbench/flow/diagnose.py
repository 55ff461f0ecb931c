"""Diagnose what the ledger holds, a file of rows, or a file of counts; write the page."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.bench import Bench
from workbench.data import Told, read, read_table
from workbench.diagnose import DiagnoseConfig, Diagnosis, ImbalanceConfig, Rows, histogram
from workbench.diagnose import diagnose as examine
from workbench.diagnose.report import render
from workbench.errors import ConfigError, DataError, UsageError
from workbench.flow.signals import out_of_fold, vectors
from workbench.generate import resolve_label
from workbench.records import Sample
from workbench.similarity import centred

__all__ = ["Diagnosis", "diagnose", "diagnose_counts", "diagnose_file", "write_page"]

LABELS = ("label", "label_raw", "class", "name", "intent", "category", "类别", "标签", "意图")
COUNTS = ("count", "counts", "n", "rows", "train_count", "frequency", "数量", "条数")
NUMBERS = ("label_id", "id", "code", "c_numerical", "intent_code", "编号")


def diagnose(bench: Bench) -> Diagnosis:
    """Diagnose the human rows of the bench.

    Raises:
        DataError: there are no labelled training rows.
        ConfigError: a setting names a class that there is not.
    """
    return _diagnose(bench, bench.ledger.samples(), bench.ledger.label_ids())


def diagnose_file(bench: Bench, path: Path, text: str | None, label: str | None) -> tuple[Diagnosis, list[str]]:
    """Diagnose the rows of a file by the settings of a bench, which stays as it is. Also says what could not be used.

    Raises:
        DataError: the file cannot be read, or has no labelled training rows.
        ConfigError: a setting names a class that there is not.
    """
    batch = read(path, Told(text=text, label=label), bench.config.data.first_role)
    notes = [*batch.notes]
    if batch.rejects:
        first = batch.rejects[0]
        notes.append(f"{len(batch.rejects)} rows cannot be used, the first in line {first.line}: {first.say}")
    rows = [sample for sample in batch.samples if sample.source == "human"]
    with TemporaryDirectory() as folder:
        return _diagnose(Bench(Path(folder), bench.config), rows, batch.label_ids), notes


def _diagnose(bench: Bench, samples: Sequence[Sample], ids: Mapping[str, str]) -> Diagnosis:
    train = [sample for sample in samples if sample.split == "train" and sample.label]
    if not train:
        raise DataError("There are no training rows with a label.", "Add some with: wb data add FILE --split train")
    known = [sample.label for sample in samples if sample.split in ("train", "dev") and sample.label]
    labels = sorted({*bench.config.labels, *known})
    config = bench.config.diagnose
    config = config.model_copy(update={"imbalance": _resolved(config.imbalance, labels, ids)})
    found = out_of_fold(bench, train)
    raw = vectors(bench, train)
    rows = Rows(samples, found, centred(raw, raw.mean(axis=0)), labels, bench.config.data.split.group_by)
    return examine(rows, config, ids)


def diagnose_counts(path: Path, config: DiagnoseConfig) -> Diagnosis:
    """Imbalance of a table of label and count.

    Raises:
        DataError: there are no such columns, or a row is broken.
        ConfigError: a setting names a class that there is not.
    """
    table = read_table(path)
    bad = next((row for row in table.rows if row.problem), None)
    if bad:
        raise DataError(f"{path}:{bad.line}: {bad.say}", "Mend the row.")
    if not table.rows:
        raise DataError(f"{path} has no rows below its heading.", "Give a CSV of label,count.")
    label, count = _columns(path, table.columns)
    number = _first(NUMBERS, [name for name in table.columns if name not in (label, count)])
    counts: dict[str, int] = {}
    ids: dict[str, str] = {}
    for row in table.rows:
        name = str(row.values.get(label) or "").strip()
        if not name or name in counts:
            what = f"the class {name!r} stands there for the second time" if name else f"no class in column {label!r}"
            raise DataError(f"{path}:{row.line}: {what}.", "Give one row per class.")
        counts[name] = _whole(row.values.get(count), f"{path}:{row.line}: column {count!r}")
        if number:
            ids[name] = str(row.values.get(number))
    return histogram(counts, _resolved(config.imbalance, list(counts), ids), ids)


def _columns(path: Path, columns: Sequence[str]) -> tuple[str, str]:
    """Names of the columns of label and count: by name, else the first and the last of two."""
    count = _first(COUNTS, columns) or next((name for name in columns if "count" in name.lower()), "")
    if not count and len(columns) == 2:
        count = columns[1]
    others = [name for name in columns if name != count and name.lower() not in NUMBERS]
    others = others or [name for name in columns if name != count]
    if not count or not others:
        listed = ", ".join(columns)
        raise DataError(f"{path} has no columns label and count; there are: {listed}.", "Give a CSV of label,count.")
    return _first(LABELS, others) or others[0], count


def _first(wanted: Iterable[str], columns: Sequence[str]) -> str:
    lower = {name.strip().lower(): name for name in reversed(columns)}
    return next((lower[name] for name in wanted if name in lower), "")


def _whole(value: object, where: str) -> int:
    try:
        number = float(str(value).strip().replace(",", ""))
    except ValueError:
        number = -1.0
    if number < 0 or not number.is_integer():
        raise DataError(f"{where} holds {value!r}, which is not a number of rows.", "Give whole numbers from 0 on.")
    return int(number)


def _resolved(config: ImbalanceConfig, labels: Sequence[str], ids: Mapping[str, str]) -> ImbalanceConfig:
    """The settings with class numbers turned into names, so that a misspelt class is an error and not a silent no."""

    def name(key: str, value: str) -> str:
        try:
            return resolve_label(value, labels, ids)
        except UsageError as exc:
            raise ConfigError(f"diagnose.imbalance.{key}: {exc.message}", exc.hint) from exc

    return config.model_copy(
        update={
            "minority": tuple(name("minority", value) for value in config.minority),
            "ultra_minority": tuple(name("ultra_minority", value) for value in config.ultra_minority),
            "exclude": tuple(name("exclude", value) for value in config.exclude),
            "multipliers": {name("multipliers", value): factor for value, factor in config.multipliers.items()},
        }
    )


def write_page(diagnosis: Diagnosis, path: Path) -> None:
    """Write the diagnosis as a self-contained HTML page.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        path.write_text(render(diagnosis), encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise DataError(f"{path} cannot be written: {exc.strerror}.", "Choose another place with --html FILE.") from exc
