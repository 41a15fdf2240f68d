"""What tests do in a window on the search page, and what they look for."""

from collections.abc import Callable
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
expect = sync_api.expect
expect.set_options(timeout=20_000)  # ms: a busy machine is not a failure

Open = Callable[..., Any]  # of the fixture `visit`
DEPOSIT = "?application=counsel&q=deposit"


def search(page: Any, query: str) -> None:
    page.get_by_label("Query").fill(query)
    page.keyboard.press("Enter")


def hits(page: Any, column: str = "Hits") -> Any:
    return page.get_by_role("region", name=column, exact=True).get_by_role("article")


def assert_says(page: Any, text: str) -> None:
    expect(page.locator("#status")).to_have_text(text)
