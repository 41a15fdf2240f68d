"""The search page in light and dark, narrow and wide, to the eye and to a screen reader."""

import re

import pytest

from tests.serve.page.service import PLAIN
from tests.serve.page.window import DEPOSIT, Open, assert_says, expect, hits


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_light_and_dark_and_can_be_read_in_both(visit: Open, scheme: str) -> None:
    """Contrast of every text to what lies behind it: 4.5 at least, as WCAG 2.2 AA asks."""
    page = visit(f"{DEPOSIT}&compare={PLAIN}", color_scheme=scheme)
    expect(hits(page, "Compared hits")).to_have_count(4)
    hits(page).first.get_by_role("button", name="Relevant", exact=True).click()
    hits(page).nth(1).get_by_role("button", name="Not relevant").click()
    expect(hits(page).nth(1).locator(".sent")).to_have_text("sent: not relevant")
    paper = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()")
    assert paper == {"light": "#ffffff", "dark": "#12161c"}[scheme]
    texts = page.evaluate(
        """() => [...document.querySelectorAll("body *")].flatMap((element) => {
          const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
          if (!own || !element.checkVisibility() || element.disabled) return [];
          let behind = element;
          const colour = (of, name) => getComputedStyle(of)[name];
          while (behind && colour(behind, "backgroundColor") === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          const back = colour(behind ?? document.body, "backgroundColor");
          return [[element.textContent.trim().slice(0, 40), colour(element, "color"), back]];
        })"""
    )
    assert len(texts) > 60
    assert [text for text, ink, back in texts if contrast(ink, back) < 4.5] == []


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio", of two colours written rgb(r, g, b)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_phone_scrolls_in_one_direction_only(visit: Open) -> None:
    page = visit(f"{DEPOSIT}&compare={PLAIN}&filter={{}}", width=400)
    expect(hits(page, "Compared hits")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    one, other = hits(page).last.bounding_box(), hits(page, "Compared hits").first.bounding_box()
    assert one["width"] > 340 and other["y"] > one["y"] + one["height"]  # one below the other
    sizes = [button.bounding_box()["height"] for button in page.locator("#go, .marks button").all()]
    assert min(sizes) >= 36  # what a finger hits


def test_a_screen_reader_finds_its_way(visit: Open) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    assert page.locator("#status").get_attribute("role") == "status"
    assert page.get_by_role("search").get_by_role("button", name="Search").count() == 1
    assert page.get_by_role("main").get_by_role("list").get_by_role("listitem").count() == 4
    assert page.get_by_role("heading", level=3, name="Return of the deposit").count() == 1
    assert (
        page.get_by_role("article", name="1: Return of the deposit").get_by_role("group", name="Your judgement").count()
        == 1
    )
