"""The dashboard's files, as they are sent: read once, and public. What they show is not.

The modules of `js/` are sent as one, each behind those that it imports: alone they would be a quarter larger
on the wire, and asked for one after the other. They may share no name. Comments that have lines of their own,
and indentation, stay at home: a tenth of all. No text may go over a line's end (a test looks).
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from posixpath import dirname, join, normpath
from typing import Final

from msgspec import Struct

Headers = list[tuple[bytes, bytes]]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
_VIEWS: Final = re.compile(
    r"/(?:login|needs|fleet|tasks(?:/[0-9]{1,18})?|escalations|bus|health|notifications)?"
)
"""Paths that are views of the one page; `js/app.js` knows them too."""
_APP: Final = "/js/app.js"
_IMPORT: Final = re.compile(r'^import\s[^;]*?from "([^"]+)";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=\w)", re.MULTILINE)
_ASIDE: Final = re.compile(r"^[ \t]*(?:(?://[^\n]*|/\*[\s\S]*?\*/)?\n|(?=\S))", re.MULTILINE)
"""What a browser has no need of: lines that are comments or empty, and the beginnings of others."""


class Page(Struct, frozen=True):
    """A file, ready to be sent."""

    kind: str
    plain: bytes
    packed: bytes
    tag: str


class Site:
    """The files of `dashboard/`."""

    def __init__(self) -> None:
        """Read them."""
        read = dict(_read(files("services.gateway") / "dashboard", ""))
        modules = {path: text.decode() for path, text in read.items() if path.endswith(".js")}
        sent = {path: text for path, text in read.items() if path not in modules}
        sent[_APP] = joined(modules, _APP).encode()
        for path in (_APP, "/app.css"):
            sent[path] = _ASIDE.sub("", sent[path].decode()).encode()
        self._pages: Mapping[str, Page] = {path: _page(path, text) for path, text in sent.items()}

    def find(self, method: str, path: str) -> Page | None:
        """Return what is asked for, if it is the dashboard's."""
        if method not in ("GET", "HEAD"):
            return None
        return self._pages.get("/index.html" if _VIEWS.fullmatch(path) else path)


def response(page: Page, method: str, asked: Mapping[str, str]) -> tuple[int, Headers, bytes]:
    """Return status, headers and body."""
    packed = "gzip" in asked.get("accept-encoding", "")
    tag = f'"{page.tag}{"-gz" if packed else ""}"'
    known = tag in asked.get("if-none-match", "")
    body = b"" if known else page.packed if packed else page.plain
    headers = {
        "content-type": page.kind,
        "etag": tag,
        "cache-control": "no-cache",
        "vary": "accept-encoding",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    if not known:
        headers["content-length"] = str(len(body))
    if packed:
        headers["content-encoding"] = "gzip"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return 304 if known else 200, raw, b"" if method == "HEAD" else body


def joined(modules: Mapping[str, str], first: str) -> str:
    """Return a module and all that it imports as one, each behind what it needs."""
    parts: list[str] = []
    seen: set[str] = set()

    def add(path: str) -> None:
        if path in seen:
            return
        seen.add(path)
        for place in _IMPORT.findall(modules[path]):
            add(normpath(join(dirname(path), place)))
        parts.append(_EXPORT.sub("", _IMPORT.sub("", modules[path])))

    add(first)
    return "\n".join(parts)


def _page(path: str, plain: bytes) -> Page:
    tag = hashlib.sha256(plain).hexdigest()[:16]
    return Page(_KINDS[path.rpartition(".")[2]], plain, gzip.compress(plain, mtime=0), tag)


def _read(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for file in folder.iterdir():
        place = f"{path}/{file.name}"
        if file.is_dir():
            found += _read(file, place)
        elif file.name.rpartition(".")[2] in _KINDS:
            found.append((place, file.read_bytes()))
    return found
