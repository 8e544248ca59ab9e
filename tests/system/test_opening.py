"""Several processes find no store, and make it at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio

from store.open import open_store

PROCESSES = 8


def test_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.db"
        starting = threading.Barrier(PROCESSES)

        async def open_and_look(path: Path, starting: threading.Barrier) -> str:
            starting.wait()
            store = await open_store(path, now=1)
            try:
                return await store.incarnation()
            finally:
                await store.close()

        with ThreadPoolExecutor(PROCESSES) as processes:
            lives = [processes.submit(anyio.run, open_and_look, path, starting) for _ in range(PROCESSES)]
        assert len({life.result() for life in lives}) == 1
