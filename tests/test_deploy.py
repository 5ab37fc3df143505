"""17.6: the examples in `deploy/` name what exists, and are valid by their own programs."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from portal.commands import app
from portal.configuration.sources import PREFIX
from portal.operations.settings import Settings
from tests import certificate

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROGRAM = "/opt/sovereign/bin/sovereign"
UNITS = sorted(DEPLOY.glob("*.service"))
TEXTS = [path for path in sorted(DEPLOY.iterdir()) if path.is_file()]


def test_every_setting_that_is_named_exists() -> None:
    found = {
        name.lower()
        for path in TEXTS
        for name in re.findall(rf"\b{PREFIX}([A-Z_]+)\b", path.read_text("utf-8"))
    }
    assert found, "the examples name settings"
    assert found - {*Settings.model_fields} == set()


def commands() -> Iterator[tuple[str, list[str]]]:
    """Where a command stands, and its words after `sovereign`."""
    for path in UNITS:
        (line,) = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)
        program, *words = shlex.split(line)
        assert program == PROGRAM
        yield path.name, words
    for name, service in services().items():
        if service["image"] == "sovereign":
            yield f"compose.yaml, {name}", service["command"]
    (words_of_image,) = re.findall(
        r"^CMD (.*)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE
    )
    yield "Containerfile", yaml.safe_load(words_of_image)
    readme = (DEPLOY / "README.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"/opt/sovereign/bin/sovereign (.*)$", readme, re.MULTILINE):
        yield "README.md", shlex.split(line)
    for line in re.findall(r"--no-deps \S+\s+(witness .*?)\|", readme):
        yield "README.md", shlex.split(line)


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def require_known(where: str, words: Sequence[str]) -> None:
    """The command and every option that begins with `--` exist."""
    command: Any = get_command(app)
    left = [*words]
    while hasattr(command, "commands"):
        assert left[0] in command.commands, f"{where}: no command {left[0]}"
        command = command.commands[left.pop(0)]
    options = {opt for each in command.params for opt in each.opts}
    for word in left:
        assert not word.startswith("--") or word in options, f"{where}: no option {word}"


def test_every_command_and_option_that_is_named_exists() -> None:
    named = [*commands()]
    assert {"README.md", "Containerfile", *(path.name for path in UNITS)} <= {n for n, _ in named}
    for where, words in named:
        require_known(where, words)
    with pytest.raises(AssertionError, match="no option --hots"):
        require_known("a mistake", ["serve", "--hots", "0.0.0.0"])


def test_every_make_target_and_file_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in TEXTS:
        for line in re.findall(r"^[ #]*make ([a-z ]+)$", path.read_text(), re.MULTILINE):
            for target in line.split():
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{path.name}: {target}"
    mounted = {
        source
        for service in services().values()
        for volume in service.get("volumes", [])
        if "." in (source := volume.split(":")[0]).removeprefix("./")
    }
    assert mounted == {"./nginx.conf", "./vault.sql"}
    assert all((DEPLOY / each).is_file() for each in mounted)


def test_the_proxy_sends_requests_to_services_and_ports_that_there_are() -> None:
    servers = re.findall(
        r"^\s+server (\S+):(\d+) max_fails=0;", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE
    )
    ports = dict.fromkeys(("portal-a", "portal-b"), Settings.model_fields["port"].default)
    ports |= dict.fromkeys(("gate-a", "gate-b"), Settings.model_fields["gate_port"].default)
    assert {name: int(port) for name, port in servers} == ports
    assert {*ports} < {*services()}
    proxy = services()["proxy"]["networks"]["inner"]["ipv4_address"]
    assert services()["portal-a"]["environment"]["FORWARDED_ALLOW_IPS"] == proxy


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="wants systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))  # it is not installed here
    ran = verified(copy)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    copy.write_text(copy.read_text().replace("Restart=on-failure", "Restart=perhaps"))
    assert "perhaps" in verified(copy).stderr


def verified(unit: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which("nginx"), reason="wants nginx")
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    text = re.sub(r"server (portal|gate)-[ab]:", "server 127.0.0.1:", nginx_conf())  # no such hosts
    text = text.replace("error_log stderr warn;", f"error_log stderr warn;\npid {tmp_path}/pid;")
    (tmp_path / "tls").mkdir()
    certificate.make(tmp_path / "tls")
    for name, status in (("good", 0), ("bad", 1)):
        conf = tmp_path / f"{name}.conf"
        conf.write_text(text if not status else text.replace("proxy_buffering off", "proxy_buff"))
        command = ["nginx", "-t", "-q", "-p", str(tmp_path), "-c", str(conf)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == status, ran.stderr


def nginx_conf() -> str:
    return (DEPLOY / "nginx.conf").read_text()
