"""Real data for the journeys: unpacked once per session, read from the folder that MIGRATOR_REAL_DATA names."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

PACKED: dict[str, tuple[str, Callable[[Path], gzip.GzipFile | lzma.LZMAFile]]] = {
    "300": ("legacy_300.sqlite.gz", gzip.GzipFile),
    "full": ("legacy.sqlite.xz", lzma.LZMAFile),
}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data."""
    folder = os.environ.get("MIGRATOR_REAL_DATA")
    if not folder:
        pytest.skip("MIGRATOR_REAL_DATA is not set: it names the folder with the real data")
    path = Path(folder).resolve()
    assert (path / "magento1").is_dir(), f"MIGRATOR_REAL_DATA={folder} holds no magento1"
    return path


@pytest.fixture(scope="session")
def magento_legacy(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The legacy shop by size, "300" or "full"; unpacked when first asked for, never written to."""
    folder = tmp_path_factory.mktemp("legacy")

    def unpacked(size: str) -> Path:
        name, opened = PACKED[size]
        path = folder / f"legacy_{size}.sqlite"
        if not path.exists():
            with opened(real_data / "magento1" / name) as packed, path.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
            path.chmod(0o444)
        return path

    return unpacked
