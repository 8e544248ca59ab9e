"""A bare receiver of pings, as small as it can be, with the real services."""

import json
import re
import sys
from pathlib import Path

from tests.examples.test_agents import EXAMPLES
from tests.examples.upright import upright
from tests.support.nats import until


async def test_it_is_told_by_the_services_as_they_run(tmp_path: Path) -> None:
    async with upright(tmp_path) as up:
        await up.processes.start("ear", (sys.executable, str(EXAMPLES / "receiver.py"), "0"), up.env)
        await up.processes.until_says("ear", "listening on", 20)
        port = re.findall(r"listening on (\d+)", (tmp_path / "ear.log").read_text("utf-8"))[0]
        await up.processes.stop("up")
        up.env |= {
            "ROLLCALL_WEBHOOKS__ALLOW": "127.0.0.0/8",
            "ROLLCALL_WEBHOOKS__HTTP": "true",
            "ROLLCALL_WEBHOOKS__PORTS": port,
        }
        await up.start()
        await up.ask(
            "monitor.agent-add",
            name="ear",
            beats="none",
            capabilities=["ears"],
            endpoint_url=f"http://127.0.0.1:{port}",
        )
        task = await up.ask("assigner.task-add", title="Listen", capabilities=["ears"])
        log = tmp_path / "ear.log"
        await until(lambda: f"task {task['task']}: Listen (ping:" in log.read_text("utf-8"))
        deliveries = await up.ask("courier.webhook-ls")
        assert [one["agent"] for one in deliveries["items"]] == ["ear"], json.dumps(deliveries)
