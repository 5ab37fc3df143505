"""An environment of its own for each foreign peer: `.peers/<name>`, made by `make peers`.

Run as `python -m benchmarks.peers_synthetic.environment [name …]`. What stands in an environment is
listed in environments.toml, completely; one that holds just that is left as it is.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LISTED = tomllib.loads((HERE / "environments.toml").read_text())
UV = Path(sys.executable).with_name("uv")


class MissingEnvironmentError(RuntimeError):
    """A peer cannot run here; the message says what to do about it."""


def interpreter(name: str) -> Path:
    """The Python of one environment. MissingEnvironmentError unless it holds what is listed."""
    stamp = _stamp(name)
    if not stamp.exists():
        raise MissingEnvironmentError(f"no environment .peers/{name}; make it with `make peers`")
    if stamp.read_text() != _content(name):
        raise MissingEnvironmentError(
            f".peers/{name} differs from environments.toml; renew it with `make peers`"
        )
    return _folder(name) / "bin" / "python"


def make(name: str) -> None:
    """Install what is listed; subprocess.CalledProcessError, after uv's words, if it fails."""
    wanted = LISTED[name]
    folder = _folder(name)
    folder.parent.mkdir(exist_ok=True)
    _uv("venv", "--quiet", "--clear", "--python", wanted["python"], str(folder))
    python = str(folder / "bin" / "python")
    _uv("pip", "install", "--quiet", "--no-deps", "--python", python, *wanted["packages"])
    _stamp(name).write_text(_content(name))


def main(names: list[str]) -> None:
    if unknown := {*names} - {*LISTED}:
        sys.exit(
            f"no environment named {', '.join(sorted(unknown))}; there are {', '.join(LISTED)}"
        )
    failed = []
    for name in names or LISTED:
        try:
            interpreter(name)
        except MissingEnvironmentError:
            print(f"making .peers/{name}: {len(LISTED[name]['packages'])} packages", flush=True)
            failed += _attempt(name)
    if failed:
        sys.exit(f"not made: {', '.join(failed)}; the benchmarks skip them and say so")


def _attempt(name: str) -> list[str]:
    try:
        make(name)
    except subprocess.CalledProcessError:
        return [name]
    return []


def _uv(*words: str) -> None:
    subprocess.run([str(UV), *words], check=True)


def _folder(name: str) -> Path:
    return ROOT / ".peers" / name


def _stamp(name: str) -> Path:
    return _folder(name) / "installed.txt"


def _content(name: str) -> str:
    return "\n".join([LISTED[name]["python"], *LISTED[name]["packages"]])


if __name__ == "__main__":
    main(sys.argv[1:])
