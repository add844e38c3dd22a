"""Which certificate a name gets, what new files do, and what is said about files that can not be used."""

from __future__ import annotations

import logging
import os
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

from gateway.server.tls import Certificates, ServerTlsOptions, server_context

if TYPE_CHECKING:
    from pathlib import Path

CA = trustme.CA()


def put(path: Path, data: bytes) -> None:
    """Replace a file as a certificate tool does."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


def issue(directory: Path, stem: str, *names: str) -> tuple[str, str]:
    leaf = CA.issue_cert(*names)
    put(directory / f"{stem}.pem", leaf.cert_chain_pems[0].bytes())
    put(directory / f"{stem}.key", leaf.private_key_pem.bytes())
    return str(directory / f"{stem}.pem"), str(directory / f"{stem}.key")


def options(directory: Path, *names: tuple[str, ...]) -> ServerTlsOptions:
    return ServerTlsOptions(tuple(issue(directory, f"site{i}", *each) for i, each in enumerate(names)))


def test_a_name_gets_its_own_certificate_before_a_wildcard(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("first.test",), ("*.shop.test",), ("www.shop.test",)))
    first, wildcard, exact = certificates.loaded
    assert certificates.find("www.shop.test") is exact
    assert certificates.find("api.shop.test") is wildcard
    assert certificates.find("first.test") is first


def test_names_are_compared_without_case_and_final_dot(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("first.test",), ("WWW.Shop.test",)))
    assert certificates.find("www.SHOP.test.") is certificates.loaded[1]


@pytest.mark.parametrize("name", [None, "", "unknown.test", "a.b.shop.test", "shop.test", ".shop.test", "test", "*"])
def test_every_other_name_gets_the_first_certificate(tmp_path: Path, name: str | None):
    certificates = Certificates(options(tmp_path, ("first.test",), ("www.shop.test", "*.other.test")))
    assert certificates.find(name) is certificates.loaded[0]


def test_an_address_is_a_name_too(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("first.test",), ("192.0.2.1", "2001:db8::1")))
    assert certificates.find("2001:db8::1") is certificates.loaded[1]


def test_of_two_certificates_for_one_name_the_first_counts(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("a.test",), ("b.test",), ("b.test",)))
    assert certificates.find("b.test") is certificates.loaded[1]


def test_new_files_are_taken_in_and_what_did_not_change_stays(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("a.test",), ("b.test",)))
    a, b = certificates.loaded
    issue(tmp_path, "site1", "c.test")
    certificates.refresh()
    assert certificates.loaded[0] is a
    assert certificates.loaded[1] is not b
    assert certificates.find("c.test") is certificates.loaded[1]
    assert certificates.find("b.test") is a


def test_nothing_is_read_again_while_nothing_changes(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("a.test",)))
    before = certificates.loaded[0]
    certificates.refresh()
    assert certificates.loaded[0] is before


def test_a_broken_file_keeps_the_old_certificate_and_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    certificates = Certificates(options(tmp_path, ("a.test",), ("b.test",)))
    before = list(certificates.loaded)
    put(tmp_path / "site0.pem", b"-----BEGIN CERTIFICATE-----\nnonsense")
    for _ in range(3):
        certificates.refresh()
    assert certificates.loaded == before
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.message == "certificate not reloaded"
    assert "site0.pem: holds no usable PEM certificate" in warning.__dict__["reason"]


def test_a_repaired_file_is_taken_in(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("a.test",)))
    os.unlink(tmp_path / "site0.key")
    certificates.refresh()
    assert certificates.loaded[0].names == ("a.test",)
    issue(tmp_path, "site0", "new.test")
    certificates.refresh()
    assert certificates.loaded[0].names == ("new.test",)


def test_a_certificate_waits_for_its_key(tmp_path: Path):
    certificates = Certificates(options(tmp_path, ("a.test",)))
    leaf = CA.issue_cert("new.test")
    put(tmp_path / "site0.pem", leaf.cert_chain_pems[0].bytes())
    certificates.refresh()
    assert certificates.loaded[0].names == ("a.test",)
    put(tmp_path / "site0.key", leaf.private_key_pem.bytes())
    certificates.refresh()
    assert certificates.loaded[0].names == ("new.test",)


def test_new_client_authorities_reach_every_certificate(tmp_path: Path):
    pairs = options(tmp_path, ("a.test",), ("b.test",)).certificates
    CA.cert_pem.write_to_path(tmp_path / "clients.pem")
    certificates = Certificates(ServerTlsOptions(pairs, client_ca=str(tmp_path / "clients.pem")))
    other = trustme.CA()
    put(tmp_path / "clients.pem", other.cert_pem.bytes())
    certificates.refresh()
    for loaded in certificates.loaded:
        (trusted,) = loaded.context.get_ca_certs(binary_form=True)
        assert ssl.DER_cert_to_PEM_cert(trusted) == other.cert_pem.bytes().decode()


def test_broken_client_authorities_keep_the_old_ones_and_warn_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    pairs = options(tmp_path, ("a.test",), ("b.test",)).certificates
    CA.cert_pem.write_to_path(tmp_path / "clients.pem")
    certificates = Certificates(ServerTlsOptions(pairs, client_ca=str(tmp_path / "clients.pem")))
    before = list(certificates.loaded)
    put(tmp_path / "clients.pem", b"")
    certificates.refresh()
    certificates.refresh()
    assert certificates.loaded == before
    assert [record.message for record in caplog.records] == ["client authorities not reloaded"]


def test_a_renewal_goes_on_while_the_client_authorities_are_broken(tmp_path: Path):
    pairs = options(tmp_path, ("a.test",)).certificates
    CA.cert_pem.write_to_path(tmp_path / "clients.pem")
    certificates = Certificates(ServerTlsOptions(pairs, client_ca=str(tmp_path / "clients.pem")))
    put(tmp_path / "clients.pem", b"")
    issue(tmp_path, "site0", "new.test")
    certificates.refresh()
    assert certificates.loaded[0].names == ("new.test",)
    assert certificates.loaded[0].context.verify_mode is ssl.CERT_REQUIRED
    assert certificates.loaded[0].context.get_ca_certs()


def test_only_strong_suites_and_versions_are_on(tmp_path: Path):
    context = server_context(options(tmp_path, ("a.test",)))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert all(
        (suite["aead"] and "ECDHE" in suite["name"]) or suite["protocol"] == "TLSv1.3"
        for suite in context.get_ciphers()
    )
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_the_lowest_version_can_be_1_3(tmp_path: Path):
    pairs = options(tmp_path, ("a.test",)).certificates
    assert server_context(ServerTlsOptions(pairs, min_version="1.3")).minimum_version is ssl.TLSVersion.TLSv1_3


def test_suites_can_be_chosen(tmp_path: Path):
    pairs = options(tmp_path, ("a.test",)).certificates
    context = server_context(ServerTlsOptions(pairs, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    tls12 = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"]
    assert tls12 == ["ECDHE-ECDSA-AES256-GCM-SHA384"]


@pytest.mark.parametrize(("auth", "mode"), [("required", ssl.CERT_REQUIRED), ("optional", ssl.CERT_OPTIONAL)])
def test_client_certificates_are_asked_for_with_their_authorities(tmp_path: Path, auth: str, mode: ssl.VerifyMode):
    pairs = options(tmp_path, ("a.test",)).certificates
    CA.cert_pem.write_to_path(tmp_path / "clients.pem")
    context = server_context(
        ServerTlsOptions(pairs, client_ca=str(tmp_path / "clients.pem"), client_auth=auth)  # type: ignore[arg-type]
    )
    assert context.verify_mode is mode
    assert context.num_tickets == 0


def test_a_key_of_another_certificate_is_refused(tmp_path: Path):
    cert, _ = issue(tmp_path, "a", "a.test")
    _, key = issue(tmp_path, "b", "b.test")
    with pytest.raises(ValueError, match=r"b\.key: the key does not match the certificate in .*a\.pem"):
        server_context(ServerTlsOptions(((cert, key),)))


def test_an_encrypted_key_is_refused_and_not_asked_for_at_the_terminal(tmp_path: Path):
    cert, key = issue(tmp_path, "a", "a.test")
    private = load_pem_private_key((tmp_path / "a.key").read_bytes(), None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "a.key").write_bytes(locked)
    with pytest.raises(ValueError, match=r"a\.key: the key is encrypted"):
        server_context(ServerTlsOptions(((cert, key),)))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pem", None, r"a\.pem: No such file or directory"),
        ("a.pem", b"", r"a\.pem: holds no usable PEM certificate"),
        (
            "a.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            r"a\.pem: holds no usable PEM certificate",
        ),
        ("a.key", None, r"a\.key: No such file or directory"),
        ("a.key", b"junk", r"a\.key: holds no usable PEM private key"),
        ("clients.pem", None, r"clients\.pem: No such file or directory"),
        ("clients.pem", b"junk", r"clients\.pem: holds no usable PEM certificate"),
    ],
)
def test_a_fault_names_its_file(tmp_path: Path, name: str, content: bytes | None, sentence: str):
    pair = issue(tmp_path, "a", "a.test")
    CA.cert_pem.write_to_path(tmp_path / "clients.pem")
    if content is None:
        os.unlink(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        server_context(ServerTlsOptions((pair,), client_ca=str(tmp_path / "clients.pem")))


def test_one_file_may_hold_the_certificate_and_its_key(tmp_path: Path):
    both = tmp_path / "both.pem"
    CA.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(both)
    assert Certificates(ServerTlsOptions(((str(both), str(both)),))).loaded[0].names == ("a.test",)


def test_options_without_effect_are_refused(tmp_path: Path):
    pair = issue(tmp_path, "a", "a.test")
    with pytest.raises(ValueError, match="at least one certificate"):
        server_context(ServerTlsOptions(()))
    with pytest.raises(ValueError, match=r"min_version 1\.3 leaves out"):
        server_context(ServerTlsOptions((pair,), min_version="1.3", ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    with pytest.raises(ValueError, match="knows none of them"):
        server_context(ServerTlsOptions((pair,), ciphers="ROT13"))
