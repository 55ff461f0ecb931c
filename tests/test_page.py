"""Pages and plots: nothing from outside, nothing unescaped, Chinese as text where a font has it."""

import numpy as np
import pytest

from workbench import page

EVIL = '<script>alert("x")</script>&'
SAFE = "&lt;script&gt;"


@pytest.mark.parametrize(
    "part",
    [
        page.section(EVIL),
        page.paragraph(EVIL),
        page.table([EVIL], [[EVIL]], caption=EVIL),
        page.badge(EVIL),
        page.code(EVIL),
        page.turns(EVIL),
        page.tiles([(EVIL, EVIL)]),
        page.bars([(EVIL, 1, 2)], names=(EVIL, EVIL)),
        page.heat_map([EVIL], [[1]], EVIL, columns=[EVIL]),
    ],
)
def test_texts_are_escaped(part):
    assert "<script" not in part.markup
    assert SAFE in part.markup


def test_a_page_is_self_contained():
    whole = page.page(EVIL, [page.paragraph("退订👍"), page.bars([("退订", 3, 1)])])
    assert "<script" not in whole
    assert "http" not in whole
    assert "退订👍" in whole
    assert whole.startswith("<!doctype html>")


def test_markup_in_a_cell_stays_markup():
    assert "<code>id</code>" in page.table(["a"], [[page.code("id")]]).markup


def test_bars_of_nothing_and_of_zeros():
    assert page.bars([]).markup == ""
    assert 'width="0.0"' in page.bars([("退订", 0, 0)]).markup


def test_long_names_are_cut_by_their_width():
    drawn = page.bars([("咨询（含查询）业务订购信息查询以及其他", 1, 0), ("a" * 30, 1, 0)]).markup
    assert "…</text>" in drawn
    assert f">{'a' * 30}</text>" in drawn


def drawn(path):
    from matplotlib import image

    assert path.read_bytes().startswith(b"\x89PNG")
    return image.imread(path)


MATRIX = np.array([[3, 1, 0], [0, 5, 2], [0, 0, 0]])


@pytest.mark.parametrize("labels", [["退订", "查询", "投诉"], ["a", "b", "$x$"], ["退订👍", "_b_", "c"]])
def test_confusion_png(tmp_path, labels):
    note = page.confusion_png(tmp_path / "c.png", labels, MATRIX, "true and predicted class")
    assert drawn(tmp_path / "c.png").shape[0] > 300
    assert not note or "fonts" in note


def test_without_a_font_the_classes_are_numbered(tmp_path, monkeypatch):
    from matplotlib import font_manager

    latin = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", latin)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    note = page.confusion_png(tmp_path / "c.png", ["退订", "查询", "投诉"], MATRIX, "title")
    assert "intent-workbench[fonts]" in note
    assert drawn(tmp_path / "c.png").shape[0] > 300
