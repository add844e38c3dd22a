"""W3C Trace Context, level 1, sections 3.2 and 3.3: is this a `traceparent` that may be believed and passed on?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.exchange import Headers

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

_FIELDS: Final = (TRACEPARENT, TRACESTATE)
_IDS: Final = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT: Final = re.compile(
    rf"00{_IDS} | (?!00|ff)[0-9a-f]{{2}}{_IDS}(?:-[!-~]*)?".encode(),  # later versions may say more behind a dash
    re.VERBOSE,
)
# The shape of version 00, by which most are known without the pattern: each hex digit is shown as 0.
_NO_TRACE: Final = b"0" * 32
_NO_PARENT: Final = b"0" * 16
_SHAPE: Final = b"00-%b-%b-00" % (_NO_TRACE, _NO_PARENT)
_SHOWN: Final = bytes(ord("0") if byte in b"0123456789abcdef" else byte if byte == ord("-") else ord("x") for byte in range(256))
USUAL_LENGTH: Final = len(_SHAPE)  # bytes; a value that is so long and valid has nothing but hex digits and dashes
_LONGEST: Final = 512  # bytes; what a later version could say is still no reason to carry any amount


def check(value: bytes) -> bool:
    """Version 00 exactly, a later version by its beginning; never ff, and no id of zeros."""
    if value.translate(_SHOWN) == _SHAPE and value.startswith(b"00-"):
        return value[3:35] != _NO_TRACE and value[36:52] != _NO_PARENT
    return len(value) <= _LONGEST and _TRACEPARENT.fullmatch(value) is not None


def trace_parent(headers: Headers) -> bytes:
    """The valid `traceparent` among these fields; empty where there is none, or more than one."""
    found = b""
    for name, value in headers:
        if name == TRACEPARENT:
            if found or not check(value):
                return b""
            found = value
    return found
