"""The docs cannot drift: generated pages are up to date, the README's rule works, links lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workbench.bench import Bench
from workbench.flow.data import add
from workbench.flow.gate.run import gate_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def block(language, containing=""):
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in b)


def test_generated_pages_are_up_to_date():
    found = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_strategy_has_its_page_with_settings_that_are_valid():
    from workbench.bench import Config
    from workbench.generate.kinds import kinds

    index = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    for kind, strategy in kinds().items():
        if not strategy.__module__.startswith("workbench."):
            continue
        page = (ROOT / "docs" / "strategies" / f"{kind}.md").read_text(encoding="utf-8")
        assert f"(strategies/{kind}.md)" in index
        assert all(f"| `{name}` |" in page for name in strategy.model_fields if name != "kind")
        written = re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1)
        config = Config.read(yaml.safe_load(written), where=kind)
        assert type(config.generate.strategies[kind]) is strategy


def test_the_readmes_rule_is_about_fifteen_lines_and_drops_what_it_says(tmp_path):
    code = block("python", "NoPrice")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    (tmp_path / "no_price.py").write_text(code, encoding="utf-8")
    (tmp_path / "wb.yaml").write_text("encoder: {name: hashed}\n" + block("yaml"), encoding="utf-8")
    rows = [f"帮我查{thing}{n},查询" for thing in ("话费", "流量") for n in "一二三四"]
    rows += [f"把{thing}退掉{n},退订" for thing in ("彩铃", "会员") for n in "一二三四"]
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    (tmp_path / "new.csv").write_text("text,label\n查话费扣了5元,查询\n查流量还有多少,查询\n", encoding="utf-8")
    bench = Bench.find(tmp_path)
    add(bench, tmp_path / "train.csv", split="train")
    gated, _ = gate_file(bench, tmp_path / "new.csv", text=None, label=None, add=False)
    reasons = [[v.reason for v in row if v.rule == "no_price"] for row in gated.verdicts]
    assert reasons == [["names_a_price"], [""]]


def test_every_command_in_the_readme_exists():
    commands = json.loads(
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import json; from typer.main import get_command; from workbench.cli import app;"
                "print(json.dumps(sorted(get_command(app).commands)))",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    used = set(re.findall(r"(?:^|[`&]\s?)wb ([a-z]+)", README, re.MULTILINE))
    assert used <= set(commands)
    assert {"init", "data", "diagnose", "generate", "gate", "train", "evaluate", "run", "demo", "why"} <= set(commands)


def test_the_changelog_has_an_unreleased_section():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
