"""The context for targets, and the words for what a handshake failed of."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.errors import Reach, TlsCertificateError, TlsError
from gateway.upstream.tls import client_context, tls_error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with ca.pem, gw.pem, gw.key, both.pem, other.key, locked.key and junk.pem."""
    ca = trustme.CA()
    leaf, other = ca.issue_cert("gw.test"), ca.issue_cert("gw.test")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "gw.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "gw.key")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "junk.pem").write_text("no certificate\n")
    return tmp_path


def test_a_context_checks_chain_and_name_with_the_systems_authorities():
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_an_own_authority_takes_the_place_of_the_systems(files: Path):
    context = client_context(ca=str(files / "ca.pem"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_verification_is_off_only_when_asked():
    context = client_context(verify=False)
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_a_client_certificate_may_hold_its_key(files: Path):
    client_context(client_cert=str(files / "both.pem"))
    client_context(client_cert=str(files / "gw.pem"), client_key=str(files / "gw.key"))


@pytest.mark.parametrize(
    ("options", "at_fault", "what"),
    [
        ({"ca": "absent.pem"}, "absent.pem", "No such file"),
        ({"ca": "junk.pem"}, "junk.pem", "no PEM certificates"),
        ({"client_cert": "absent.pem"}, "absent.pem", "No such file"),
        ({"client_cert": "gw.pem", "client_key": "absent.key"}, "absent.key", "No such file"),
        ({"client_cert": "gw.pem", "client_key": "other.key"}, "other.key", "does not match"),
        ({"client_cert": "gw.pem", "client_key": "locked.key"}, "locked.key", "encrypted"),
        ({"client_cert": "gw.pem"}, "gw.pem", "no usable certificate with its key"),
        ({"client_cert": "junk.pem", "client_key": "gw.key"}, "junk.pem", "no usable certificate"),
        ({"client_key": "gw.key"}, "gw.key", "without a client_cert"),
    ],
)
def test_a_fault_names_its_file(files: Path, options: dict[str, str], at_fault: str, what: str):
    with pytest.raises(ValueError, match=what) as caught:
        client_context(**{option: str(files / name) for option, name in options.items()})
    assert str(files / at_fault) in str(caught.value)


def test_a_bad_certificate_is_a_certificate_error():
    exc = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    exc.verify_message = "certificate has expired"
    error = tls_error(exc, "api:443")
    assert type(error) is TlsCertificateError
    assert str(error) == "api:443: certificate has expired"
    assert error.proxy_error == "tls_certificate_error"


def test_any_other_failure_is_a_protocol_error_and_nothing_was_sent():
    error = tls_error(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"))
    assert type(error) is TlsError
    assert error.proxy_error == "tls_protocol_error"
    assert error.reach is Reach.UNSENT
    assert "wrong version number" in str(error)
