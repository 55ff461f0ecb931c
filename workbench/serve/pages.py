"""The two pages of `wb serve`: one to try the model, one that lists the routes. Neither loads anything from elsewhere."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from workbench.page import Html, code, page, paragraph, section, table

PAGE = Path(__file__).with_name("try.html")


def try_page() -> tuple[str, str]:
    """The page to try the model, and a content security policy that lets only its own script and style run."""
    html = PAGE.read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in inner)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def docs_page(schema: Mapping[str, Any]) -> str:
    """The routes of an OpenAPI description with what they take and give."""
    schemas = schema.get("components", {}).get("schemas", {})
    parts = [
        paragraph(f"{schema['info']['title']} {schema['info']['version']}. For programs: /openapi.json", "note"),
        *(_route(path, method, route, schemas) for path, method, route in _routes(schema)),
        section("Errors", paragraph(_ERRORS)),
    ]
    return page("wb serve: routes", parts)


_ERRORS = (
    'Errors are {"error", "hint"}: what is wrong, and what to do; under /v1 {"error": {"message", "type"}}. 400: no JSON. '
    "401: no key. 413: too large. 422: a field is wrong. 503: too many texts wait; the header Retry-After says for how long."
)


def _routes(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            yield path, method.upper(), route


def _route(path: str, method: str, route: Mapping[str, Any], schemas: Mapping[str, Any]) -> Html:
    parts = [paragraph(" ".join(route.get("description", "").split()))]
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    given = route.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    for title, one in (("takes", body), ("gives", given)):
        fields = _fields(one, schemas)
        if fields:
            parts.append(table([title, "", ""], [(code(name), kind, about) for name, kind, about in fields]))
    return section(f"{method} {path}", *parts)


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each field of an object."""
    known = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return [
        (name, _kind(field), " ".join(field.get("description", "").split()))
        for name, field in known.get("properties", {}).items()
    ]


def _kind(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(one) for one in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if field.get("items") else "list"
    return str(field.get("type") or json.dumps(field.get("enum", "any")))
