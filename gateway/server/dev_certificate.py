"""`--tls dev`: a certificate for this machine, issued by an authority that lives in the user's own data directory.

The authority is made once, so that it needs to be trusted once. Its key stays on this disk; should it get lost, its
name constraints (RFC 5280 section 4.2.1.10) leave a thief nothing to sign but this machine's own names.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["DevCertificate", "ensure_dev_certificate", "trust_message"]

RENEW_BEFORE: Final = timedelta(days=7)
AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LEAF_LIFETIME: Final = timedelta(days=90)
BACKDATED: Final = timedelta(hours=1)  # for clocks that differ a little, in containers and virtual machines
LOOPBACK: Final = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))

_DNS_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*").fullmatch


@dataclass(frozen=True, slots=True)
class DevCertificate:
    """Paths of PEM files: the certificate, its key, and the authority to trust."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_dev_certificate(directory: Path | None = None, *, now: datetime | None = None) -> DevCertificate:
    """The certificate for localhost, 127.0.0.1, ::1 and this machine's name; made, or renewed a week before its end.

    directory: `$XDG_DATA_HOME/gateway` or `~/.local/share/gateway` without one. now: an aware time; the clock's if
    None. What is there and can not be used any more is made anew. Raises OSError when the directory can not be written.
    """
    directory = directory or data_directory()
    now = now or datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = DevCertificate(directory / "localhost.pem", directory / "localhost.key", directory / "ca.pem")
    names = dns_names(socket.gethostname())
    authority = _read(found.ca, directory / "ca.key", now)
    if authority is None or not _may_sign(authority.certificate, names):
        authority = issue_authority(names, now)
        _write(found.ca, directory / "ca.key", authority)
    leaf = _read(found.cert, found.key, now)
    if leaf is None or not _is_for(leaf.certificate, names) or not _signed_by(leaf.certificate, authority.certificate):
        _write(found.cert, found.key, issue_leaf(names, authority, now))
    return found


def trust_message(certificate: DevCertificate) -> str:
    """How to make browsers and tools on this machine accept the certificate."""
    ca = certificate.ca
    return f"""\
The certificate for https://localhost comes from an authority of your own: {ca}
It can sign nothing but this machine's names. To trust it:
  curl           curl --cacert "{ca}" https://localhost:...
  Debian/Ubuntu  sudo cp "{ca}" /usr/local/share/ca-certificates/gateway-dev.crt && sudo update-ca-certificates
  Fedora         sudo cp "{ca}" /etc/pki/ca-trust/source/anchors/gateway-dev.pem && sudo update-ca-trust
  macOS          sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain "{ca}"
  Windows        certutil -user -addstore Root "{ca}"
  Firefox        Settings, Certificates, Authorities, Import
  Python         SSL_CERT_FILE="{ca}" (httpx, ssl), REQUESTS_CA_BUNDLE="{ca}" (requests)
"""


def data_directory() -> Path:
    """Where a user's programs keep data (XDG Base Directory Specification: a relative path is ignored)."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "gateway"


def dns_names(hostname: str) -> tuple[str, ...]:
    """localhost, and the machine's name where it is one that DNS could hold."""
    name = hostname.lower().rstrip(".")
    return ("localhost",) if name == "localhost" or _DNS_NAME(name) is None else ("localhost", name)


# ---------------------------------------------------------------- issuing


def issue_authority(names: tuple[str, ...], now: datetime) -> Issued:
    """A root that may sign for these names, those below them, and loopback addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gateway development"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Gateway development CA on {names[-1]}"[:64]),
        ]
    )
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(_permitted(names), None), critical=True)
        .add_extension(key_id, critical=False)
    )
    return Issued(builder.sign(key, hashes.SHA256()), key)


def issue_leaf(names: tuple[str, ...], authority: Issued, now: datetime) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key(), now, LEAF_LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    return [*map(x509.DNSName, names), *map(x509.IPAddress, LOOPBACK)]


def _permitted(names: tuple[str, ...]) -> list[x509.GeneralName]:
    networks = map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128"))
    return [*map(x509.DNSName, names), *map(x509.IPAddress, networks)]


# ---------------------------------------------------------------- what is there


def _read(cert: Path, key: Path, now: datetime) -> Issued | None:
    """A certificate with its key; None when they are not there, damaged, not a pair, or near their end."""
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        private: PrivateKeyTypes = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        return None
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE:
        return None
    return Issued(certificate, private)


def _may_sign(authority: x509.Certificate, names: tuple[str, ...]) -> bool:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    return set(constraints.permitted_subtrees or ()) == set(_permitted(names))


def _is_for(leaf: x509.Certificate, names: tuple[str, ...]) -> bool:
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(alternatives) == set(_general_names(names))


def _signed_by(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _write(cert: Path, key: Path, issued: Issued) -> None:
    pem = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _replace(key, pem, 0o600)
    _replace(cert, issued.certificate.public_bytes(Encoding.PEM), 0o644)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Put a file in place at once and whole; a key is never readable by others, not even for a moment."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # 0600
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
