"""The guest who runs the demonstration: lets the agents in, as an operator does."""

import json
import uuid
from pathlib import Path
from typing import Final

from bus.client import Access
from bus.identity import jwt
from bus.identity.keyring import Keyring, Login
from bus.identity.keys import Key
from bus.identity.permissions import inbox
from bus.nats import NatsBus
from bus.private import private, private_folder

OPERATOR: Final = "demo"
ANSWER_S: Final = 20.0


class Guest:
    """An operator beside the keys of one state folder."""

    def __init__(self, state: Path, url: str) -> None:
        self._state = state
        self._url = url

    async def connect(self) -> NatsBus:
        """Connect, vouched for by the keys in the folder."""
        login = Login(Keyring(self._state / "identity"), role="admin", account="core", name=OPERATOR)
        return await NatsBus.open(
            self._url, name="rollcall/demo", access=Access(login), inbox_prefix=inbox("admin", OPERATOR)
        )

    async def admit(self, bus: NatsBus, holder: str, name: str) -> str:
        """Ask for credentials, and return the file in which they are; raises BusError."""
        key = Key.new("user")
        body = {"name": name, "holder": holder, "public_key": key.public, "command_id": str(uuid.uuid4())}
        subject = f"rollcall.v1.cmd.monitor.credential-create.{OPERATOR}"
        reply = await bus.request(subject, json.dumps(body).encode(), timeout_s=ANSWER_S)
        path = self._state / "creds" / f"{name}.creds"
        private_folder(path.parent)
        private(path, jwt.credentials(json.loads(reply.data)["token"], key.seed))
        return str(path)
