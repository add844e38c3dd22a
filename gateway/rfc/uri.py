"""Request targets, hosts and paths (RFC 9112 section 3.2, RFC 3986): pure, on raw bytes.

What is forwarded is never changed here: these functions say whether a target is valid, and what it means for routing.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.rfc.octets import changing_all_but

# RFC 3986 section 3.2.2 without the comma, which no host name has and which joined Host lines would, and without empty
# labels, which would be a dot segment where a host becomes part of a path.
_REG_NAME: Final = rb"(?!\.|[^:]*\.\.)(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+"
_HOST: Final = rb"(?:" + _REG_NAME + rb"|\[([0-9A-Fa-f:.]+)\]|\[v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\])"
_AUTHORITY: Final = re.compile(_HOST + rb"(?::[0-9]{0,5})?").fullmatch
# Bytes that are no URI characters but that clients send all the same go through as they are, except those that others
# would cut the target at, or read as a slash.
_IN_TARGETS: Final = changing_all_but([byte for byte in range(0x21, 256) if byte not in b"#\\\x7f"])
_ABSOLUTE_FORM: Final = re.compile(rb"(https?)://([^/?#\\\x00-\x20\x7f]+)(/[^\x00-\x20#\\\x7f]*|\?[^\x00-\x20#\\\x7f]*)?", re.I).fullmatch

PERCENT: Final = ord("%")
# A byte is looked for as a number: `bytes in bytes` costs up to ten times that where it is not there.
DOT: Final = ord(".")
SLASH: Final = ord("/")
_HOST_MEMO: Final = 1024  # valid hosts that are remembered; a full memo is cleared
_valid_hosts: Final[set[bytes]] = set()


def valid_host(value: bytes) -> bool:
    """True for `uri-host [":" port]` (RFC 9112 section 3.2), neither empty nor with user information."""
    if value in _valid_hosts:
        return True
    matched = _AUTHORITY(value) if len(value) <= 255 + 6 else None
    if matched is None or (matched[1] is not None and not _is_ipv6(matched[1])):
        return False
    if len(_valid_hosts) >= _HOST_MEMO:
        _valid_hosts.clear()
    _valid_hosts.add(value)
    return True


def _is_ipv6(text: bytes) -> bool:
    try:
        IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def valid_origin_form(target: bytes) -> bool:
    return target[:1] == b"/" and target.translate(_IN_TARGETS) == target


def valid_query(query: bytes) -> bool:
    """What may stand behind the first `?` of a target."""
    return query.translate(_IN_TARGETS) == query


def parse_absolute_form(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """scheme, authority and origin form of `http://host/path`; None where it is none (RFC 9112 section 3.2.2)."""
    matched = _ABSOLUTE_FORM(target)
    if matched is None or not valid_host(matched[2]):
        return None
    rest = matched[3] or b"/"
    return matched[1].lower(), matched[2], rest if rest[:1] == b"/" else b"/" + rest


def host_name(authority: bytes) -> bytes:
    """A valid authority without its port and without a final dot, in lowercase: what routes are matched on."""
    name = authority.lower()
    if name[:1] == b"[":
        return name[: name.index(b"]") + 1]
    return name.partition(b":")[0].removesuffix(b".")


def strip_root_path(path: bytes, root_path: bytes) -> bytes | None:
    """`path` without the prefix that an app is mounted at; None where it does not begin with it, at a `/`.

    Either may spell the prefix with percent-encodings, as servers find a mounted app by the decoded path.
    """
    root = root_path.rstrip(b"/")
    rest = path[len(root) :] if path.startswith(root) else _behind(path, unquote_to_bytes(root))
    if rest == b"":
        return b"/"
    return rest if rest is not None and rest[:1] == b"/" else None


def _behind(path: bytes, root: bytes) -> bytes | None:
    """What follows a decoded prefix, however the path spells it."""
    if b"%" not in path:
        return None
    at = 0
    for byte in root:
        width = 3 if path[at : at + 1] == b"%" and len(unquote_to_bytes(path[at : at + 3])) == 1 else 1
        if unquote_to_bytes(path[at : at + width]) != bytes((byte,)):
            return None
        at += width
    return path[at:]


def _has_odd_segments(path: bytes) -> bool:
    """Whether a segment is empty or begins with a dot. (Byte by byte, since this is compiled: a search takes longer.)"""
    before = 0
    for index in range(len(path)):
        byte = path[index]
        if before == SLASH and byte in (SLASH, DOT):
            return True
        before = byte
    return False


def match_path(path: bytes) -> bytes:
    """What a path means: percent-decoded once, empty and dot segments resolved (RFC 3986 sections 5.2.4 and 6.2.2).

    Routes are matched on this, so that no spelling of a path gets around the rules for it. It never climbs above `/`.
    """
    if PERCENT not in path and not _has_odd_segments(path):
        return path
    decoded = unquote_to_bytes(path) if b"%" in path else path
    if b"/." not in decoded and b"//" not in decoded:
        return decoded
    segments: list[bytes] = []
    parts = decoded.split(b"/")[1:]
    for part in parts:
        if part == b"..":
            if segments:
                segments.pop()
        elif part not in (b".", b""):
            segments.append(part)
    if segments and parts[-1] in (b"", b".", b".."):
        segments.append(b"")
    return b"/" + b"/".join(segments)
