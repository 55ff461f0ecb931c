"""Make a bench."""

from pathlib import Path

from workbench.assets import find
from workbench.bench import FILE
from workbench.errors import ConfigError


def init(folder: Path, preset: str) -> Path:
    """Write a commented wb.yaml into `folder`, from the pipeline file called `preset`. Returns its path.

    Raises:
        ConfigError: there is a wb.yaml already, or no such preset.
    """
    target = folder / FILE
    text = find("pipelines", f"{preset}.yaml").read_text(encoding="utf-8")
    if target.exists():
        raise ConfigError(f"{target} exists already.", "Edit it, or choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target
