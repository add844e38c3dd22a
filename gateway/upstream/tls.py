"""TLS towards targets: the context for their connections, and what a failed handshake was (RFC 9209 section 2.3)."""

from __future__ import annotations

import ssl

from gateway.errors import TlsCertificateError, TlsError

__all__ = ["client_context", "tls_error"]


def client_context(
    *, ca: str | None = None, client_cert: str | None = None, client_key: str | None = None, verify: bool = True
) -> ssl.SSLContext:
    """A context that checks the target's chain and name, with TLS 1.2 or later and HTTP/1.1.

    ca: a PEM file with the only authorities to trust; without it the system's are. client_key may be left out when
    client_cert holds the key too. verify=False accepts any certificate. Raises ValueError naming the file at fault.
    """
    if client_key and not client_cert:
        raise ValueError(f"client_key {client_key} is of no use without a client_cert")
    context = _trusting(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        _present(context, client_cert, client_key)
    return context


def tls_error(exc: ssl.SSLError, name: str = "") -> TlsError:
    """The GatewayError for what failed in a handshake with the target `name`.

    OpenSSL's errors say more in attributes, which an error raised by Python code has not.
    """
    prefix = f"{name}: " if name else ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TlsCertificateError(prefix + (getattr(exc, "verify_message", "") or str(exc)))
    reason: str | None = getattr(exc, "reason", None)
    return TlsError(prefix + (reason.replace("_", " ").lower() if reason else str(exc)))


def _trusting(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"{ca}: holds no PEM certificates to trust") from None
    except OSError as exc:
        raise ValueError(f"{ca}: {exc.strerror}") from exc


def _present(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Load what we show to targets that ask who we are."""

    def no_password() -> str:  # OpenSSL would ask for it at the terminal
        raise ValueError(f"{key or cert}: the key is encrypted; it must be readable without a passphrase")

    for path in (cert, key or cert):
        try:
            with open(path, "rb"):
                pass
        except OSError as exc:
            raise ValueError(f"{path}: {exc.strerror}") from exc
    try:
        context.load_cert_chain(cert, key, password=no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key or cert}: the key does not match the certificate in {cert}") from None
        raise ValueError(f"{cert}: no usable certificate with its key in {key or cert}") from exc
