"""What a user downloads: small, numpy only, no bundled runtime, imported in a blink."""

from __future__ import annotations

import importlib.util
import re
import shutil
import statistics
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from plugins.build import call

MAX_WHEEL_BYTES = 6_000_000
MAX_IMPORT_SECONDS = 0.150
# The C library and its parts; everything else would be a library the user has to have.
SYSTEM_LIBRARIES = re.compile(r"^(libc|libm|libdl|libpthread|librt|ld-linux-\S+)\.so\.\d+$")
IMPORT = "import time; t = time.perf_counter(); import nearfield; print(time.perf_counter() - t)"


def names_in(wheel: Path) -> list[str]:
    """Return the paths inside a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_wheel_needs_numpy_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    needs = [n for n in metadata.get_all("Requires-Dist", []) if "extra ==" not in n]
    assert [re.split(r"[^\w-]", need)[0] for need in needs] == ["numpy"]


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = names_in(wheel)
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"nearfield"}
    assert {"nearfield/__init__.py", "nearfield/py.typed", "nearfield/_core.pyi"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".o", ".a", ".h", ".cpp", ".pyc"))]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="auditwheel reads Linux wheels")
def test_wheel_passes_auditwheel(wheel: Path) -> None:
    if importlib.util.find_spec("auditwheel") is None:
        pytest.skip("no auditwheel: run ./nf test")
    text = " ".join(call(sys.executable, "-m", "auditwheel", "show", wheel).split())
    assert re.search(r'consistent with the following platform tag: "manylinux', text), text


def test_module_links_the_c_library_only(wheel: Path, tmp_path: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf (binutils)")
    (module,) = (name for name in names_in(wheel) if name.endswith(".so"))
    with zipfile.ZipFile(wheel) as archive:
        library = archive.extract(module, tmp_path)
    linked = re.findall(r"\(NEEDED\).*\[(.+)\]", call("readelf", "-d", "-W", library))
    foreign = [name for name in linked if not SYSTEM_LIBRARIES.match(name)]
    assert linked
    assert not foreign, f"_core must not need {foreign}"


def test_import_is_quick() -> None:
    """Median of five fresh interpreters, numpy included; one run before warms the page cache."""

    def seconds() -> float:
        return float(call(sys.executable, "-c", IMPORT))

    seconds()
    median = statistics.median(seconds() for _ in range(5))
    assert median < MAX_IMPORT_SECONDS, f"import nearfield takes {median * 1e3:.0f} ms"


def test_import_loads_no_optional_package() -> None:
    heavy = ("torch", "transformers", "faiss", "matplotlib", "rich", "tqdm", "ir_measures", "scipy")
    script = f"import sys, nearfield; print([m for m in {heavy!r} if m in sys.modules])"
    assert call(sys.executable, "-c", script).strip() == "[]"
