"""Fields that a cache tells from all others as soon as it sees their names, in requests and in responses."""

from __future__ import annotations

from typing import Final

from gateway.rfc.conditional import CONDITIONS
from gateway.rfc.forwarded import with_twins

# ---------------------------------------------------------------- of a request

# Fields by which a client can make a server act as if the request had another method.
METHODS: Final = with_twins(
    {b"x-forwarded-method", b"x-http-method", b"x-http-method-override", b"x-method", b"x-method-override", b"x-original-method"}
)
# And as if it had another host, path or scheme, which proxies between may say as well. Those of `rfc.forwarded.FORWARDING` never
# arrive, or are known to be true.
PLACES: Final = with_twins(
    {
        b"base-url", b"front-end-https", b"http-host", b"proxy-host", b"proxy-url", b"request-uri", b"wl-proxy-ssl", b"x-backend-host",
        b"x-base-url", b"x-forwarded-path", b"x-forwarded-uri", b"x-host", b"x-host-override", b"x-http-destinationurl", b"x-http-host",
        b"x-http-host-override", b"x-original-path", b"x-original-uri", b"x-proxy-host", b"x-proxy-url", b"x-request-uri",
        b"x-rewrite-path", b"x-rewrite-uri", b"x-scheme", b"x-script-name", b"x-server-name", b"x-url-scheme",
    }
)  # fmt: skip
ASKING: Final = CONDITIONS | METHODS | PLACES | {b"authorization", b"cache-control", b"pragma", b"range"}

# ---------------------------------------------------------------- of a response

OUR_TARGET: Final = b"gateway-cache-control"  # the targeted field for us alone (RFC 9213); it goes no further
CDN_TARGET: Final = b"cdn-cache-control"  # that of all caches of our kind
TARGETS: Final = (OUR_TARGET, CDN_TARGET)  # the first of them that is valid counts
CACHE_STATUS: Final = b"cache-status"
SURROGATE_KEY: Final = b"surrogate-key"
CACHE_TAG: Final = b"cache-tag"
GROUPS: Final = b"cache-groups"

# What is among the fields: bits.
CONTROL: Final = 1  # Cache-Control
TARGETED: Final = 2  # the targeted field of all caches of our kind
OURS: Final = 4  # that for us alone
DATED: Final = 8  # Date
AGED: Final = 16  # Age
ETAGGED: Final = 32  # ETag
MODIFIED: Final = 64  # Last-Modified
CHOSEN: Final = 128  # what shows that the request's fields have selected it
TAGGED: Final = 256  # tags; those of an operator's own field are not known here
GROUPED: Final = 512  # tags that belong to the origin
COOKIE: Final = 1024  # Set-Cookie
TOLD: Final = 2048  # Cache-Status
NOT_KEPT: Final = OURS | AGED | TOLD  # what is never stored

KINDS: Final = {
    b"cache-control": CONTROL,
    CDN_TARGET: TARGETED,
    OUR_TARGET: OURS,
    b"date": DATED,
    b"age": AGED,
    b"etag": ETAGGED,
    b"last-modified": MODIFIED,
    b"vary": CHOSEN,
    b"content-encoding": CHOSEN,
    SURROGATE_KEY: TAGGED,
    CACHE_TAG: TAGGED,
    GROUPS: GROUPED,
    b"set-cookie": COOKIE,
    CACHE_STATUS: TOLD,
}


def names_of(kinds: int) -> frozenset[bytes]:
    """The fields of these kinds."""
    return frozenset(name for name, kind in KINDS.items() if kind & kinds)
