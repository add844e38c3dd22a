"""The development certificate: what is in it, when it is made again, and who can read its keys."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.server.dev_certificate import (
    DevCertificate,
    data_directory,
    dns_names,
    ensure_dev_certificate,
    trust_message,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def content(certificate: DevCertificate) -> tuple[bytes, bytes, bytes]:
    return certificate.cert.read_bytes(), certificate.key.read_bytes(), certificate.ca.read_bytes()


def test_keys_are_for_their_owner_only(tmp_path: Path):
    ensure_dev_certificate(tmp_path / "new")
    for name in ("ca.key", "localhost.key"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "ca.key",
        "ca.pem",
        "localhost.key",
        "localhost.pem",
    ]


def test_a_second_call_changes_nothing(tmp_path: Path):
    before = content(ensure_dev_certificate(tmp_path))
    assert content(ensure_dev_certificate(tmp_path)) == before


def test_a_certificate_is_renewed_in_its_last_week_by_the_same_authority(tmp_path: Path):
    cert, key, ca = content(ensure_dev_certificate(tmp_path, now=NOW))
    assert content(ensure_dev_certificate(tmp_path, now=NOW + timedelta(days=82))) == (cert, key, ca)
    renewed, renewed_key, same_ca = content(ensure_dev_certificate(tmp_path, now=NOW + timedelta(days=84)))
    assert renewed != cert
    assert renewed_key != key
    assert same_ca == ca


def test_an_authority_at_its_end_is_made_anew_with_all_below_it(tmp_path: Path):
    cert, key, ca = content(ensure_dev_certificate(tmp_path, now=NOW))
    new_cert, new_key, new_ca = content(ensure_dev_certificate(tmp_path, now=NOW + timedelta(days=3645)))
    assert cert != new_cert
    assert key != new_key
    assert ca != new_ca


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "localhost.pem", "localhost.key"])
@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_damaged_and_lost_files_are_made_anew(tmp_path: Path, name: str, damage: bytes | None):
    ensure_dev_certificate(tmp_path)
    if damage is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(damage)
    fixed = ensure_dev_certificate(tmp_path)
    leaf = x509.load_pem_x509_certificate(fixed.cert.read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(fixed.ca.read_bytes()))


def test_a_new_machine_name_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.gethostname", lambda: "old-name")
    ensure_dev_certificate(tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "new-name.lan")
    leaf = x509.load_pem_x509_certificate(ensure_dev_certificate(tmp_path).cert.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "new-name.lan"]


def test_the_authority_may_sign_nothing_but_this_machines_names(tmp_path: Path):
    ca = x509.load_pem_x509_certificate(ensure_dev_certificate(tmp_path).ca.read_bytes())
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert x509.DNSName("localhost") in (constraints.value.permitted_subtrees or ())
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("LapTop.lan.", ("localhost", "laptop.lan")),
        ("localhost", ("localhost",)),
        ("", ("localhost",)),
        ("my_machine", ("localhost",)),
        ("möwe", ("localhost",)),
        ("x" * 64, ("localhost",)),
    ],
)
def test_machine_names_that_dns_could_not_hold_are_left_out(hostname: str, names: tuple[str, ...]):
    assert dns_names(hostname) == names


def test_files_are_kept_where_xdg_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert data_directory() == Path("/data/gateway")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert data_directory() == Path.home() / ".local/share/gateway"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_directory() == Path.home() / ".local/share/gateway"


def test_the_message_says_which_authority_to_trust(tmp_path: Path):
    certificate = ensure_dev_certificate(tmp_path)
    assert str(certificate.ca) in trust_message(certificate)
    assert str(certificate.key) not in trust_message(certificate)
