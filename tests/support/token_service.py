"""A token service as large registries have one, on a loopback port, for Debian's docker-registry to believe.

It signs what it grants as that registry wants it: a JWT with the certificate in its header. Whoever brings no login may
pull. Source: Docker registry v2 token authentication; RFC 7515 and 7519.
"""

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

SERVICE, ISSUER = "registry of the test", "token service of the test"


class TokenService:
    """Grants pull and push to ``login`` (user, password), pull to anybody, and nothing to a false login."""

    def __init__(self, folder: Path, login: tuple[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._login = "Basic " + base64.b64encode(":".join(login).encode()).decode()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = _certificate(self._key)
        self.bundle = folder / "token.pem"
        """The certificate, for the registry's ``rootcertbundle``."""
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.granted: list[tuple[str, list[str]]] = []
        """Repository and actions of every token that was given out."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers())
        self.realm = f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answers(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told = self.headers["Authorization"]
                if told not in (None, service._login):
                    self.send_error(401)
                    return
                asked = parse_qs(urlsplit(self.path).query)
                assert asked["service"] == [SERVICE]
                kind, repository, actions = asked["scope"][0].split(":")
                allowed = [action for action in actions.split(",") if told or action == "pull"]
                service.granted.append((repository, allowed))
                token = service._sign([{"type": kind, "name": repository, "actions": allowed}])
                body = json.dumps({"token": token}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Answers

    def _sign(self, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": ISSUER, "sub": "amina", "aud": SERVICE, "iat": now, "nbf": now - 10, "exp": now + 300,
            "jti": str(now), "access": access,
        }  # fmt: skip
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_base64url(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
