"""What the tests of the agent client share."""

import pytest


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget where the machine's own bus is."""
    for name in (
        "ROLLCALL_NATS__URL",
        "NATS_URL",
        "ROLLCALL_STATE_DIR",
        "ROLLCALL_NATS__CREDS",
        "NATS_CREDS",
    ):
        monkeypatch.delenv(name, raising=False)
