"""A window on the search page, over a service whose answers tests write."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.listening import listening
from tests.serve.page.service import Service, build


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with listening(build(service)) as address:
        yield address
        for event in service.held.values():
            event.set()


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page in a window of its own. Fails if it complains, or asks for anything but its own origin."""
    contexts, told, asked = [], [], []

    def visit(path: str = "", width: int = 1280, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    # An answer that is not a success is reported by the browser itself: those are what some tests are about.
    assert [line for line in told if not line.startswith("Failed to load resource")] == []
    assert [url for url in asked if not url.startswith(address + "/")] == []
