"""Self-contained HTML pages and plots: no script, no outside resource, Chinese labels as real text."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.text import shorten

FONTS = '"Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif'
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5c6675; --line: #dde2ea; --paper: #ffffff; --card: #f6f8fb;
  --bar: #3b6fd4; --bar2: #e08a3c; --good: #1b7f4d; --bad: #b3362b; --unsure: #7a6a1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333b48; --paper: #14181f;
  --card: #1c222c; --bar: #6f9cf0; --bar2: #e7a766; --good: #5cc08c; --bad: #ef8077; --unsure: #d3bf5f; } }
body { margin: 0 auto; max-width: 1080px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, FONTS; }
h1 { font-size: 26px; margin: 8px 0 4px; } h2 { font-size: 19px; margin: 32px 0 8px; }
p.lead { font-size: 17px; background: var(--card); border-left: 4px solid var(--bar); padding: 10px 14px; }
p.note, caption { color: var(--soft); } section { margin-bottom: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } caption { text-align: left; padding-bottom: 4px; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } .improved { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
.cannot-tell { color: var(--unsure); } svg text { fill: var(--ink); font: 12px system-ui, FONTS; }
svg .soft { fill: var(--soft); } svg .bar { fill: var(--bar); } svg .bar2 { fill: var(--bar2); }
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
            f'<text x="232" y="{y + 14}" text-anchor="end">{html.escape(shorten(label, 18))}</text>'
            f'<rect class="bar" x="240" y="{y + 3}" width="{a:.1f}" height="14"/>'
            f'<rect class="bar2" x="{240 + a:.1f}" y="{y + 3}" width="{b:.1f}" height="14"/>'
            f'<text class="soft" x="{246 + a + b:.1f}" y="{y + 14}">{shown}</text>'
        )
    legend = ""
    if any(names):
        y = len(rows) * 22 + 8
        legend = (
            f'<rect class="bar" x="240" y="{y}" width="12" height="12"/><text x="258" y="{y + 11}">{html.escape(names[0])}</text>'
            f'<rect class="bar2" x="400" y="{y}" width="12" height="12"/><text x="418" y="{y + 11}">{html.escape(names[1])}</text>'
        )
    height = len(rows) * 22 + (28 if legend else 4)
    return Html(
        f'<div class="scroll"><svg width="900" height="{height}" role="img">{"".join(lines)}{legend}</svg></div>'
    )


def heat_map(labels: Sequence[str], matrix: Sequence[Sequence[float]], caption: str) -> Html:
    """Rows by true and columns by predicted class, shaded by share of the row; the diagonal is in another colour."""
    cell, left, top = 26, 200, 130
    parts: list[str] = []
    for i, name in enumerate(labels):
        total = sum(matrix[i]) or 1
        short = html.escape(shorten(name, 14))
        parts.append(f'<text x="{left - 6}" y="{top + i * cell + 17}" text-anchor="end">{short}</text>')
        x = left + i * cell + 16
        parts.append(f'<text transform="translate({x},{top - 6}) rotate(-50)">{short}</text>')
        for j, value in enumerate(matrix[i]):
            kind = "bar" if i == j else "bar2"
            parts.append(
                f'<rect class="{kind}" x="{left + j * cell}" y="{top + i * cell}" width="{cell - 1}" height="{cell - 1}" '
                f'fill-opacity="{max(0.04, value / total):.2f}"><title>{html.escape(name)} → {html.escape(labels[j])}: '
                f"{value:g} of {total:g}</title></rect>"
            )
            if value:
                parts.append(
                    f'<text x="{left + j * cell + cell / 2 - 1}" y="{top + i * cell + 17}" text-anchor="middle">{value:g}</text>'
                )
    size = len(labels) * cell
    return Html(
        f'<p class="note">{html.escape(caption)}</p><div class="scroll"><svg width="{left + size + 90}" '
        f'height="{top + size + 6}" role="img">{"".join(parts)}</svg></div>'
    )


def confusion_png(path: Path, labels: Sequence[str], matrix: Any, title: str) -> str:
    """Write a confusion matrix as PNG. Returns a note, empty where all is well.

    Chinese labels need a font that has them: the system's, or the one of the extra `fonts`; else classes are numbered.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    family = _font_for("".join(labels) + title)
    names = [shorten(label, 16) for label in labels] if family else [str(i) for i in range(len(labels))]
    size = max(5.0, 0.36 * len(labels) + 2.5)
    with mpl.rc_context({"font.family": [family] if family else ["sans-serif"], "font.size": 8}):
        figure, axes = plt.subplots(figsize=(size, size), dpi=120)
        shares = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in zip(*matrix.nonzero(), strict=True):
            axes.text(
                j, i, str(matrix[i, j]), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black"
            )
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title if family else f"classes numbered in the order of the report ({len(names)})")
        figure.savefig(path, bbox_inches="tight")
        plt.close(figure)
    if family:
        return ""
    return (
        "No font with Chinese characters was found: the PNG numbers the classes. pip install 'intent-workbench[fonts]'"
    )


def _font_for(text: str) -> str:
    """A font family that has the characters of the text, or nothing."""
    from importlib.util import find_spec

    from matplotlib import font_manager

    if text.isascii():
        return "DejaVu Sans"
    if spec := find_spec("mplfonts"):
        for folder in spec.submodule_search_locations or ():
            for file in Path(folder).rglob("*.[ot]t[fc]"):
                font_manager.fontManager.addfont(str(file))
    known = {font.name for font in font_manager.fontManager.ttflist}
    wanted = (
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Source Han Sans CN",
        "Source Han Sans SC",
        "SimHei",
        "PingFang SC",
    )
    more = (
        "Microsoft YaHei",
        "WenQuanYi Zen Hei",
        "WenQuanYi Micro Hei",
        "Noto Sans SC",
        "Heiti SC",
        "Arial Unicode MS",
    )
    return next((name for name in (*wanted, *more) if name in known), "")
