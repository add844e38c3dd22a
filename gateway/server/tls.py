"""The server's TLS: certificates chosen by name (RFC 6066 section 3), client certificates, new files while we run.

One outer context is given to the event loop. Its SNI callback, which OpenSSL calls in every handshake, with and without
a name, moves the connection to the context of the certificate that fits. When files change, new contexts take the
place of old ones: later handshakes see them, open connections keep theirs.

Files are looked at in that callback, at most once in `CHECK_INTERVAL` seconds: two `stat` calls for each certificate
and one for the client authorities, microseconds, and nothing at all while nobody connects. A background task would ask
for an owner that starts and stops it in every worker, and neither uvicorn's `ssl_context_factory` nor
`loop.create_server(ssl=...)` has a place for one. Changed files are read at once (a millisecond or so).

A certificate and its key are taken together or not at all: what can not be used leaves the old pair in place, with one
warning, and is tried again when one of the files changes again.

ALPN offers only http/1.1, because that is all that our protocol class speaks; HTTP/2 is for the ASGI entrance, behind a
server that has it.

Sessions are resumed as OpenSSL does it, by tickets under keys of each worker's own; a ticket of another worker only
costs a full handshake. But a resumed session skips the check of the client's certificate. So with `client_ca` no TLS
1.3 tickets are given out, and a TLS 1.2 session from before a change of `client_ca` is refused, which makes the client
begin a new one.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Certificates", "ServerTlsOptions", "server_context"]

log = logging.getLogger("gateway.server")

CHECK_INTERVAL: Final = 1.0  # seconds

# Mozilla's "intermediate" list for TLS 1.2 (wiki.mozilla.org/Security/Server_Side_TLS), without the DHE suites, which
# need parameters of their own and serve no client of today. The TLS 1.3 suites are OpenSSL's.
CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Stamp = tuple[int, int, int]  # mtime in ns, size, inode
Connection = ssl.SSLSocket | ssl.SSLObject  # the latter under event loops


@dataclass(frozen=True, slots=True)
class ServerTlsOptions:
    """certificates: (certificate chain, key) as PEM files; the first is for clients that name none of the others.

    ciphers: TLS 1.2 suites in OpenSSL's words. client_ca: PEM file with the authorities for client certificates; with
    it, clients must show one ("required") or may ("optional"); a wrong one is refused either way.
    """

    certificates: tuple[tuple[str, str], ...]
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str | None = None
    client_ca: str | None = None
    client_auth: Literal["required", "optional"] = "required"


def server_context(options: ServerTlsOptions, clock: Callable[[], float] = time.monotonic) -> ssl.SSLContext:
    """The context for uvicorn or an event loop; it follows its files. Raises ValueError naming the file at fault."""
    return Certificates(options, clock).context


@dataclass(frozen=True, slots=True)
class Loaded:
    """One certificate in use. names: its DNS names and addresses, lowercase."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    expires_at: datetime


class Certificates:
    """context: the outer one. loaded: what is in use, in the order of the options."""

    __slots__ = (
        "_by_name", "_clock", "_look_at", "_options", "_seen", "_seen_ca", "_trusted", "_trusted_since", "context",
        "loaded",
    )  # fmt: skip

    def __init__(self, options: ServerTlsOptions, clock: Callable[[], float] = time.monotonic) -> None:
        _check(options)
        self._options = options
        self._clock = clock
        self._look_at = clock() + CHECK_INTERVAL
        self._seen_ca = _stamp(options.client_ca)
        self._trusted = read_authorities(options.client_ca) if options.client_ca else ""
        self._trusted_since = 0.0  # as a Unix time, which is what sessions have; 0: the first authorities still count
        self._seen = [self._files(pair) for pair in options.certificates]
        self.loaded = [load(options, pair, self._trusted) for pair in options.certificates]
        self._by_name = index(self.loaded)
        self.context = load(options, options.certificates[0], self._trusted).context
        self.context.sni_callback = self._choose

    def find(self, name: str | None) -> Loaded:
        """The first certificate for exactly this name, else for its wildcard (one label), else the first of all."""
        if not name:
            return self.loaded[0]
        name = name.lower().rstrip(".")
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return found or self.loaded[0]

    def refresh(self) -> None:
        """Take in the files that have changed since the last look."""
        if _stamp(self._options.client_ca) != self._seen_ca:
            self._refresh_authorities()
        changed = False
        for place, pair in enumerate(self._options.certificates):
            seen = self._files(pair)
            if seen != self._seen[place]:
                self._seen[place] = seen
                changed |= self._reload(place, pair)
        if changed:
            self._by_name = index(self.loaded)

    def _choose(self, connection: Connection, name: str | None, _context: ssl.SSLContext) -> int | None:
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + CHECK_INTERVAL
            self.refresh()
        connection.context = self.find(name).context
        if self._trusted_since and self._is_old_session(connection):
            return ssl.ALERT_DESCRIPTION_BAD_CERTIFICATE
        return None

    def _is_old_session(self, connection: Connection) -> bool:
        """True for a session whose client certificate was checked against other authorities than now."""
        session = connection.session if connection.session_reused else None
        return session is not None and session.time <= self._trusted_since

    def _files(self, pair: tuple[str, str]) -> tuple[object, ...]:
        """What a loaded pair was made from; seen before it is read, so that a change meanwhile is seen afterwards."""
        return _stamp(pair[0]), _stamp(pair[1]), self._trusted

    def _refresh_authorities(self) -> None:
        path = self._options.client_ca or ""
        self._seen_ca = _stamp(path)
        try:
            self._trusted = read_authorities(path)
        except ValueError as exc:
            log.warning("client authorities not reloaded", extra={"file": path, "reason": str(exc)})
            return
        self._trusted_since = time.time()
        log.info("client authorities reloaded", extra={"file": path})

    def _reload(self, place: int, pair: tuple[str, str]) -> bool:
        try:
            self.loaded[place] = load(self._options, pair, self._trusted)
        except ValueError as exc:
            log.warning("certificate not reloaded", extra={"file": pair[0], "reason": str(exc)})
            return False
        expires_at = self.loaded[place].expires_at.isoformat()
        log.info("certificate reloaded", extra={"file": pair[0], "expires_at": expires_at})
        return True


