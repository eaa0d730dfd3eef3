"""HTTPS on this machine: a certificate authority of its own, and what clients need to trust it.

Some official clients speak nothing but https. Whoever trusts this authority trusts it for the names
that were given and for no others: X.509 name constraints see to that, so a stolen `ca.key` cannot
stand in for anybody else's site.

Keys are made once and stay; certificates are made from them whenever they are due. So two servers
that start at once agree without a lock: the first key wins, and any certificate fits it.
"""

import ipaddress
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from imagemill.errors import Fault, Kind, invalid
from imagemill.folders import PRIVATE_FILE, close, make_private

log = logging.getLogger(__name__)

Names = tuple[str, ...]  # in their one spelling, in order
PrivateKey = ec.EllipticCurvePrivateKey

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)  # some clients refuse more than 398 days
RENEWED = timedelta(days=30)  # before the end
BACKDATED = timedelta(days=1)  # for clients whose clock is behind

OWN_NAMES = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # where to listen; no name to be called by
# Always the same, so that a leaf is still good after its authority was made anew from its key.
AUTHORITY_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imagemill local authority")])
LEAF_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
CA, CA_KEY = "ca.pem", "ca.key"
LEAF, LEAF_KEY, BUNDLE = "server.pem", "server.key", "bundle.pem"

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!\d+$){_LABEL}")


