"""A certificate for this machine, signed by itself: what a test of TLS needs, and nothing else."""

import base64
import datetime as dt
from pathlib import Path

from nacl.signing import SigningKey

_ED25519 = bytes.fromhex("300506032b6570")
_COMMON_NAME = bytes.fromhex("0603550403")
_ALT_NAMES = bytes.fromhex("0603551d11")
_CONSTRAINTS = bytes.fromhex("0603551d13")


def _of(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes(2 if len(body) > 255 else 1, "big")
    return bytes([tag]) + (size if len(body) < 128 else bytes([0x80 + len(size)]) + size) + body


def _extension(kind: bytes, value: bytes) -> bytes:
    return _of(0x30, kind, _of(0x04, value))


def write(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key for localhost and 127.0.0.1, good for a day; return where they are."""
    key = SigningKey.generate()
    now = dt.datetime.now(dt.UTC)
    times = [now - dt.timedelta(hours=1), now + dt.timedelta(days=1)]
    name = _of(0x30, _of(0x31, _of(0x30, _COMMON_NAME, _of(0x0C, b"localhost"))))
    names = _of(0x30, _of(0x82, b"localhost"), _of(0x87, bytes([127, 0, 0, 1])))
    extensions = [_extension(_ALT_NAMES, names), _extension(_CONSTRAINTS, _of(0x30, _of(0x01, b"\xff")))]
    told = _of(
        0x30,
        _of(0xA0, _of(0x02, b"\x02")),
        _of(0x02, b"\x01"),
        _ED25519,
        name,
        _of(0x30, *(_of(0x17, at.strftime("%y%m%d%H%M%SZ").encode()) for at in times)),
        name,
        _of(0x30, _ED25519, _of(0x03, b"\0", bytes(key.verify_key))),
        _of(0xA3, _of(0x30, *extensions)),
    )
    whole = _of(0x30, told, _ED25519, _of(0x03, b"\0", key.sign(told).signature))
    secret = _of(0x30, _of(0x02, b"\0"), _ED25519, _of(0x04, _of(0x04, bytes(key))))
    return _pem(folder / "tls.crt", "CERTIFICATE", whole), _pem(folder / "tls.key", "PRIVATE KEY", secret)


def _pem(path: Path, what: str, der: bytes) -> Path:
    text = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN {what}-----\n{text}-----END {what}-----\n", "ascii")
    path.chmod(0o600)
    return path
