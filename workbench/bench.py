"""The bench: a folder with wb.yaml, wb.db (the ledger), runs/ and cache/. Composes the stages' settings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from workbench.classify import ClassifierConfig
from workbench.config import Strict, assignments, overlay, read_yaml
from workbench.data import DataConfig
from workbench.diagnose import DiagnoseConfig
from workbench.encode import Cached, Encoder, EncoderConfig, open_encoder
from workbench.errors import ConfigError, DataError, WorkbenchError
from workbench.evaluate import EvaluateConfig
from workbench.gate import GateConfig
from workbench.generate import GenerateConfig
from workbench.ledger import Ledger
from workbench.llm import LlmConfig
from workbench.review import ReviewConfig
from workbench.serve import ServeConfig
from workbench.tokens import TokensConfig
from workbench.train import TrainConfig

FILE = "wb.yaml"


class LabelConfig(Strict):
    """What a person knows about a class."""

    about: str = ""
    """One or two sentences that define it; goes into prompts."""


class RunConfig(Strict):
    """What `wb run` does, beyond the stages' own settings."""

    files: Mapping[str, str] = {}
    """Split -> file, relative to the bench; `demo:telecom/train.csv` is a shipped one."""
    clean: bool = False
    """Clean the rows after reading them."""
    minority: bool = True
    """Generate for every class that the diagnosis finds too small."""
    classes: tuple[str, ...] = ()
    """Further classes to generate for, by name or number."""
    pairs: int = 0
    """Generate for this many of the most confused pairs."""
    accept: int = 0
    """Total of accepted synthetic rows per class; 0 for the diagnosis' targets."""
    review: bool = False
    """Put accepted rows to people in Label Studio, and wait for them (exit code 75) before training."""
    refill: bool = False
    """Replace what people refused by new rows, which go to them in turn."""
    ungated: bool = False
    """Also train on everything that was generated, to see what the gate is worth."""


class Config(Strict):
    """Every setting of a bench. Each part stands beside the code that it sets."""

    seed: int = 0
    """Drives everything random: splits, examples in prompts, selection among accepted rows, bootstraps."""
    plugins: tuple[str, ...] = ()
    """Python files of yours, relative to the bench, that define gate rules."""
    labels: Mapping[str, LabelConfig] = {}
    """What is known about classes, by name."""
    encoder: EncoderConfig = EncoderConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    llm: LlmConfig = LlmConfig()
    data: DataConfig = DataConfig()
    diagnose: DiagnoseConfig = DiagnoseConfig()
    generate: GenerateConfig = GenerateConfig()
    gate: GateConfig = GateConfig()
    review: ReviewConfig = ReviewConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    tokens: TokensConfig = TokensConfig()
    serve: ServeConfig = ServeConfig()
    run: RunConfig = RunConfig()


@dataclass(frozen=True)
class Bench:
    """A folder and its settings; ledger and encoder are opened when first used."""

    root: Path
    config: Config

    @classmethod
    def find(cls, folder: Path | None = None, settings: Sequence[str] = (), *, pipeline: Path | None = None) -> Self:
        """The bench in `folder`, or in the nearest parent of the working folder that has a wb.yaml.

        Settings: code defaults < wb.yaml < `pipeline` file < `settings` (`key.sub=value`).

        Raises:
            ConfigError: there is no bench, or a setting is wrong.
        """
        root = folder.resolve() if folder else _nearest(Path.cwd())
        if root is None or not (root / FILE).is_file():
            where = f"{folder} has no {FILE}" if folder else f"Neither this folder nor a parent has a {FILE}"
            raise ConfigError(f"{where}.", "Make a bench with: wb init")
        values = read_yaml(root / FILE)
        where = str(root / FILE)
        if pipeline is not None:
            values, where = overlay(values, read_yaml(pipeline)), f"{where} + {pipeline}"
        values = overlay(values, assignments(settings))
        _load_plugins(root, values.get("plugins") or ())
        return cls(root, Config.read(values, where=where))

    @classmethod
    def find_or_bare(
        cls, folder: Path | None = None, settings: Sequence[str] = (), *, pipeline: Path | None = None
    ) -> Self:
        """Like `find`, but code defaults where there is no bench: for commands that only read files."""
        if folder is None and _nearest(Path.cwd()) is None:
            values = overlay(read_yaml(pipeline) if pipeline else {}, assignments(settings))
            return cls(Path.cwd(), Config.read(values, where=f"{pipeline} + --set" if pipeline else "--set"))
        return cls.find(folder, settings, pipeline=pipeline)

    @property
    def bare(self) -> bool:
        """Whether there is no bench in the folder: no ledger is to be made there."""
        return not (self.root / FILE).is_file()

    @cached_property
    def ledger(self) -> Ledger:
        """The bench's facts."""
        return Ledger.open(self.root / "wb.db")

    @cached_property
    def engine(self) -> Encoder:
        """The encoder itself, which computes each vector that it is asked for."""
        return open_encoder(self.config.encoder)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, with a cache in the bench."""
        return Cached(self.engine, self.root / "cache" / "vectors")

    @property
    def runs(self) -> Path:
        """Where run folders are."""
        return self.root / "runs"

    @contextmanager
    def alone(self, verb: str) -> Iterator[None]:
        """Hold the bench for a verb that buys or decides: a second process gets an error, not a double purchase.

        Raises:
            WorkbenchError: another process holds it.
            DataError: the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / ".wb.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as exc:
            raise WorkbenchError(
                f"Another wb process is at work in {self.root}; `wb {verb}` would get in its way.",
                "Wait for its end, or stop it, then run this again.",
            ) from exc
        except OSError as exc:
            raise DataError(
                f"{self.root} cannot be written: {exc.strerror or exc}.", "Make the bench writable for you."
            ) from exc
        try:
            yield
        finally:
            lock.release()


def _nearest(folder: Path) -> Path | None:
    return next((parent for parent in (folder, *folder.parents) if (parent / FILE).is_file()), None)


def _load_plugins(root: Path, plugins: Any) -> None:
    """Run the user's own Python files, named in wb.yaml, so that the rules which they define are known."""
    from importlib.util import module_from_spec, spec_from_file_location

    for name in plugins if isinstance(plugins, list | tuple) else ():  # anything else is refused by the schema
        path = root / str(name)
        if not path.is_file():
            raise ConfigError(f"plugins: {path} does not exist.", "Paths are relative to the folder of wb.yaml.")
        spec = spec_from_file_location(f"workbench_plugin_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ConfigError(f"plugins: {path} is not a Python file.", "Name a file that ends in .py.")
        spec.loader.exec_module(module_from_spec(spec))
