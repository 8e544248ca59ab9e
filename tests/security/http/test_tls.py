"""TLS: spoken where there is a certificate, and needed beyond this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from contracts import tokens
from services.gateway import Listening
from tests.gateway.web import FIXED, open_web
from tests.security.http.raw import Wire
from tests.support import certificate


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_it_is_spoken(tmp_path: Path, host: str) -> None:
    chain, key = certificate.write(tmp_path)
    listening = Listening(fixed=tokens.digest(FIXED), host=host, certificate=chain, key=key)
    trusting = ssl.create_default_context(cafile=str(chain))
    async with open_web(tmp_path / "house", listening) as web:
        assert web.url.startswith("https://")
        url = web.url.replace("0.0.0.0", "127.0.0.1")
        words = {"authorization": f"Bearer {FIXED}"}
        async with httpx.AsyncClient(base_url=url, verify=trusting, headers=words) as client:
            told = await client.get("/api/v1/tasks")
            assert told.status_code == 200
        async with httpx.AsyncClient(base_url=url) as stranger:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await stranger.get("/api/v1/tasks")
        wire = await Wire.to(url)
        await wire.say(
            f"GET /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {FIXED}\r\n\r\n"
        )
        assert b"200" not in await wire.rest()
        wire.close()
