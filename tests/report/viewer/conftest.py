"""A page in a real browser, opened from disk."""

import pytest

from tests.browser import browser  # noqa: F401


@pytest.fixture
def open_page(browser):  # noqa: F811
    """Open a file in a page of its own; the test fails at a request or a console message."""
    said, pages = [], []

    def open_file(path, *, width=1280, dark=False):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or said.append(f"request {request.url}")
            ),
        )
        pages.append(page)
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("#viewer[data-ready=yes]", timeout=60_000)
        return page

    yield open_file
    for page in pages:
        page.close()
    assert not said
