"""The search page by keyboard alone, in a real Chromium."""

from tests.serve.page.service import Service
from tests.serve.page.window import DEPOSIT, Open, assert_says, expect, hits


def test_all_of_it_goes_by_keys(visit: Open, service: Service) -> None:
    page = visit()
    page.keyboard.type("deposit")
    page.keyboard.press("Enter")
    assert_says(page, "4 hits.")
    steps = [("ArrowDown", "d1"), ("j", "d2"), ("ArrowDown", "d3"), ("k", "d2")]
    for key, doc_id in steps:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.id") == doc_id
    page.keyboard.press("r")
    expect(hits(page).nth(1).locator(".sent")).to_have_text("sent: relevant")
    page.keyboard.press("n")
    expect(hits(page).nth(1).locator(".sent")).to_have_text("sent: not relevant")
    page.keyboard.press("c")
    expect(hits(page, "Compared hits")).to_have_count(4)
    page.keyboard.press("j")
    page.keyboard.press("l")  # d3 stands first in the other list
    expect(hits(page, "Compared hits").first).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(hits(page).nth(2)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(hits(page).nth(2)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("j/k?")  # letters again
    expect(page.get_by_label("Query")).to_have_value("j/k?")
    assert [told["kind"] for told in service.feedback] == ["relevant", "not_relevant"]


def test_letters_as_keys_can_be_switched_off(visit: Open) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Letters and signs are keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.reload()
    assert_says(page, "4 hits.")
    page.keyboard.press("j")
    page.keyboard.press("c")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement === document.body") and "compare" not in page.url


def test_tab_leads_through_the_form_to_the_hits(visit: Open) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.get_by_label("Query").focus()
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["go", "compare", "Filter", "Relevant", "Not relevant"]
