"""What is shipped: wheel and sdist hold what git holds, and the installed `wb` works from an empty folder."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[1]
ASSETS = ("prompts", "label_configs", "pipelines")


def run(*command, cwd=ROOT):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def tracked(*folders):
    """Files that git holds, or would hold after `git add`: what is ignored must not be shipped."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *folders).splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    here = find_spec("hatchling") is not None
    run(sys.executable, "-m", "build", *(["--no-isolation"] if here else []), "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def wb(wheel, tmp_path_factory):
    """`wb` of the wheel in a fresh environment; its dependencies are borrowed from this one through a .pth file."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A plain path line: .pth files inside the borrowed folder, such as our editable install, are not followed.
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "wb"


def test_the_wheel_ships_the_assets_that_git_holds(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("workbench/_assets/") for name in names if name.startswith("workbench/_assets/")}
    assert shipped == tracked(*ASSETS)


def test_the_wheel_ships_the_package_that_git_holds(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name for name in names if not name.startswith("workbench/_assets/")} == tracked("workbench")


def test_the_sdist_holds_what_is_needed_to_build_and_test(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked("workbench", *ASSETS, "tests") <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile"} <= names


def test_the_wheel_is_not_the_checkout(wb, tmp_path):
    where = run(wb.parent / "python", "-c", "import workbench; print(workbench.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(wb.parents[1])


def test_the_installed_wb_helps_from_an_empty_folder(wb, tmp_path):
    text = run(wb, "--help", cwd=tmp_path)
    for verb in ("init", "data", "diagnose", "generate", "gate", "train", "evaluate", "run", "why"):
        assert verb in text
    assert list(tmp_path.iterdir()) == []


def test_the_installed_wb_finds_presets_prompts_and_demo_data(wb, tmp_path):
    run(wb, "init", "--preset", "telecom", cwd=tmp_path)
    assert "办理取消" in (tmp_path / "wb.yaml").read_text(encoding="utf-8")
    find = (
        "from workbench.assets import DEMO, find\n"
        "print(find('prompts', 'minority.zh.j2').is_file(), find('label_configs', 'review.xml').is_file(), "
        "sum(1 for _ in (DEMO / 'telecom/train.csv').open(encoding='utf-8')))"
    )
    assert run(wb.parent / "python", "-c", find, cwd=tmp_path).split() == ["True", "True", "277"]


def test_an_unknown_preset_is_answered_with_the_shipped_ones(wb, tmp_path):
    done = subprocess.run(
        [wb, "init", "--preset", "telekom"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "telecom.yaml" in done.stderr
    assert "Traceback" not in done.stderr
