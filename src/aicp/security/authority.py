"""The platform's own certificate authority: it says who is the control plane, a gateway, or which node.

Identity stands in a certificate as the URI `aicp://control`, `aicp://gateway` or `aicp://node/<id>`; names to connect
by stand in it as DNS names that no resolver knows, so that addresses of machines never need to. ECDSA P-256 throughout.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aicp.core.clock import Clock

CONTROL, GATEWAY = "aicp://control", "aicp://gateway"
NODE = "aicp://node/"
NODE_DAYS = 30
PROCESS_DAYS = 90
_AUTHORITY_DAYS = 20 * 365
_BEFORE = timedelta(hours=1)
"""Clocks of machines differ; a certificate is valid a little before it is made."""
_PURPOSES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


class Authority:
    """Signs. Its key never leaves the directory in which it was made."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, clock: Clock) -> None:
        self._certificate = certificate
        self._key = key
        self.clock = clock

    @classmethod
    def open(cls, directory: Path, clock: Clock) -> Authority:
        """The authority kept in `directory` as ca.pem and ca.key, made at the first call.

        Raises ValueError when the files are damaged or do not belong together, OSError when they cannot be written.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (directory / "ca.pem").exists():
                _make(directory, clock)
        finally:
            os.close(lock)
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        key = _load_key((directory / "ca.key").read_bytes())
        if certificate.public_key() != key.public_key():
            raise ValueError(f"{directory / 'ca.pem'} and ca.key do not belong together; restore them from a backup.")
        return cls(certificate, key, clock)

    @property
    def certificate_pem(self) -> str:
        """What others are to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the certificate (DER)."""
        return fingerprint_of(self.certificate_pem)

    def sign(self, request_pem: str, identity: str, dns_names: Sequence[str], days: int) -> str:
        """A certificate (PEM) for the key of a signing request. Of what else the request says nothing is taken over.

        Raises ValueError for what is no request, is not signed by its own key, or has a key that is not P-256.
        """
        try:
            request = x509.load_pem_x509_csr(request_pem.encode())
            public = request.public_key()
            signed = request.is_signature_valid
        except (ValueError, TypeError, InvalidSignature) as error:
            raise ValueError("it is no certificate signing request") from error
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise ValueError("its key is not of the curve P-256")
        if not signed:
            raise ValueError("it is not signed by its own key")
        return self._sign(public, identity, dns_names, days)

    def certify(self, key_pem: str, identity: str, dns_names: Sequence[str], days: int) -> str:
        """A certificate (PEM) for a key of this machine."""
        return self._sign(_load_key(key_pem.encode()).public_key(), identity, dns_names, days)

    def signed(self, certificate: Path) -> bool:
        """Whether a file is a certificate of this authority."""
        try:
            x509.load_pem_x509_certificate(certificate.read_bytes()).verify_directly_issued_by(self._certificate)
        except (OSError, ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _sign(self, public: ec.EllipticCurvePublicKey, identity: str, names: Sequence[str], days: int) -> str:
        alternatives = [x509.UniformResourceIdentifier(identity), *(x509.DNSName(name) for name in names)]
        issuer = self._key.public_key()
        builder = (
            _builder(public, _name(identity.removeprefix("aicp://")), self._certificate.subject, self.clock, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(_PURPOSES, critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        )
        return _pem(builder.sign(self._key, hashes.SHA256()))


def make_key() -> str:
    """A fresh private key (PEM)."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def make_request(key_pem: str) -> str:
    """A signing request (PEM) for a key; who it is for, the authority says."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name("node"))
    request = builder.sign(_load_key(key_pem.encode()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint_of(certificate_pem: str) -> str:
    """Hex SHA-256 of a certificate (DER). Raises ValueError for what is none."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def needs_renewal(certificate: Path, now: datetime) -> bool:
    """Whether a third of a certificate's time is over, or it is not there, or damaged."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return True
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    return now > begins + (ends - begins) / 3


def keep_issued(authority: Authority, directory: Path, name: str, identity: str, names: Sequence[str]) -> bool:
    """Sees to `<name>.pem` and `<name>.key` of one of this machine's processes; whether the certificate is new.

    A key that is there stays, so that whoever reads both files in between never sees two that do not fit.
    """
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    now = authority.clock.now()
    if key.exists() and authority.signed(certificate) and not needs_renewal(certificate, now):
        return False
    if not key.exists():
        write_secret(key, make_key())
    write_secret(certificate, authority.certify(key.read_text(), identity, names, PROCESS_DAYS))
    return True


def write_secret(path: Path, text: str) -> None:
    """Replaces a file in one step, mode 0600."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _make(directory: Path, clock: Clock) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"aicp authority {secrets.token_hex(4)}")
    builder = (
        _builder(key.public_key(), name, name, clock, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    # the key first: with the certificate the authority is whole
    write_secret(directory / "ca.key", _key_pem(key))
    write_secret(directory / "ca.pem", _pem(builder.sign(key, hashes.SHA256())))


def _builder(
    public: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, clock: Clock, days: int
) -> x509.CertificateBuilder:
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, shape, serialization.NoEncryption()).decode()


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("this is no private key of the platform's authority")
    return key
