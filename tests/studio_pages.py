"""Label Studio as a person sees it: a browser that logs in, opens a queue and works by keyboard, and what the API then holds.

Set WB_SCREENSHOTS=1 to write the pictures of the docs, WB_CHROMIUM to name a browser.
"""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

IMAGES = Path(__file__).parents[1] / "docs" / "images"
# No sandbox: containers run as root. Nothing is to leave the machine.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
PATIENCE = 30_000
"""Milliseconds until a page that does not come is a failure."""


class Api:
    """What these tests need of the HTTP interface, without the client that the product uses."""

    def __init__(self, local):
        self.local = local
        self.opener = build_opener(ProxyHandler({}))

    def __call__(self, method, path, body=None):
        headers = {"Authorization": f"Token {self.local.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with self.opener.open(Request(self.local.url + path, data, headers, method=method)) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def project(self, title, config, tasks, order="", columns=()):
        """A project with tasks and one tab; returns the numbers of both."""
        number = self("POST", "/api/projects/", {"title": title, "label_config": config})["id"]
        self("POST", f"/api/projects/{number}/import", tasks)
        shown = {f"tasks:data.{name}" for name in columns}
        known = {f"tasks:{column['id']}" for column in self("GET", f"/api/dm/columns/?project={number}")["columns"]}
        known |= {f"tasks:data.{name}" for task in tasks for name in task["data"]}
        hidden = sorted(known - shown - {"tasks:id", "tasks:total_annotations", "tasks:data"}) if columns else []
        tab = {
            "title": "最可疑 most doubtful",
            "type": "list",
            "target": "tasks",
            "filters": {"conjunction": "and", "items": []},
            "ordering": [order] if order else [],
            "hiddenColumns": {"explore": hidden, "labeling": []},
            "columnsWidth": {"tasks:data.text": 520},
            "columnsDisplayType": {"tasks:data.doubt": "number"},
        }
        return number, self("POST", "/api/dm/views/", {"project": number, "data": tab})["id"]

    def annotations(self, number):
        """uid -> annotations, oldest first."""
        rows = self("GET", f"/api/tasks?project={number}&fields=all&page_size=500")["tasks"]
        return {row["data"]["uid"]: sorted(row["annotations"], key=lambda one: one["id"]) for row in rows}


def said(annotation):
    """What an annotation says: control -> value, without what varies (ids, times)."""
    return {item["from_name"]: next(iter(item["value"].values())) for item in annotation["result"]}


@contextmanager
def open_browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("WB_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium; WB_CHROMIUM can name one")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Reviewer:
    """A person at the page: keys only, except where a method says otherwise."""

    def __init__(self, browser, local, email=None, password=None):
        self.url = local.url
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, locale="en-US")
        self.page.set_default_timeout(PATIENCE)
        self.outside = []
        self.page.on("request", lambda request: self._note(request.url))
        self.page.goto(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", email or local.email)
        self.page.fill("input[name=password]", password or local.password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def _note(self, url):
        if not url.startswith((self.url, "data:", "blob:")):
            self.outside.append(url)

    def look(self, project, tab):
        """The table of tasks."""
        self.page.goto(f"{self.url}/projects/{project}/data?tab={tab}")
        self.page.wait_for_selector(".lsf-table__row, .lsf-table-ls__row, [data-testid^=table-row]", state="attached")

    def start(self, project, tab):
        """The first task of the queue. The tab must be named: without it the first tab's queue is served."""
        self.page.goto(f"{self.url}/projects/{project}/data?tab={tab}&labeling=1")
        self.ready()

    def ready(self):
        self.page.wait_for_selector('button:has-text("Submit"):enabled')

    def see(self, text, selector=".lsf-richtext__container"):
        """Wait for the task with this text in the editor, not in the table behind it."""
        self.page.locator(selector, has_text=text).first.wait_for()
        self.ready()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, text):
        self.page.keyboard.insert_text(text)

    def submit(self):
        """Ctrl+Enter, and wait until the server has it."""
        with self.page.expect_response(_is("POST", r"/api/tasks/\d+/annotations")) as answer:
            self.press("Control+Enter")
        assert answer.value.ok

    def skip(self):
        with self.page.expect_response(_is("POST", r"/api/tasks/\d+/annotations")) as answer:
            self.press("Control+Space")
        assert answer.value.ok

    def checked(self):
        """What is chosen among radio buttons and boxes, hidden ones too."""
        return self.page.eval_on_selector_all("input:checked", "found => found.map(one => one.name)")

    def shot(self, name):
        """A picture for the docs, if they are to be made."""
        if os.environ.get("WB_SCREENSHOTS"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(500)  # transitions
            self.page.screenshot(path=str(IMAGES / f"{name}.png"))


def _is(method, path):
    return lambda answer: answer.request.method == method and re.search(path, answer.url) is not None
