"""Self-contained HTML pages and plots: no script, no outside resource, Chinese labels as real text."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from workbench.records import SEP
from workbench.text import shorten

FONTS = '"Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif'
CJK = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the name under which matplotlib lists the collection of all of them
    "Source Han Sans CN",
    "Source Han Sans SC",
    "Noto Sans SC",
    "Noto Serif CJK JP",
    "SimHei",
    "Microsoft YaHei",
    "PingFang SC",
    "Heiti SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
"""Fonts with Chinese characters, best first."""
READABLE = 160
"""Classes up to which a confusion PNG names them."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5c6675; --line: #dde2ea; --paper: #ffffff; --card: #f4f6fa;
  --bar: #3b6fd4; --bar2: #e08a3c; --on: #ffffff; --good: #1b7f4d; --bad: #b3362b; --unsure: #7a6a1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333b48; --paper: #14181f;
  --card: #1d2430; --bar: #6f9cf0; --bar2: #e7a766; --on: #10141a; --good: #5cc08c; --bad: #ef8077; --unsure: #d3bf5f; } }
body { margin: 0 auto; max-width: 1080px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, FONTS; }
h1 { font-size: 26px; margin: 8px 0 4px; } h2 { font-size: 19px; margin: 36px 0 8px; }
p.lead { font-size: 17px; background: var(--card); border-left: 4px solid var(--bar); padding: 10px 14px; }
p.note, caption { color: var(--soft); font-size: 14px; } section { margin-bottom: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } caption { text-align: left; padding-bottom: 4px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: break-word; } td:has(> code) { white-space: nowrap; }
.scroll { overflow-x: auto; margin: 8px 0; } .sep { color: var(--bar2); padding: 0 4px; }
code { font: 13px/1.4 ui-monospace, Menlo, Consolas, monospace; background: var(--card); padding: 1px 5px;
  border-radius: 4px; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 8px 0 16px; }
