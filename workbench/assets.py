"""Where prompts, label configs and pipelines are: the user's own folder first, then what is shipped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from workbench.errors import ConfigError, one_of

Kind = Literal["prompts", "label_configs", "pipelines"]

_PACKAGE = Path(__file__).parent
# An installed wheel carries them inside the package; a clone has them beside it.
_SHIPPED = _PACKAGE / "_assets" if (_PACKAGE / "_assets").is_dir() else _PACKAGE.parent
DEMO = _PACKAGE / "demo"


def search_path(kind: Kind, roots: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Folders of this kind, nearest first; `roots` are the bench and whatever else the caller puts before ours."""
    folders = [root / kind for root in roots] + [_SHIPPED / kind]
    return tuple(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))


def find(kind: Kind, name: str, roots: Sequence[Path] = ()) -> Path:
    """The file called `name`, from the nearest folder that has it.

    Raises:
        ConfigError: no folder has it; the hint lists the known names.
    """
    folders = search_path(kind, roots)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    known = {path.name for folder in folders for path in folder.iterdir() if path.is_file()}
    raise ConfigError(f"There is no {name!r} among the {kind}.", one_of(name, known))
