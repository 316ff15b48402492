"""Takes secrets out of text before it is logged or shown."""

from __future__ import annotations

import re

_MASK = "[redacted]"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # our API keys: the public prefix stays, so that a log line still tells which key it was
        r"(?P<keep>\bsk-[0-9a-z]{16}-)[0-9A-Za-z]{16,}(?:-[0-9a-f]{1,8})?",
        r"(?P<keep>\bsk-)(?![0-9a-z]{16}(?:-|\b))[0-9A-Za-z_-]{16,}",
        r"(?P<keep>\baicp-session-)[0-9A-Za-z_-]{16,}",
        r"(?P<keep>\baicp-join-[0-9a-z]{16}-)[0-9a-f]{16,}(?:-[0-9a-f]+)?",
        r"(?P<keep>\bhf_)[0-9A-Za-z]{16,}",
        r"(?P<keep>\b(?:AKIA|ASIA))[0-9A-Z]{16}",
        r"(?P<keep>(?i:\b(?:bearer|basic)\s+))[0-9A-Za-z._~+/=-]{8,}",
        # the user part of an address
        r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]+(?=@)",
        # signed addresses of object stores
        r"(?P<keep>(?i:[?&](?:x-amz-signature|x-amz-credential|x-amz-security-token|signature|token|sig)=))[^&\s\"']+",
        r"(?P<keep>(?i:\"?\b[a-z_]*(?:password|passwd|secret|api_?key|token|pepper)\"?\s*[=:]\s*\"?))"
        r"(?!\[redacted\])[^\s\"',;&}]{4,}",
    )
)


def redact(text: str) -> str:
    """`text` with everything that looks like a credential masked; what tells them apart stays."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: match["keep"] + _MASK, text)
    return text
