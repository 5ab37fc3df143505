"""17.4: `sovereign doctor` says what is wrong, and what to do, and writes nothing."""

import json
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread

import httpx
import pytest

from tests import certificate
from tests.features.loopback import PLAIN, free_port
from tests.features.served import HERE, PATIENCE_S, Site
from tests.features.test_clock import last_used
from tests.forked import process as forked

SIGN_IN = {"SOVEREIGN_OIDC_ISSUER": "https://login.example", "SOVEREIGN_OIDC_CLIENT_ID": "portal"}


def doctor(home: Path, **settings: str) -> CompletedProcess[str]:
    words = ["doctor", "--data-dir", str(home)]
    return forked.run(words, HERE.root, os.environ | SIGN_IN | settings, PATIENCE_S)


def files(home: Path) -> dict[str, str]:
    """The digest of each file but SQLite's notes of who reads: `-shm`, and an empty `-wal`."""
    return {
        path.relative_to(home).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith("-shm") and not _is_empty_wal(path)
    }


def _is_empty_wal(path: Path) -> bool:
    return path.name.endswith("-wal") and not path.stat().st_size


@pytest.fixture
def home(unserved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(unserved, tmp_path / "data")


def test_nothing_is_wrong_with_a_sound_installation_and_nothing_is_written(home: Path) -> None:
    before = files(home)
    ran = doctor(home)
    assert (ran.returncode, ran.stdout) == (0, "nothing is wrong\n"), ran.stdout + ran.stderr
    assert files(home) == before


def _readable_key(home: Path) -> None:
    (home / "keys" / "consent.key").chmod(0o640)


def _open_folder(home: Path) -> None:
    (home / "keys").chmod(0o777)


def _damaged_pages(home: Path) -> None:
    file = home / "register.sqlite"
    file.write_bytes(file.read_bytes()[:100] + bytes(4000))


def _jumped_clock(home: Path) -> None:
    last_used(home, timedelta(days=-2))


def _no_source(home: Path) -> None:
    (home / "customers.duckdb").write_bytes(b"nothing")


WRONG = {  # what is done to a data directory, and what the finding names
    "a key that a group may read": (_readable_key, "keys/consent.key", "chmod 600"),
    "a folder that all may write": (_open_folder, "may write this folder", "chmod go-w"),
    "a damaged database": (_damaged_pages, "register.sqlite", "sovereign fsck"),
    "a clock behind the last use": (_jumped_clock, "was last used", "sovereign clock --confirm"),
    "a source that is none": (_no_source, "source", "check the setting source"),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_is_wrong_with_a_data_directory_is_named_with_a_remedy(why: str, home: Path) -> None:
    damage, *named = WRONG[why]
    damage(home)
    ran = doctor(home)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert all(each in ran.stdout for each in named), ran.stdout
    assert len(ran.stdout.splitlines()) == 1, ran.stdout
    assert "Traceback" not in ran.stderr


SETTINGS = {
    "a demonstration": ({"SOVEREIGN_DEMO": "true"}, "setting demo"),
    "nobody can sign in": ({"SOVEREIGN_OIDC_ISSUER": ""}, "setting oidc_issuer"),
    "an issuer over http": ({"SOVEREIGN_OIDC_ISSUER": "http://login.example"}, "oidc_issuer"),
    "tokens for anybody": ({"SOVEREIGN_TOKEN_JWKS": "https://a.example/k"}, "token_audience"),
    "metrics everywhere": ({"SOVEREIGN_METRICS_LISTEN": "0.0.0.0:9464"}, "inner network"),
    "a portal without https": ({"SOVEREIGN_HOST": "10.0.0.5"}, "setting login_origin"),
    "links without mail": ({"SOVEREIGN_MAIL_SIGN_IN": "true"}, "setting mail_sign_in"),
    "a mail server that is down": ({"SOVEREIGN_MAIL": "smtp://127.0.0.1:{}"}, "does not answer"),
}


@pytest.mark.parametrize("why", SETTINGS)
def test_a_setting_that_is_dangerous_is_named(why: str, home: Path) -> None:
    settings, named = SETTINGS[why]
    ran = doctor(home, **{key: value.format(free_port()) for key, value in settings.items()})
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert named in ran.stdout
    assert len(ran.stdout.splitlines()) == 1, ran.stdout


def test_a_writer_that_is_stopped_is_named(site: Site) -> None:
    assert site.process is not None
    site.process.send_signal(signal.SIGSTOP)
    try:
        ran = doctor(site.home)
    finally:
        site.process.send_signal(signal.SIGCONT)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"state/writer.lock, lock: process {site.process.pid} " in ran.stdout


def test_a_database_that_is_down_is_named(home: Path) -> None:
    address = f"postgresql://sovereign@127.0.0.1:{free_port()}/bank"
    remembered = {"database": address, "vault": ""}
    (home / "keys" / "databases.json").write_text(json.dumps(remembered))
    (home / "keys" / "databases.json").chmod(0o600)
    ran = doctor(home)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "check that the database runs" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_a_witness_that_does_not_answer_is_named(home: Path) -> None:
    from ledger.tlog import cosignature

    key = cosignature.generate("witness.example/w1").key
    policy = f"witness w1 {key} http://127.0.0.1:{free_port()}\nquorum w1\n"
    (home / "witnesses.policy").write_text(policy)
    ran = doctor(home)
    assert ran.returncode == 1
    assert ran.stdout.startswith("witness w1: 127.0.0.1:")


def test_a_proxy_that_does_not_say_https_is_found_by_asking_through_it(
    site: Site, tmp_path: Path
) -> None:
    for sends, status in ((False, 1), (True, 0)):
        with tls_proxy(site.address, tmp_path, sends=sends) as (port, trusted):
            origins = {
                "SOVEREIGN_LOGIN_ORIGIN": f"https://localhost:{port}",
                "SOVEREIGN_CONSENT_ORIGIN": f"https://consent.localhost:{port}",
            }
            ran = doctor(site.home, SSL_CERT_FILE=str(trusted), **origins)
        assert ran.returncode == status, ran.stdout + ran.stderr
        assert ("X-Forwarded-Proto" in ran.stdout) is not sends
    ran = doctor(site.home, SSL_CERT_FILE=str(trusted), **origins)  # nobody listens any more
    assert ran.returncode == 3
    assert ran.stdout.startswith("not looked at: proxy: ")


@contextmanager
def tls_proxy(behind: str, folder: Path, *, sends: bool) -> Iterator[tuple[int, Path]]:
    """A proxy with TLS on localhost, and the file with its certificate."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {"X-Forwarded-Proto": "https"} if sends else {}
            answer = httpx.get(f"{behind}{self.path}", headers=headers, verify=PLAIN)
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted = certificate.make(folder)
    context.load_cert_chain(trusted, folder / certificate.KEY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, trusted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
