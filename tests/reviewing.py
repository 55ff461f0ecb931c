"""A bench with candidates, and people who answer over the API, for tests that are marked `server`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import workbench
from workbench.bench import Bench
from workbench.gate.kinds import DEFAULTS

DEMO = Path(workbench.__file__).parent / "demo" / "telecom"
TOKEN = "LABEL_STUDIO_API_KEY"
OPEN = {}
"""Folder -> its ledger; `person` closes them."""
FORBIDDEN = {"kind": "keyword", "none": {"*": ["喂喂喂"]}}
"""What a gate is against that looks at nothing else."""


class Person:
    """Someone who works in Label Studio over its HTTP API, beside the client that is tested."""

    def __init__(self, url, token):
        import httpx

        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60)

    def tasks(self, project):
        """uid -> task, with annotations and predictions."""
        found, page = {}, 1
        while True:
            query = {"project": project, "fields": "all", "page": page, "page_size": 200}
            answer = self.http.get("/api/tasks", params=query)
            if answer.status_code == 404:
                return found
            rows = answer.raise_for_status().json()["tasks"]
            found |= {task["data"]["uid"]: task for task in rows}
            if len(rows) < 200:
                return found
            page += 1

    def annotate(self, task, *result, seconds=3.0, skipped=False):
        body = {"result": list(result), "lead_time": seconds, "was_cancelled": skipped}
        return self.http.post(f"/api/tasks/{task['id']}/annotations/", json=body).raise_for_status().json()["id"]

    def change(self, annotation, *result):
        self.http.patch(f"/api/annotations/{annotation}/", json={"result": list(result)}).raise_for_status()

    def delete(self, annotation):
        self.http.delete(f"/api/annotations/{annotation}/").raise_for_status()


def choice(name, *values):
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(values)}}


def approve():
    return [choice("verdict", "approve")]


def reject(*reasons):
    return [choice("verdict", "reject"), *([choice("reject_reason", *reasons)] if reasons else [])]


def edit(text):
    typed = {"from_name": "edited_text", "to_name": "text", "type": "textarea", "value": {"text": [text]}}
    return [choice("verdict", "edit"), typed]


def relabel(label):
    return [choice("verdict", "relabel"), choice("new_label", label)]


def stocked(folder, wb, url, *, rows=None, **settings):
    """A bench in `folder` with the demo's training rows and its candidates, gated by length alone; reviews go to `url`."""
    config = {
        "encoder": {"name": "hashed"},
        "gate": {"rules": {name: "off" for name in DEFAULTS if name != "format"} | {"keyword": FORBIDDEN}},
        "review": {"url": url, **settings},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wb.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    assert wb("data", "add", DEMO / "train.csv", "--split", "train", "--bench", folder).code == 0
    lines = (DEMO / "candidates.jsonl").read_text(encoding="utf-8").splitlines()
    made = [json.loads(line) for line in lines[:256]] if rows is None else rows
    path = folder / "made.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in made), encoding="utf-8")
    done = wb("gate", path, "--text", "text", "--label", "asked", "--add", "--bench", folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def person(studio_server, monkeypatch):
    monkeypatch.setenv(TOKEN, studio_server.token)
    someone = Person(studio_server.url, studio_server.token)
    yield someone
    someone.http.close()
    while OPEN:
        OPEN.popitem()[1].close()


@pytest.fixture
def home(tmp_path, wb, studio_server, person, monkeypatch):
    """The working folder is a bench with 256 candidates."""
    folder = stocked(tmp_path / "bench", wb, studio_server.url)
    monkeypatch.chdir(folder)
    return folder


def ledger(folder):
    if folder not in OPEN:
        OPEN[folder] = Bench.find(folder).ledger
    return OPEN[folder]


def states(folder):
    return {c.sample.id: c.judgement.state for c in ledger(folder).candidates()}


def pushed(wb, *args):
    done = wb("review", "push", "--json", *args)
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def pulled(wb):
    done = wb("review", "pull", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def spawn(folder, verb):
    code = f"import sys; sys.argv = ['wb', 'review', '{verb}']; from workbench.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