def index(loaded: list[Loaded]) -> dict[str, Loaded]:
    """By name; where two certificates hold the same name, the first has it."""
    return {name: one for one in reversed(loaded) for name in one.names}


# ---------------------------------------------------------------- contexts


def _check(options: ServerTlsOptions) -> None:
    if not options.certificates:
        raise ValueError("TLS needs at least one certificate with its key")
    if options.ciphers and options.min_version == "1.3":
        raise ValueError("ciphers are those of TLS 1.2, which min_version 1.3 leaves out")


def load(options: ServerTlsOptions, pair: tuple[str, str], trusted: str) -> Loaded:
    """The context of one certificate. trusted: PEM text of the client authorities. Raises ValueError."""
    certificate = read_certificate(pair[0])
    check_key(pair[1], certificate, pair[0])
    context = _context(options, trusted)
    try:
        context.load_cert_chain(pair[0], pair[1], password="")
    except (OSError, ssl.SSLError) as exc:
        raise ValueError(f"{pair[0]} with {pair[1]}: {_reason(exc)}") from exc
    return Loaded(context, names_of(certificate), certificate.not_valid_after_utc)


def _context(options: ServerTlsOptions, trusted: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # all suites are good: let clients take the one they do fastest
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.set_ciphers(options.ciphers or CIPHERS)
    except ssl.SSLError:
        raise ValueError(f"ciphers {options.ciphers!r}: OpenSSL knows none of them for TLS 1.2") from None
    if trusted:
        try:
            context.load_verify_locations(cadata=trusted)
        except ssl.SSLError as exc:
            raise ValueError(f"{options.client_ca}: {_reason(exc)}") from exc
        context.verify_mode = ssl.CERT_OPTIONAL if options.client_auth == "optional" else ssl.CERT_REQUIRED
        context.num_tickets = 0
    return context


# ---------------------------------------------------------------- files


def read_certificate(path: str) -> x509.Certificate:
    """The first certificate of a PEM chain, whose key and names can be read. Raises ValueError."""
    certificate = _certificates(path)[0]
    try:
        certificate.public_key()
        names_of(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as exc:
        raise ValueError(f"{path}: {exc}") from exc
    return certificate


def read_authorities(path: str) -> str:
    """The PEM text of a file of authorities, which is checked. Raises ValueError."""
    _certificates(path)
    return _read(path).decode("ascii", "replace")


def check_key(path: str, certificate: x509.Certificate, certificate_path: str) -> None:
    """Raises ValueError when the file does not hold the certificate's key, unencrypted."""
    data = _read(path)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise ValueError(f"{path}: the key is encrypted; it must be readable without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path}: holds no usable PEM private key") from None
    if key.public_key() != certificate.public_key():
        raise ValueError(f"{path}: the key does not match the certificate in {certificate_path}")


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subject alternative names that a client may ask for, lowercase; the common name is not one (RFC 9525)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return tuple(name.lower() for name in [*names.get_values_for_type(x509.DNSName), *addresses])


def _certificates(path: str) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion):
        raise ValueError(f"{path}: holds no usable PEM certificate") from None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise ValueError(f"{path}: {exc.strerror}") from exc


def _stamp(path: str | None) -> Stamp | None:
    """None for a file that is not there."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _reason(exc: OSError) -> str:
    reason = getattr(exc, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(exc)