.tiles div { background: var(--card); border-radius: 8px; padding: 8px 14px; color: var(--soft); font-size: 13px; }
.tiles b { display: block; color: var(--ink); font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.improved { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
.cannot-tell { color: var(--unsure); } svg text { fill: var(--ink); font: 12px system-ui, FONTS; }
svg .soft { fill: var(--soft); } svg .bar { fill: var(--bar); } svg .bar2 { fill: var(--bar2); } svg .card { fill: var(--card); }
svg text.on { fill: var(--on); }
""".replace("FONTS", FONTS)


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is safe to put into a page as it is."""

    markup: str


def escape(value: Any) -> str:
    """A value as markup: text escaped, `Html` as it is."""
    return value.markup if isinstance(value, Html) else html.escape(str(value))


def page(title: str, sections: Sequence[Html]) -> str:
    """A whole page."""
    body = "\n".join(section.markup for section in sections)
    return (
        f'<!doctype html>\n<html lang="zh"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def section(title: str, *parts: Html) -> Html:
    """A heading and what stands under it."""
    heading = f"<h2>{html.escape(title)}</h2>" if title else ""
    return Html(f"<section>{heading}" + "\n".join(part.markup for part in parts) + "</section>")


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph; `kind` is `lead` or `note`."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<p{attribute}>{html.escape(text)}</p>")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = (), caption: str = ""
) -> Html:
    """A table; `right` names the columns of numbers. Cells may be `Html`."""

    def cells(tag: str, values: Sequence[Any]) -> str:
        return "".join(
            f"<{tag}{' class=n' if i in right else ''}>{escape(value)}</{tag}>" for i, value in enumerate(values)
        )

    head = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return Html(
        f'<div class="scroll"><table>{head}<thead><tr>{cells("th", columns)}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def badge(outcome: str) -> Html:
    """An outcome in its colour."""
    return Html(f'<span class="{html.escape(outcome.replace(" ", "-"))}">{html.escape(outcome)}</span>')


def code(text: str) -> Html:
    """A command or an id."""
    return Html(f"<code>{html.escape(text)}</code>")


def turns(text: str, width: int = 400) -> Html:
    """A text, or the turns of a dialogue on one line, at most `width` characters."""
    return Html('<span class="sep">|</span>'.join(html.escape(turn) for turn in shorten(text, width).split(SEP)))


def tiles(figures: Sequence[tuple[str, str]]) -> Html:
    """Figures beside each other: value and what it is."""
    inner = "".join(f"<div><b>{html.escape(value)}</b>{html.escape(name)}</div>" for value, name in figures)
    return Html(f'<div class="tiles">{inner}</div>')


def bars(rows: Sequence[tuple[str, float, float]], *, names: tuple[str, str] = ("", "")) -> Html:
    """Horizontal bars: label, value, and a second value stacked on it (0 for none). `names` explain the two."""
    if not rows:
        return Html("")
    top = max(first + second for _, first, second in rows) or 1.0
    lines: list[str] = []
    for i, (label, first, second) in enumerate(rows):
        y, a, b = i * 22, 560 * first / top, 560 * second / top
        shown = f"{first:g}" + (f" + {second:g}" if second else "")
        lines.append(
            f"<g><title>{html.escape(label)}: {shown}</title>"
            f'<text x="232" y="{y + 14}" text-anchor="end">{html.escape(_clip(label, 36))}</text>'
            f'<rect class="bar" x="240" y="{y + 3}" width="{a:.1f}" height="14"/>'
            f'<rect class="bar2" x="{240 + a:.1f}" y="{y + 3}" width="{b:.1f}" height="14"/>'
            f'<text class="soft" x="{246 + a + b:.1f}" y="{y + 14}">{shown}</text></g>'
        )
    legend, y = "", len(rows) * 22 + 8
    for x, kind, name in ((240, "bar", names[0]), (400, "bar2", names[1])):
        if name:
            legend += f'<rect class="{kind}" x="{x}" y="{y}" width="12" height="12"/>'
            legend += f'<text x="{x + 18}" y="{y + 11}">{html.escape(name)}</text>'
    height = y + (20 if legend else 0)
    return Html(
        f'<div class="scroll"><svg width="900" height="{height}" role="img">{"".join(lines)}{legend}</svg></div>'
    )


def heat_map(
    labels: Sequence[str], matrix: Sequence[Sequence[float]], caption: str, *, columns: Sequence[str] = ()
) -> Html:
    """Rows by true and columns by predicted class, shaded by share of the row; the diagonal is in another colour.

    `columns` are named where they are not the rows' own classes, which come first in any case.
    """
    columns = columns or labels
    size, left, top = 26, 208, 150
    width, height = len(columns) * size, len(labels) * size
    parts = [f'<rect class="card" x="{left}" y="{top}" width="{width - 1}" height="{height - 1}"/>']
    for j, name in enumerate(columns):
        x = left + j * size + 16
        parts.append(f'<text transform="translate({x},{top - 6}) rotate(-50)">{html.escape(_clip(name, 28))}</text>')
    for i, name in enumerate(labels):
        y = top + i * size
        parts.append(f'<text x="{left - 6}" y="{y + 17}" text-anchor="end">{html.escape(_clip(name, 28))}</text>')
        total = sum(matrix[i]) or 1
        parts += [
            _cell(left + j * size, y, value, total, f"{name} → {columns[j]}: {value:g} of {total:g}", i == j)
            for j, value in enumerate(matrix[i])
            if value
        ]
    drawing = f'<svg width="{left + width + 130}" height="{top + height + 6}" role="img">{"".join(parts)}</svg>'
    return Html(f'<p class="note">{html.escape(caption)}</p><div class="scroll">{drawing}</div>')


def _cell(x: int, y: int, value: float, total: float, title: str, right: bool) -> str:
    share = value / total
    shown = f"{value:g}" if value < 10_000 else f"{value / 1000:.0f}k"
    return (
        f'<rect class="{"bar" if right else "bar2"}" x="{x}" y="{y}" width="25" height="25" '
        f'fill-opacity="{max(0.08, share):.2f}"><title>{html.escape(title)}</title></rect>'
        f'<text{" class=on" if share > 0.6 else ""} x="{x + 12.5}" y="{y + 17}" text-anchor="middle" '
        f'style="font-size:{12 if len(shown) < 4 else 9}px">{shown}</text>'
    )


def _clip(text: str, width: int) -> str:
    """One line of at most `width` half-width characters; a Chinese one is as wide as two."""
    line = " ".join(text.split())
    widths = [2 if east_asian_width(char) in "WF" else 1 for char in line]
    if sum(widths) <= width:
        return line
    kept, used = 0, 1
    while used + widths[kept] <= width:
        used += widths[kept]
        kept += 1
    return line[:kept] + "…"


def confusion_png(path: Path, labels: Sequence[str], matrix: Any, title: str) -> str:
    """Write a confusion matrix [classes, classes], true by predicted, as PNG. Returns a note, empty where all is well.

    Chinese labels need a font that has them: the system's, or the one of the extra `fonts`; else classes are numbered.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    k = len(labels)
    families = _fonts("".join(labels) + title)
    names = [_clip(label, 32) for label in labels] if families else [str(i) for i in range(k)]
    size = min(60.0, max(5.0, 0.36 * k + 2.5))
    styles: Any = {"font.family": families or ["DejaVu Sans"], "font.size": 8, "text.parse_math": False}
    with mpl.rc_context(styles):
        figure = Figure(figsize=(size, size), dpi=120)
        axes = figure.subplots()
        shares = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if k <= READABLE:
            for i, j in zip(*matrix.nonzero(), strict=True):
                colour = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour)
            axes.set_xticks(range(k), names, rotation=60, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(k), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title if families else f"classes numbered in the order of the report ({k})")
        figure.savefig(path, format="png", bbox_inches="tight")
    if k > READABLE:
        return f"The PNG shows {k} classes without names or numbers: more than {READABLE} cannot be read."
    if families:
        return ""
    return "No font on this machine has all characters of the classes: the PNG numbers them. pip install 'intent-workbench[fonts]'"


def curves_png(path: Path, axes: Mapping[str, Sequence[float]], curves: Mapping[str, Sequence[float]]) -> None:
    """Write curves as PNG, one colour each, in a panel for each axis (name -> x of the points); names are in English."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7 * len(axes), 4), dpi=120)
    for panel, (axis, x) in zip(
        figure.subplots(1, len(axes), sharey=True, squeeze=False)[0], axes.items(), strict=True
    ):
        for name, values in curves.items():
            panel.plot(x, values, marker="o", label=name)
        panel.set_xlabel(axis)
        panel.legend()
        panel.grid(alpha=0.3)
    figure.savefig(path, format="png", bbox_inches="tight")


def _fonts(text: str) -> list[str]:
    """Font families that have the characters of the text together, or none."""
    from importlib.util import find_spec

    from matplotlib import font_manager

    wanted = {ord(char) for char in text if char.isprintable() and not char.isspace()}
    if spec := find_spec("mplfonts"):
        for folder in spec.submodule_search_locations or ():
            for file in Path(folder).rglob("*.[ot]t[fc]"):
                font_manager.fontManager.addfont(str(file))
    entries = {font.name: font.fname for font in reversed(font_manager.fontManager.ttflist)}
    base = "DejaVu Sans"  # matplotlib's own
    missing = wanted - _characters(entries[base])
    if not missing:
        return [base]
    known = [name for name in CJK if name in entries]
    return next(([base, name] for name in known if missing <= _characters(entries[name])), [])


def _characters(file: str) -> set[int]:
    from matplotlib import font_manager

    return set(font_manager.get_font(file).get_charmap())
