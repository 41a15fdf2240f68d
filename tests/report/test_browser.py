"""The page in a real Chromium: it draws without a complaint, in light and dark, and fits a narrow window."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixstage.report.contents import Contents
from mixstage.report.page.page import render_page
from tests.report.conftest import WINNER


@pytest.fixture
def path(tmp_path: Path, report: Contents, means: pl.DataFrame) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_page(report, means), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium: Any, path: Path) -> Iterator[Any]:
    """The page, drawn, 400 pixels wide and dark. Fails if it complains, or asks for anything but itself."""
    page = chromium.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    drawn(page)
    yield page
    page.close()
    assert told == [] and asked == [path.as_uri()]


def drawn(page: Any) -> None:
    page.wait_for_function("document.body.dataset.drawn")


def texts(page: Any, figure: int) -> list[str]:
    """What stands in the cells of a heat map."""
    found: list[str] = page.locator("figure.chart").nth(figure).locator(".mark-text text").all_text_contents()
    return [text for text in found if text.startswith(".")]


def test_every_chart_is_drawn_and_fits_a_narrow_window(opened: Any) -> None:
    assert opened.locator("figure.chart").count() == opened.locator("figure.chart svg.marks").count() == 10
    widths = opened.evaluate("[...document.querySelectorAll('figure.chart svg')].map(svg => svg.clientWidth)")
    assert min(widths) > 200 and max(widths) <= 400
    assert opened.evaluate("document.documentElement.scrollWidth") == 400


def test_names_run_no_script(opened: Any) -> None:
    assert "evil" in opened.title() and opened.title().startswith("mixstage: </script>")


def test_the_winners_cell_is_framed_and_a_near_one_hatched(opened: Any) -> None:
    first, second = (opened.locator("figure.chart").nth(place) for place in (0, 1))
    assert first.locator('path[aria-roledescription="rect mark"][stroke-width="3"]').count() == 1
    assert second.locator('path[fill="url(#hatch)"]').count() == 1 and opened.locator("pattern#hatch").count() == 1


def test_a_cell_tells_its_composition_under_the_pointer(opened: Any) -> None:
    opened.locator('figure.chart path[aria-roledescription="rect mark"][stroke-width="3"]').hover(force=True)
    told = opened.locator("#vg-tooltip-element.visible").inner_text()
    assert WINNER in told and "0.5500" in told


def test_the_selects_change_what_is_shown(opened: Any) -> None:
    # retrievers base and broad; rerankers none, base, oracle; all is .05 above a, test .05 below dev
    assert sorted(texts(opened, 0)) == [".350", ".400", ".450", ".550", ".950"]  # and the oracle's 1.000
    opened.locator("select[data-param=application]").select_option("a")
    opened.locator("select[data-param=split]").select_option("test")
    opened.wait_for_function("document.querySelector('figure.chart svg').textContent.includes('.250')")
    assert sorted(texts(opened, 0)) == [".250", ".300", ".350", ".450", ".850", ".900"]


def test_colours_follow_the_reader(opened: Any) -> None:
    def seen() -> tuple[str, str]:
        label = opened.locator("figure.chart svg .role-axis-label text").first
        return opened.evaluate("getComputedStyle(document.body).backgroundColor"), label.get_attribute("fill")

    dark = seen()
    opened.evaluate("delete document.body.dataset.drawn")
    opened.emulate_media(color_scheme="light")
    drawn(opened)
    light = seen()
    assert (dark[0], light[0]) == ("rgb(18, 22, 28)", "rgb(255, 255, 255)") and dark[1] != light[1]