@dataclass(frozen=True)
class Authority:
    """Signs for this machine alone; everything it keeps is in one folder, closed to others."""

    folder: Path
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    clock: Callable[[], float]

    @classmethod
    def keep(cls, folder: Path, names: Sequence[str], clock: Callable[[], float]) -> "Authority":
        """The authority in `folder`, made where there is none, for our own names and `names`."""
        folder, wanted, now = folder.absolute(), _names(names), _at(clock)
        with _told():
            make_private(folder)
            key, path = _kept_key(folder / CA_KEY), folder / CA
            if not path.exists():
                _write(path, _pem(_authority(key, wanted, now)), replace=False)
            certificate = _read(path)
            if worn := _worn(certificate, key, wanted, now):
                log.warning("%s %s; it is made anew, so let clients read it again", CA, worn)
                _write(path, _pem(_authority(key, wanted, now)), replace=True)
                certificate = _read(path)
        return cls(folder, certificate, key, clock)

    def leaf(self, names: Sequence[str]) -> tuple[Path, Path]:
        """Certificate and key to serve our own names and `names` with, made anew where due."""
        wanted, path = _names(names), self.folder / LEAF
        self._check(wanted)
        with _told():
            key = _kept_key(self.folder / LEAF_KEY)
            if not path.exists() or not self._good(_read(path), key, wanted):
                _write(path, _pem(self._leaf(key, wanted)), replace=True)
        return path, self.folder / LEAF_KEY

    def bundle(self) -> Path:
        """The roots that everybody trusts, and ours: SSL_CERT_FILE takes the place of them all."""
        path = self.folder / BUNDLE
        content = certifi.contents().encode().rstrip() + b"\n\n" + _pem(self.certificate)
        with _told():
            if not path.exists() or path.read_bytes() != content:  # certifi may have other roots
                _write(path, content, replace=True)
        return path

    def address(self, url: str) -> str:
        """Host, port and path of `url`, as who trusts us calls it; a Fault for other hosts."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError:
            host, port = "", 0
        if not host or parts.scheme != "https":
            raise invalid("url", f"{url!r:.200} is no address; one is https://localhost:8443")
        host = "localhost" if host in EVERYWHERE else host
        self._check((_name(host),))
        return f"{f'[{host}]' if ':' in host else host}:{port}{parts.path.rstrip('/')}"

    def _check(self, names: Names) -> None:
        for name in _missing(self.certificate, names):
            raise invalid("names", f"{name} is not among the names that {CA} was made for; add it")

    def _good(self, leaf: x509.Certificate, key: PrivateKey, names: Names) -> bool:
        if leaf.issuer != AUTHORITY_NAME:
            raise _unreadable(LEAF, "was not made by imagemill")
        try:
            leaf.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):  # by an authority that was removed
            return False
        serves = _served(names) in [each.value for each in leaf.extensions]
        return serves and leaf.public_key() == key.public_key() and _fresh(leaf, _at(self.clock))

    def _leaf(self, key: PrivateKey, names: Names) -> x509.Certificate:
        now = _at(self.clock)
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _builder(key, LEAF_NAME, now)
            .issuer_name(AUTHORITY_NAME)
            .not_valid_after(min(now + LEAF_LIFE, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(_served(names), critical=False)
            .add_extension(by, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _authority(key: PrivateKey, names: Names, now: datetime) -> x509.Certificate:
    bounds = x509.NameConstraints([_general(name, network=True) for name in names], None)
    return (
        _builder(key, AUTHORITY_NAME, now)
        .issuer_name(AUTHORITY_NAME)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(bounds, critical=True)
        .sign(key, hashes.SHA256())
    )


def _worn(certificate: x509.Certificate, key: PrivateKey, wanted: Names, now: datetime) -> str:
    """Why an authority of ours must be made anew; one that is not ours is left alone."""
    if certificate.subject != AUTHORITY_NAME or _missing(certificate, _names(())):
        raise _unreadable(CA, "is no authority that imagemill made")
    if certificate.public_key() != key.public_key():
        raise _unreadable(CA, f"does not belong to {CA_KEY}")
    if not _fresh(certificate, now):
        return "has expired, or will soon"
    missing = ", ".join(_missing(certificate, wanted))
    return f"may not sign for {missing}" if missing else ""


def _builder(key: PrivateKey, name: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    """What RFC 5280 lists, in its order: to sign a handshake, or to sign certificates."""
    return x509.KeyUsage(not authority, False, False, False, False, authority, False, False, False)


def _names(names: Sequence[str]) -> Names:
    return tuple(sorted({_name(name) for name in (*OWN_NAMES, *names)}))


def _name(text: str) -> str:
    if "%" not in text:  # an address with the name of a network card is good on one machine only
        with suppress(ValueError):
            return str(ipaddress.ip_address(text))
    if not _HOST.fullmatch(text.lower()):
        raise invalid("names", f"{text!r:.200} is neither a host name in ASCII nor an IP address")
    return text.lower()


def _served(names: Names) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str, *, network: bool = False) -> x509.GeneralName:
    """As certificates have it; where they bound names, an address is a network of one."""
    try:
        return x509.IPAddress((ipaddress.ip_network if network else ipaddress.ip_address)(name))
    except ValueError:
        return x509.DNSName(name)


def _missing(authority: x509.Certificate, names: Names) -> Names:
    """What of `names` the authority may not sign for; all where its names are not bound."""
    values = [each.value for each in authority.extensions]
    bounds = [value for value in values if isinstance(value, x509.NameConstraints)]
    permitted = [name for each in bounds for name in each.permitted_subtrees or ()]
    return tuple(name for name in names if _general(name, network=True) not in permitted)


def _at(clock: Callable[[], float]) -> datetime:
    return datetime.fromtimestamp(int(clock()), UTC)


def _fresh(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _kept_key(path: Path) -> PrivateKey:
    """The key at `path`; the first of all who come makes it."""
    if not path.exists():
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        new = ec.generate_private_key(ec.SECP256R1())
        _write(path, new.private_bytes(serialization.Encoding.PEM, *form), replace=False)
    close(path, PRIVATE_FILE)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable(path.name, "is no private key, or a password keeps it") from None
    if not isinstance(key, PrivateKey):
        raise _unreadable(path.name, "was not made by imagemill")
    return key


def _read(path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        list(certificate.extensions)  # they are parsed late; a broken one is found out here
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise _unreadable(path.name, "is no certificate in PEM") from None
    return certificate


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    """The whole file or none of it; without `replace`, a file that is there stays as it is."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")  # closed to others
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            (os.replace if replace else os.link)(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        message = f"the certificates cannot be kept: {why}; give a folder that the server may write"
        raise Fault(Kind.FAILED, message) from None


def _unreadable(name: str, why: str) -> Fault:
    message = f"{name} {why}; move it and its neighbours away, and they are made anew"
    return Fault(Kind.UNREADABLE, message)
