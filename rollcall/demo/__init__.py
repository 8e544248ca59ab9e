"""A minute of agents at work."""

from rollcall.settings import Settings

SCALE = 0.01  # half an hour of promises in eighteen seconds


def main(settings: Settings, *, seconds: float, plant: str | None) -> int:
    """Run the demonstration; 0 if the checker, which is no part of the product, found every promise kept."""
    import asyncio
    import shutil
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    from rollcall.demo.stage import Stage
    from rollcall.log import setup

    setup("error", settings.log.format)
    examples = Path(__file__).parents[2] / "examples"
    if not (examples / "backlog.jsonl").exists():
        sys.stderr.write(f"the examples are not here ({examples}): run this in a clone of the repository\n")
        return 69
    if plant is not None:
        known = subprocess.run([sys.executable, examples / "plant_fault.py", plant], check=False)
        if known.returncode:
            return 2
    scale = settings.timers.scale if settings.timers.scale != 1 else SCALE
    folder = Path(tempfile.mkdtemp(prefix="rollcall-demo-"))
    stage = Stage(folder, examples, main_agent="Ruto", scale=scale)
    kept = False
    try:
        code = asyncio.run(stage.run(seconds, plant))
        kept = code != 0 and plant is None
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if kept:
        sys.stdout.write(f"\nthe evidence is in {folder}\n")
    return code
