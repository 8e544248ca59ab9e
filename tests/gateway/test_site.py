"""The dashboard's files: public, small, and under a policy that lets nothing else in."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from services.gateway.site import Site
from tests.gateway.web import Web

BYTES_MAX = 40_000


@pytest.mark.parametrize(
    "path",
    ["/", "/fleet", "/tasks", "/tasks/42", "/escalations", "/bus", "/health", "/notifications", "/login"],
)
async def test_every_view_is_the_one_page(web: Web, path: str) -> None:
    client = httpx.AsyncClient(base_url=web.url)
    async with client:
        answer = await client.get(path, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 200
        assert answer.text.startswith("<!doctype html>")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-cache"
        again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await client.head(path)
        assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        assert plain.text == answer.text
        assert plain.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/tasks/x", "/tasks/1/2", "/js/none.js", "/js/", "/../site.py", "/js/../../site.py"]
)
async def test_nothing_else_is_served(web: Web, path: str) -> None:
    async with httpx.AsyncClient(base_url=web.url) as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.post("/")).status_code == 401


async def test_all_that_a_browser_fetches_is_small(web: Web) -> None:
    sent = 0
    async with httpx.AsyncClient(base_url=web.url) as client:
        left, seen = ["/"], set[str]()
        while left:
            seen.add(path := left.pop())
            answer = await client.get(path)
            assert answer.headers["content-encoding"] == "gzip", path
            sent += int(answer.headers["content-length"])
            found = re.findall(r'(?:src|href)="(/[^"#]*\.\w+)"|from "\.(/\w+\.js)"', answer.text)
            left += {page or f"/js{module}" for page, module in found} - seen - set(left)
    assert sent < BYTES_MAX
    assert seen - {"/"} == set(Site()._pages) - {"/index.html"}


def test_no_text_goes_over_the_end_of_a_line() -> None:
    """What stands at the beginning of a line is left out: it may be no text."""
    for file in Path(str(files("services.gateway") / "dashboard")).rglob("*.js"):
        for line in file.read_text("utf-8").splitlines():
            assert line.lstrip().startswith("//") or line.count("`") % 2 == 0, (file.name, line)
    assert "\n//" not in Site()._pages["/js/app.js"].plain.decode()


def test_it_is_whole() -> None:
    pages = Site()._pages
    text = {path: page.plain.decode() for path, page in pages.items()}
    named = re.findall(r'(?:src|href)="(/[^"]*\.\w+)"', text["/index.html"])
    assert named
    assert set(named) <= set(pages)
    for path, code in text.items():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?!www\.w3\.org)", code
        ), path
