"""What the authority keeps in its folder: made once, renewed in time, closed to others."""

import logging
import ssl
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from imagemill.errors import Fault, Kind
from imagemill.tls import AUTHORITY_NAME, RENEWED, Authority
from tests.test_tls import make_authority, pem_of

DAY = timedelta(days=1)


@dataclass
class Clock:
    now: float = 2e9

    def __call__(self) -> float:
        return self.now

    def pass_(self, time: timedelta) -> None:
        self.now += time.total_seconds()


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_and_folder_are_closed_to_others(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    authority.leaf([])
    authority.bundle()
    found = {path.name: mode(path) for path in authority.folder.iterdir()}
    names = ["bundle.pem", "ca.key", "ca.pem", "server.key", "server.pem"]
    assert found == dict.fromkeys(names, 0o600)
    assert mode(authority.folder) == 0o700


def test_what_was_open_to_others_is_closed_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_authority(tmp_path).folder
    folder.chmod(0o755)
    (folder / "ca.key").chmod(0o644)
    make_authority(tmp_path)
    assert (mode(folder), mode(folder / "ca.key")) == (0o700, 0o600)
    assert "ca.key was open to other users" in caplog.text


def test_the_authority_is_bound_as_tightly_as_can_be(tmp_path: Path) -> None:
    certificate = make_authority(tmp_path, "mill.example").certificate
    bounds = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert bounds.critical
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    permitted = [str(name.value) for name in bounds.value.permitted_subtrees or ()]
    assert permitted == ["127.0.0.1/32", "::1/128", "localhost", "mill.example"]
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == 3651 * DAY


def test_the_authority_and_its_leaf_are_kept(tmp_path: Path) -> None:
    first, again = (make_authority(tmp_path, "mill.example") for _ in range(2))
    assert first.certificate == again.certificate
    certificate, _ = first.leaf([])
    leaf = read(certificate)
    assert read(again.leaf([])[0]) == leaf
    assert 90 * DAY <= leaf.not_valid_after_utc - leaf.not_valid_before_utc <= 397 * DAY


def test_a_leaf_is_renewed_a_month_before_its_end(tmp_path: Path) -> None:
    clock = Clock()
    authority = make_authority(tmp_path, clock=clock)
    first = read(authority.leaf([])[0])
    clock.now = (first.not_valid_after_utc - RENEWED).timestamp() - 1
    assert read(authority.leaf([])[0]) == first
    clock.pass_(timedelta(seconds=1))
    renewed = read(authority.leaf([])[0])
    assert renewed.not_valid_after_utc == first.not_valid_after_utc + 335 * DAY
    assert renewed.public_key() == first.public_key()


def test_a_leaf_is_made_anew_for_other_names_or_another_authority(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "mill.example")
    leaves = [read(authority.leaf([])[0]), read(authority.leaf(["mill.example"])[0])]
    leaves.append(read(authority.leaf([])[0]))
    for name in ("ca.pem", "ca.key"):
        (authority.folder / name).unlink()
    leaves.append(read(make_authority(tmp_path).leaf([])[0]))
    assert len({leaf.serial_number for leaf in leaves}) == 4


def test_a_leaf_outlives_not_its_authority(tmp_path: Path) -> None:
    clock = Clock()
    authority = make_authority(tmp_path, clock=clock)
    clock.pass_(3600 * DAY)
    leaf = read(make_authority(tmp_path, clock=clock).leaf([])[0])
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc


@pytest.mark.parametrize("passed", [3621 * DAY, 9999 * DAY, -2 * DAY])
def test_an_authority_that_is_not_valid_now_is_made_anew(
    tmp_path: Path, passed: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    old = make_authority(tmp_path, clock=clock)
    before = old.bundle().read_bytes()
    clock.pass_(passed)
    new = make_authority(tmp_path, clock=clock)
    assert new.certificate.serial_number != old.certificate.serial_number
    assert new.bundle().read_bytes() != before
    assert [(record.levelno, "made anew" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


def test_an_authority_is_made_anew_for_a_further_name_and_kept_for_fewer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_authority(tmp_path)
    second = make_authority(tmp_path, "mill.example")
    third = make_authority(tmp_path)
    assert first.certificate != second.certificate == third.certificate
    assert "may not sign for mill.example" in caplog.text


def test_a_leaf_for_a_name_that_the_authority_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"mill\.example is not among the names"):
        make_authority(tmp_path).leaf(["mill.example"])


@pytest.mark.parametrize(
    "name",
    ["", "*.example", "a b", "ä.example", "-a", "a.", "300.1.1.1", "fe80::1%eth0", "a" * 64, "x/y"],
)
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Fault, match="neither a host name") as refusal:
        make_authority(tmp_path, name)
    assert (refusal.value.kind, refusal.value.field) == (Kind.INVALID, "names")


def test_the_bundle_has_everybody_s_roots_and_ours(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    bundled, roots = (
        ssl.create_default_context(cafile=path).get_ca_certs(binary_form=True)
        for path in (authority.bundle(), certifi.where())
    )
    ours = authority.certificate.public_bytes(serialization.Encoding.DER)
    assert sorted(bundled) == sorted([*roots, ours])


def test_the_bundle_is_made_anew_when_the_roots_change_and_only_then(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    path = authority.bundle()
    inode, content = path.stat().st_ino, path.read_bytes()
    assert authority.bundle().stat().st_ino == inode
    path.write_bytes(b"the roots of an older certifi")
    assert authority.bundle().read_bytes() == content


def test_many_who_start_at_once_have_one_authority(tmp_path: Path) -> None:
    count = 8
    together = threading.Barrier(count)

    def start(_: int) -> Authority:
        together.wait()
        authority = make_authority(tmp_path)
        authority.leaf([])
        authority.bundle()
        return authority

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(start, range(count)))
    assert len({authority.certificate.serial_number for authority in found}) == 1
    leaf, key = found[0].leaf([])
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(leaf, key)
    read(leaf).verify_directly_issued_by(found[0].certificate)
    assert len(list(found[0].folder.iterdir())) == 5  # and nothing half written


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "server.pem", "server.key"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_a_broken_file_is_told_and_left_alone(tmp_path: Path, name: str, content: bytes) -> None:
    authority = make_authority(tmp_path)
    authority.leaf([])
    (authority.folder / name).write_bytes(content)
    with pytest.raises(Fault, match=rf"^{name} .* are made anew$") as refusal:
        make_authority(tmp_path).leaf([])
    assert refusal.value.kind is Kind.UNREADABLE
    assert str(tmp_path) not in refusal.value.message
    assert (authority.folder / name).read_bytes() == content


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (pem_of(rsa.generate_private_key(65537, 2048)), "ca.key was not made by imagemill"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "ca.pem does not belong to ca.key"),
        (pem_of(ec.generate_private_key(ec.SECP256R1()), b"p"), "a password keeps it"),
    ],
)
def test_another_s_key_is_told(tmp_path: Path, key: bytes, told: str) -> None:
    folder = make_authority(tmp_path).folder
    (folder / "ca.key").write_bytes(key)
    with pytest.raises(Fault, match=told):
        make_authority(tmp_path)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem"])
def test_another_s_certificate_is_told_and_left_alone(tmp_path: Path, name: str) -> None:
    authority = make_authority(tmp_path)
    foreign = certifi.contents().encode()
    (authority.folder / name).write_bytes(foreign)
    with pytest.raises(Fault, match=rf"^{name} (is no authority that|was not made by) imagemill"):
        make_authority(tmp_path).leaf([])
    assert (authority.folder / name).read_bytes() == foreign


def test_an_authority_of_our_name_whose_names_are_not_bound_is_told(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    unbound = (
        x509.CertificateBuilder(AUTHORITY_NAME, AUTHORITY_NAME, authority.key.public_key(), 1)
        .not_valid_before(datetime.now(UTC) - DAY)
        .not_valid_after(datetime.now(UTC) + 999 * DAY)
        .sign(authority.key, hashes.SHA256())
    )
    (authority.folder / "ca.pem").write_bytes(unbound.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(Fault, match="is no authority that imagemill made"):
        make_authority(tmp_path)


def test_a_folder_that_cannot_be_written_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("in the way", "utf-8")
    with pytest.raises(Fault, match="cannot be kept") as refusal:
        make_authority(tmp_path)
    assert refusal.value.kind is Kind.FAILED
    assert str(tmp_path) not in refusal.value.message
