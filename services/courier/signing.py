"""Headers of a webhook, signed as Standard Webhooks has it: id, time and body, once with each key."""

import base64
import hashlib
import hmac

from contracts.deliveries import Job, key_bytes

SECOND_US = 1_000_000


def headers(job: Job, now: int) -> list[tuple[str, str]]:
    """Return what says which ping it is, when it was sent, and that it is ours; `now` in microseconds."""
    at = str(now // SECOND_US)
    found = [
        ("User-Agent", "rollcall"),
        ("Rollcall-Assignment", str(job.assignment)),
        ("Webhook-Id", job.message_id),
        ("Webhook-Timestamp", at),
    ]
    signatures = [signature for key in job.keys if (signature := _signed(key, job, at)) is not None]
    if signatures:
        found.append(("Webhook-Signature", " ".join(signatures)))
    return found


def _signed(key: str, job: Job, at: str) -> str | None:
    secret = key_bytes(key)
    if secret is None:
        return None
    said = b".".join((job.message_id.encode(), at.encode(), job.body))
    return "v1," + base64.b64encode(hmac.digest(secret, said, hashlib.sha256)).decode()
