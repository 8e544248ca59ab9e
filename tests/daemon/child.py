"""An agent that does as its first word says, with the writing that the tests look at.

python child.py WORD [ARGUMENT]; it writes `ready` once it is.
"""

import asyncio
import os
import signal
import subprocess
import sys


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def live() -> None:
    """Be an agent as people write them."""
    from rollcall import Agent

    async with Agent(os.environ["ROLLCALL_AGENT"], interval_s=1):
        say("ready")
        await asyncio.Event().wait()


def main() -> None:
    word, *arguments = sys.argv[1:]
    if word == "exit":
        say("ready")
        sys.exit(int(arguments[0]))
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if word == "environment":
        say(" ".join(f"{name}={os.environ.get(name, '-')}" for name in arguments))
    if word == "agent":
        asyncio.run(live())
    if word == "chatty":
        say("word " * 10_000)
    if word == "family":  # a child of its own, which does not hear SIGTERM
        program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", program])
        say(f"child {child.pid}")
    say("ready")
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
