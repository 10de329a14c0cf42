"""
What TLS to the upstream costs: `python -m bench.tls`.

The transport alone, with and without TLS, over the same upstream in turns; CPU time of this
process a request, after the connections are there. The certificate is made for the run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench import scene
from bench.load.upstream import Provider
from bench.processes import BenchmarkFailed, started
from providers.transport import Endpoint, Transport
from routing.gateway.serving.allocator import keep_read_buffers

HOST: Final = "127.0.0.1"
CALLERS: Final = 16
ROUNDS: Final = 7
CALLS: Final = {"plain chat": 4_000, "60-chunk stream": 800}


def certify(path: Path) -> None:
    """A certificate of one day for HOST with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    raw = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(encoding, *raw) + certificate.public_bytes(encoding))


async def serve(certificate: str) -> None:
    """The benchmark's upstream on two ports, the second with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Provider, HOST, 0)
    secure = await loop.create_server(Provider, HOST, 0, ssl=context)
    print(*(each.sockets[0].getsockname()[1] for each in (plain, secure)), flush=True)
    await asyncio.Event().wait()


async def cpu_us(transport: Transport, endpoint: Endpoint, kind: str, calls: int) -> float:
    """CPU microseconds of this process a call."""
    loop = asyncio.get_running_loop()
    body = scene.body(scene.CHAT, stream="stream" in kind)
    head = (
        f"POST {scene.PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def call() -> None:
        for _ in range(calls // CALLERS):
            deadline = loop.time() + 30
            answer = await transport.send(endpoint, head, body, connect_s=5, deadline=deadline)
            if answer.status != 200 or not await answer.read_all(loop.time() + 30):
                raise BenchmarkFailed(f"{kind}: status {answer.status}")

    before = time.process_time()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return (time.process_time() - before) / calls * 1e6


async def measure(ports: Sequence[int], certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    transport = Transport(ssl_context=context)
    schemes = dict(zip(("http", "https"), ports, strict=True))
    endpoints = {s: Endpoint(scheme=s, host=HOST, port=port) for s, port in schemes.items()}
    asked = 0
    print("| | http, CPU µs | https, CPU µs | TLS adds |\n|---|---:|---:|---:|")
    for kind, calls in CALLS.items():
        took: dict[str, list[float]] = {scheme: [] for scheme in endpoints}
        for number in range(ROUNDS + 1):
            for scheme, endpoint in endpoints.items():
                asked += calls * (scheme == "https")
                cost = await cpu_us(transport, endpoint, kind, calls)
                if number:  # the first round connects
                    took[scheme].append(cost)
        http, https = (statistics.median(each) for each in took.values())
        print(f"| {kind} | {http:.1f} | {https:.1f} | {https - http:+.1f} |")
    handshakes = context.session_stats()["connect"]
    print(f"\n{asked:,} requests with TLS over {handshakes} handshakes.")
    await transport.aclose()
    if handshakes > CALLERS:
        raise BenchmarkFailed("connections with TLS are not used again")


def main(argv: Sequence[str]) -> int:
    if argv[:1] == ["serve"]:
        uvloop.run(serve(argv[1]))
    with tempfile.TemporaryDirectory(prefix="switchyard-tls-") as folder:
        certificate = Path(folder) / "upstream.pem"
        certify(certificate)
        upstream = [sys.executable, "-m", "bench.tls", "serve", str(certificate)]
        with started(upstream, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            ports = [int(port) for port in process.stdout.readline().split()]
            keep_read_buffers()  # as a worker does
            uvloop.run(measure(ports, certificate))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
