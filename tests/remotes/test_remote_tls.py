"""Gateways over TLS: whom this host trusts is asked, and read only where it counts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from dags import Asked, Dag, Peer

from stargazer.errors import RemoteError
from stargazer.remotes import fetch_into, read_remote
from stargazer.store import Store

Start = Callable[..., Peer]


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of this host that signs itself, and a server's side of it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=stargazer tests")
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + _DAY)
    made = made.add_extension(host, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
    certificate, private = tmp_path / "certificate.pem", tmp_path / "private.pem"
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(*forms))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context


_DAY = datetime.timedelta(days=1)


def gateway(url: str) -> Any:
    return read_remote({"gateway": url, "name": "safe", "timeout": 5})


def test_a_gateway_whose_certificate_is_trusted_is_read(
    authority: tuple[Path, ssl.SSLContext], store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    dag = Dag()
    cid = dag.raw(b"secure")
    fetch_into(store, cid, [gateway(peer(dag, Asked.serve, tls).url)])
    assert store.read(cid) == b"secure"


def test_a_gateway_whose_certificate_nobody_signed_is_refused(
    authority: tuple[Path, ssl.SSLContext], store: Store, peer: Start
) -> None:
    _, tls = authority
    dag = Dag()
    cid = dag.raw(b"whose?")
    started = peer(dag, Asked.serve, tls)
    with pytest.raises(RemoteError, match=r"safe.*certificate"):
        fetch_into(store, cid, [gateway(started.url)])
    assert not started.asked
    assert not store.has(cid)


def test_a_certificate_that_is_refused_is_not_waited_for(
    authority: tuple[Path, ssl.SSLContext], store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the same in a minute. Who has an authority of their own is told where to name it."""
    monkeypatch.setattr("stargazer.remotes.patience.Patience.sleep", lambda *_: pytest.fail("nobody is waited for"))
    _, tls = authority
    cid = Dag().raw(b"whose?")
    with pytest.raises(RemoteError, match="SSL_CERT_FILE"):
        fetch_into(store, cid, [gateway(peer(Dag(), Asked.serve, tls).url)])


def test_tls_at_a_port_without_it_is_not_waited_for(store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.remotes.patience.Patience.sleep", lambda *_: pytest.fail("nobody is waited for"))
    cid = Dag().raw(b"whose?")
    with pytest.raises(RemoteError, match="safe does not speak TLS"):
        fetch_into(store, cid, [gateway(peer(Dag()).url.replace("http:", "https:"))])


def test_plain_text_at_a_port_of_tls_is_an_error_that_names_it(
    authority: tuple[Path, ssl.SSLContext], store: Store, peer: Start
) -> None:
    _, tls = authority
    cid = Dag().raw(b"whose?")
    with pytest.raises(RemoteError, match="safe: safe"):
        fetch_into(store, cid, [gateway(peer(Dag(), Asked.serve, tls).url.replace("https:", "http:"))])


def test_a_long_file_comes_over_tls(
    authority: tuple[Path, ssl.SSLContext], store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    dag, data = Dag(), shake_256(b"secure").digest(6 << 20)
    cid = dag.chunked(data, 1 << 18)
    started = peer(dag, lambda asked: asked.serve(cars=False), tls)
    fetch_into(store, cid, [read_remote({"gateway": started.url, "timeout": 20})])
    assert store.read(cid) == data
    assert "body" in started.kinds()


def test_authorities_are_not_read_for_a_node_without_tls(
    store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took longer than what was fetched, once for each remote of each process."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda *_, **__: pytest.fail("nobody is to be trusted here"))
    dag = Dag()
    cid = dag.raw(b"plain")
    fetch_into(store, cid, [gateway(peer(dag).url)])
    assert store.read(cid) == b"plain"
