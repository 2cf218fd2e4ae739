"""Certificates of the stack with STACK_TLS=1: an authority of its own, and one for its servers.

    ensure_certificates(settings)      # secrets/tls, before any server starts
    httpx.get(url, verify=trust(settings))

The authority's key stays in the stack's folder, its certificate is `secrets/tls/ca.pem`. The
servers' certificate is made anew a month before it ends, or for another host, at the next start.
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.secrets import write_private

AUTHORITY_DAYS, SERVER_DAYS, LEFT_DAYS = 3650, 397, 30  # browsers take no longer ones than 398
EARLIER = timedelta(minutes=5)  # of clocks that are behind


def folder(settings: StackSettings) -> Path:
    """Where the certificates are."""
    return settings.secrets / "tls"


def authority(settings: StackSettings) -> Path:
    """The certificate that clients verify against."""
    return folder(settings) / "ca.pem"


def bundle(settings: StackSettings) -> Path:
    """The same with the public authorities, for clients that talk to others too."""
    return folder(settings) / "bundle.pem"


def server_files(settings: StackSettings) -> tuple[str, str]:
    """Certificate and key of the servers."""
    return str(folder(settings) / "server.pem"), str(folder(settings) / "server.key")


def trust(settings: StackSettings) -> ssl.SSLContext | bool:
    """What a client of the stack's own verifies with."""
    if not settings.tls:
        return True
    return ssl.create_default_context(cafile=authority(settings))


def hba_file(settings: StackSettings) -> Path:
    """PostgreSQL's rule that nobody is let in without TLS; there if it was built with TLS."""
    return settings.home / "postgres" / "hba.conf"


def postgres_has_tls(settings: StackSettings) -> bool:
    """Whether PostgreSQL speaks TLS too."""
    return settings.tls and hba_file(settings).exists()


def libpq(settings: StackSettings) -> dict[str, Any]:
    """Arguments of a connection to PostgreSQL."""
    if not postgres_has_tls(settings):
        return {}
    return {"sslmode": "verify-full", "sslrootcert": str(authority(settings))}


def client_variables(settings: StackSettings) -> dict[str, str]:
    """What clients of all servers need, each by its own variable."""
    if not settings.tls:
        return {}
    return {
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority(settings)),
        "PREFECT_API_SSL_CERT_FILE": str(authority(settings)),
        # MLflow's client fetches artifacts from S3 itself, by addresses that the server signs.
        "REQUESTS_CA_BUNDLE": str(bundle(settings)),
        **s3_variables(settings),
        **postgres_variables(settings),
    }


def s3_variables(settings: StackSettings) -> dict[str, str]:
    """What a client of S3 needs; buckets of others are verified as ever."""
    return {"AWS_CA_BUNDLE": str(bundle(settings))} if settings.tls else {}


def postgres_variables(settings: StackSettings) -> dict[str, str]:
    """What libpq and asyncpg need."""
    return {f"PG{name.upper()}": value for name, value in libpq(settings).items()}


def ensure_certificates(settings: StackSettings) -> None:
    """Make what is missing or ends soon; without TLS nothing."""
    if not settings.tls:
        return
    folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    key_file = folder(settings) / "ca.key"
    if not (authority(settings).exists() and key_file.exists()):
        key, made = _authority()
        write_private(key_file, _pem(key))
        write_private(authority(settings), made.public_bytes(Encoding.PEM).decode())
    public = Path(certifi.where()).read_text(encoding="utf-8")
    own = authority(settings).read_text(encoding="utf-8")
    write_private(bundle(settings), f"{public}\n{own}")
    if _is_good(settings):
        return
    signer = load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise StackError(f"{key_file} is no key that the stack made. Nothing was started.")
    key, made = _server(settings.host, signer, x509.load_pem_x509_certificate(own.encode()))
    certificate, key_path = (Path(name) for name in server_files(settings))
    write_private(key_path, _pem(key))
    write_private(certificate, made.public_bytes(Encoding.PEM).decode() + own)


def _is_good(settings: StackSettings) -> bool:
    certificate, key = (Path(name) for name in server_files(settings))
    if not (certificate.exists() and key.exists()):
        return False
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = made.not_valid_after_utc - datetime.now(UTC)
    return left > timedelta(days=LEFT_DAYS) and names == _names(settings.host)


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Lethe stack: authority of this machine")
    made = (
        _draft(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, made


def _server(
    host: str, signer: ec.EllipticCurvePrivateKey, by: x509.Certificate
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    made = (
        _draft(_name("Lethe stack"), by.subject, key, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_names(host), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return key, made


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - EARLIER,
        not_valid_after=now + timedelta(days=days),
    )


def _names(host: str) -> x509.SubjectAlternativeName:
    """The names that the servers answer to: the host that they listen on, and this machine."""
    found = dict.fromkeys(("localhost", "127.0.0.1", host))
    return x509.SubjectAlternativeName([_general(name) for name in found])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
