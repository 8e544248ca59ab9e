"""What looks like a secret is taken out of a text before anything of it is kept."""

import re
from typing import Final

GONE: Final = "[secret]"
_KNOWN: Final = (
    r"rcl_[a-z]{1,12}_[0-9A-Za-z]{16,64}(?:_[0-9a-f]{8})?",  # tokens of ours
    r"whsec_[0-9A-Za-z+/=_-]{16,128}",
    r"\bS[AOUNXC][A-Z2-7]{40,60}\b",  # seeds of the bus
    r"\beyJ[0-9A-Za-z_-]{16,4096}\.[0-9A-Za-z_-]{2,4096}(?:\.[0-9A-Za-z_-]{2,4096})?",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\bgh[a-z]_[0-9A-Za-z]{20,255}\b|\bgithub_pat_[0-9A-Za-z_]{20,255}\b",
    r"\bsk-[0-9A-Za-z_-]{16,255}\b|\bxox[a-z]-[0-9A-Za-z-]{10,255}\b",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[0-9A-Za-z+/=\s]{0,8000}(?:-----END [A-Z ]{0,40}-----)?",
)
_FORMS: Final = re.compile("|".join(_KNOWN))
_NAMED: Final = re.compile(
    r"\b((?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"[^\s\"',;]{4,256}",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(bearer\s{1,3})[0-9A-Za-z._~+/=-]{12,4096}", re.IGNORECASE)
_IN_ADDRESS: Final = re.compile(
    r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,64}:)[^\s/@]{1,128}(?=@)", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """Return the text with what looks like tokens, keys and passwords taken out."""
    text = _FORMS.sub(GONE, text)
    text = _NAMED.sub(rf"\1{GONE}", text)
    text = _BEARER.sub(rf"\1{GONE}", text)
    return _IN_ADDRESS.sub(rf"\1{GONE}", text)
