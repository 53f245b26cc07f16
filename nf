#!/usr/bin/env python3
"""One entry to a fresh clone: set up once, then run. Needs Python 3.10-3.13 and a C++ compiler.

    ./nf demo [question]   install nearfield and its demo, then run `nearfield demo`
    ./nf test [options]    install the test tools, then run pytest (options go to pytest)
    ./nf lint              ruff and clang-format, nothing is rewritten
    ./nf types             mypy --strict on python/nearfield

Everything lands in build/ (NEARFIELD_BUILD_DIR moves it): build/venv, build/wheel, build/cpp.
The wheel is rebuilt when a source file changed, and what runs is the installed wheel.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("NEARFIELD_BUILD_DIR", ROOT / "build")).resolve()
VENV = BUILD / "venv"
PYTHON = VENV / "bin" / "python"
WHEELS = BUILD / "wheel"
CONSTRAINTS = ROOT / "constraints.txt"
WHEEL_SOURCES = (
    *("CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE"),
    *("cpp", "cuda", "python"),
)
EXTRAS = {"demo": "demo", "test": "test", "lint": "lint", "types": "lint"}


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print a heading before and the time after."""
    print(f"\n== {title}", flush=True)
    start = time.monotonic()
    yield
    print(f"-- {title}: {time.monotonic() - start:.1f} s", flush=True)


def run(*command: str | Path) -> None:
    """Run a command in the clone; the first failure ends everything with its exit code."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT).returncode
    if code != 0:
        print(f"!! exit code {code}: {' '.join(map(str, command))}", file=sys.stderr)
        sys.exit(code if code > 0 else 1)


def pip(*arguments: str | Path) -> None:
    """Call the virtual environment's pip."""
    run(PYTHON, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments)


def digest(names: tuple[str, ...]) -> str:
    """Hash names and contents of the files below the given paths."""
    sha = hashlib.sha256()
    for name in names:
        path = ROOT / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                sha.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return sha.hexdigest()


def is_current(stamp: Path, value: str) -> bool:
    """Tell whether a finished step left this value behind."""
    return stamp.is_file() and stamp.read_text() == value


def check_machine() -> None:
    """Stop early, with the remedy, when the machine lacks one of the two things it must have."""
    if sys.version_info < (3, 10):  # noqa: UP036 - runs before anything could have checked it
        got = sys.version.split()[0]
        sys.exit(f"nf: this is Python {got}, 3.10 or newer is needed; call `python3.x nf ...`")
    compilers = filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))
    if not any(shutil.which(name.split()[0]) for name in compilers):
        sys.exit("nf: no C++ compiler found ($CXX, c++, g++, clang++); install one, e.g. g++")


def create_venv() -> None:
    """Create build/venv with the Python that runs this script."""
    if PYTHON.is_file():
        return
    with step("create the virtual environment"):
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("nf: `python3 -m venv` failed; on Debian and Ubuntu install python3-venv")


def install_wheel() -> Path:
    """Build the wheel if a source changed, install it, and return its path."""
    stamp, value = VENV / "wheel.sha256", digest(WHEEL_SOURCES)
    if not is_current(stamp, value):
        stamp.unlink(missing_ok=True)
        shutil.rmtree(WHEELS, ignore_errors=True)
        with step("build and install the wheel"):
            pip("wheel", "--no-deps", "--wheel-dir", WHEELS, ROOT)
            pip("install", "--force-reinstall", "--no-deps", *WHEELS.glob("*.whl"))
        stamp.write_text(value)
    return next(WHEELS.glob("*.whl"))


def install_extra(extra: str) -> None:
    """Install nearfield with one extra; the linters alone need no compiled module."""
    stamp, value = VENV / f"{extra}.sha256", digest(("pyproject.toml", "constraints.txt"))
    if extra == "lint":
        if not is_current(stamp, value):
            with step("install the linters"):
                pip("install", "-c", CONSTRAINTS, "ruff", "mypy", "clang-format", "numpy>=1.26")
            stamp.write_text(value)
        return
    wheel = install_wheel()
    if not is_current(stamp, value):
        with step(f"install what the {extra} needs"):
            # torch first and alone: resolved on its own it comes as the one pinned build.
            pip("install", "-c", CONSTRAINTS, "torch")
            pip("install", "-c", CONSTRAINTS, f"{wheel}[{extra}]")
        stamp.write_text(value)


def cpp_files() -> list[Path]:
    """Return every C++ source of the project."""
    names = ("cpp", "cuda", "python/bindings", "tests/cpp", "tests/cuda", "tests/fuzz")
    folders = [ROOT / name for name in names]
    files = (file for folder in folders for file in sorted(folder.rglob("*")))
    return [file for file in files if file.suffix in {".h", ".cpp", ".cu", ".cuh"}]


def main(arguments: list[str]) -> None:
    """Set up what the command needs, then run it."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command not in EXTRAS:
        print(__doc__.strip())
        sys.exit(0 if command in {"-h", "--help"} else 2)
    check_machine()
    create_venv()
    install_extra(EXTRAS[command])
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    with step(" ".join(["nf", *arguments])):
        if command == "demo":
            run("nearfield", "demo", *rest)
        elif command == "test":
            run(PYTHON, "-m", "pytest", *rest)
        elif command == "types":
            run(PYTHON, "-m", "mypy", *rest)
        else:
            run("ruff", "check", ROOT)
            run("ruff", "format", "--check", ROOT)
            run("clang-format", "--dry-run", "-Werror", *cpp_files())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
