"""Who may be part of the platform's Ray: an authority for that alone, and the token that goes with it.

Ray makes no difference between its members: whoever has a certificate and the token may run code on every node. So
its authority is not the one of the platform's own addresses: a certificate of Ray opens nothing else.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
MEMBER_DAYS = 398
"""Ray reads its certificate at the start alone; it is issued anew with every join and every start of the head."""
_NAMES = ("member.key", "member.pem", "token", "ca.pem")


@dataclass(frozen=True, slots=True)
class RayPapers:
    """All that a machine needs to be a member, as texts."""

    authority: str
    certificate: str
    key: str
    token: str

    def write(self, directory: Path) -> None:
        """Each file in one step, mode 0600; the authority last, because by it one sees whether all is there."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        texts = (self.key, self.certificate, self.token, self.authority)
        for name, text in zip(_NAMES, texts, strict=True):
            _write(directory / name, text)


class RayTrust:
    """The authority, kept in `directory` (mode 0700, files 0600). Raises OSError, ValueError for a damaged file."""

    def __init__(self, directory: Path, now: datetime, *, alone: bool = False) -> None:
        """`alone`: nobody else knows of the directory yet."""
        self._now = now
        with nullcontext() if alone else _locked(directory):
            self._load(directory)

    def _load(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file, certificate_file, token_file = (directory / name for name in ("ca.key", "ca.pem", "token"))
        if not token_file.exists():
            _write(token_file, secrets.token_urlsafe(32))
        if not (key_file.exists() and certificate_file.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            _write(key_file, _pem(key))
            _write(certificate_file, _self_signed(key, self._now).public_bytes(serialization.Encoding.PEM).decode())
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} holds no key of the authority")
        self._key = loaded
        self._certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if self._certificate.public_key() != loaded.public_key():
            raise ValueError(f"{certificate_file} and {key_file.name} do not belong together")
        self._token = token_file.read_text().strip()

    @staticmethod
    def replace(directory: Path, now: datetime) -> None:
        """Another authority and token in the place of those that `directory` has: whoever takes papers of the new
        ones believes no member of the former."""
        fresh, former = (directory.with_name(f".{directory.name}.{name}") for name in ("new", "old"))
        with _locked(directory):
            for left in (fresh, former):
                shutil.rmtree(left, ignore_errors=True)
            RayTrust(fresh, now, alone=True)
            # stopped between the two, there is none, and the next one to open it makes it
            if directory.exists():
                directory.rename(former)
            fresh.rename(directory)
            shutil.rmtree(former, ignore_errors=True)

    @property
    def authority(self) -> str:
        """The certificate (PEM) by which members know each other."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def admit(self, address: str) -> RayPapers:
        """Papers for the machine at `address`, an IP address or a name. Its key is made here: the way is TLS."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general(address), x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder("aicp-ray-member", self._certificate.subject, key, self._now, MEMBER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        texts = [one.public_bytes(serialization.Encoding.PEM).decode() for one in (self._certificate, certificate)]
        return RayPapers(texts[0], texts[1], _pem(key), self._token)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process and thread at a time makes, replaces or reads what is in a directory."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory.with_name(f".{directory.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = "aicp-ray-authority"
    return (
        _builder(name, _named(name), key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of machines differ
        .not_valid_after(now + timedelta(days=days))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
