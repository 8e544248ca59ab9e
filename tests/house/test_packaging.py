"""What is shipped: the product, whole, and nothing else."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

PACKAGES = ("contracts", "domain", "bus", "store", "services", "rollcall")


@pytest.fixture(scope="module")
def product(files: list[Path], root: Path) -> set[str]:
    """Return every file of the packages: code, SQL, vectors, `py.typed`."""
    names = {path.relative_to(root) for path in files}
    return {name.as_posix() for name in names if name.parts[0] in PACKAGES}


def test_the_wheel_is_the_product(root: Path, tmp_path: Path, product: set[str]) -> None:
    wheel = next(WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"]))
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == product


def test_the_sdist_can_build_the_wheel(root: Path, tmp_path: Path, product: set[str]) -> None:
    sdist = next(SdistBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"]))
    with tarfile.open(sdist) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    assert product < shipped
    assert not [name for name in shipped if name.startswith(("tests", "bench"))]
