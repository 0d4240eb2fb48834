"""The site's own certificate authority, and the certificate with which this box proves to a phone who it is.

The authority is made on the box and never leaves it. It may speak for ``.local`` names and private addresses only, so
a phone that trusts it trusts this box's network and nobody else's bank, even when the box is stolen.

Validity begins at a fixed day where the box's clock cannot be right: phones know the time even where boxes do not.
"""

import ipaddress
import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import ConfigError
from appliance.files import write_private

_FLOOR = datetime(2026, 11, 1, tzinfo=UTC)
_AUTHORITY_FROM, _AUTHORITY_TO = datetime(2025, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
_LEAF = timedelta(days=800)
"""iPhones take no certificate of more than 825 days."""
_RENEW_BEFORE = timedelta(days=120)
_DOMAIN = "local"
_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",
                 "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What lies in one folder."""

    folder: Path

    @property
    def authority(self) -> bytes:
        """The authority's certificate, as phones take it (DER)."""
        return x509.load_pem_x509_certificate(self._read("authority.pem")).public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, in pairs of digits, as phones show it."""
        found = x509.load_pem_x509_certificate(self._read("authority.pem")).fingerprint(hashes.SHA256())
        return found.hex(":").upper()

    def context(self) -> ssl.SSLContext:
        """For a server that listens with the box's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "box.pem", self.folder / "box.key")
        return context

    def _read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def ready_certificates(folder: Path, names: Sequence[str], addresses: Sequence[str], *, now: datetime) -> Certificates:
    """The certificates in ``folder`` for these names and addresses: made, or renewed, if they are not there yet.

    Names outside ``.local`` and public addresses are left out: the authority does not speak for them.

    Raises:
        ConfigError: what lies there cannot be read.
    """
    found = Certificates(folder=folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    now = now if _FLOOR <= now <= _FLOOR + timedelta(days=3650) else _FLOOR
    try:
        if not (folder / "authority.pem").exists():
            _make_authority(folder)
        wanted = [*_names(names), *_addresses(addresses)]
        if not _good(folder, wanted, now):
            _make_leaf(folder, wanted, now)
        found.context()
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConfigError(
            f"The certificates in {folder} cannot be used: {error}.",
            todo="Move that folder away; the box makes new ones, and phones must trust it anew.",
        ) from error
    return found


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Fieldpost box {os.urandom(3).hex()}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fieldpost, this site only"),
        ]
    )
    permitted: list[x509.GeneralName] = [x509.DNSName(_DOMAIN), x509.DNSName("localhost")]
    permitted += [x509.IPAddress(network) for network in _NETWORKS]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_AUTHORITY_FROM)
        .not_valid_after(_AUTHORITY_TO)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / "authority.key", key)
    write_private(folder / "authority.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _make_leaf(folder: Path, wanted: Iterable[x509.GeneralName], now: datetime) -> None:
    authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is of another kind")
    key = ec.generate_private_key(ec.SECP256R1())
    start = now - timedelta(days=2)  # a phone may be a little behind
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fieldpost box")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LEAF)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    _write_key(folder / "box.key", key)
    chain = certificate.public_bytes(serialization.Encoding.PEM) + (folder / "authority.pem").read_bytes()
    write_private(folder / "box.pem", chain)


def _good(folder: Path, wanted: Sequence[x509.GeneralName], now: datetime) -> bool:
    """Whether the box's certificate is there, names everything that is wanted and lasts a while."""
    if not (folder / "box.pem").exists() or not (folder / "box.key").exists():
        return False
    certificate = x509.load_pem_x509_certificate((folder / "box.pem").read_bytes())
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _RENEW_BEFORE
    return lasts and all(name in named for name in wanted)


def _names(names: Sequence[str]) -> list[x509.GeneralName]:
    ours = {name.lower() for name in names if name.lower() == "localhost" or name.lower().endswith(f".{_DOMAIN}")}
    return [x509.DNSName(name) for name in sorted(ours)]


def _addresses(addresses: Sequence[str]) -> list[x509.GeneralName]:
    found = sorted({ipaddress.ip_address(text) for text in addresses}, key=str)
    return [x509.IPAddress(one) for one in found if any(one in net for net in _NETWORKS if net.version == one.version)]


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign, key_cert_sign=sign, crl_sign=sign, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    kind = serialization.PrivateFormat.PKCS8
    write_private(path, key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
