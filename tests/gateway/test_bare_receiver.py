"""The bare receiver in the README hears of its task, as it stands there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import anyio

from domain.addresses import Reach
from tests.courier.post import Post
from tests.examples.test_readme import LINES_MAX, snippet
from tests.gateway.web import open_web
from tests.howto.test_pages import free_port, ported


async def test_it_hears_of_its_task(tmp_path: Path) -> None:
    port = free_port()
    text = snippet("receiver.py")
    assert len([line for line in text.splitlines() if line.strip()]) <= LINES_MAX
    receiver = tmp_path / "receiver.py"
    receiver.write_text(ported(text, {"8080": str(port)}), "utf-8")
    program = await asyncio.create_subprocess_exec(
        sys.executable, receiver, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    reach = Reach(allow=("127.0.0.0/8",), http=True, ports=(port,))
    try:
        async with open_web(tmp_path, reach=reach) as web:
            post, admin = Post(web.world), await web.client()
            await post.agent("hook", f"http://127.0.0.1:{port}")
            await post.task("ship it", "hook")
            await post.until_over()  # also when it was not up yet: it is tried again
            assert program.stdout is not None
            with anyio.fail_after(20):
                assert await program.stdout.readline() == b"ship it: answer within 30 minutes\n"
            (seen,) = (await admin.get("/deliveries", params={"agent": "hook"})).json()["items"]
            assert seen["state"] == "delivered"
    finally:
        program.kill()
        await program.wait()
