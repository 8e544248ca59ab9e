"""The door of an agent on this machine: HTTP/1.1 over a Unix socket that nobody else can open.

Each agent has a socket of its own, and the socket says who speaks, never what is written to it:

    async with doors(folder, bus, root=settings.root) as hall:
        path = await hall.open("builder")   # …/builder.sock, mode 0600, in a folder of mode 0700
        await hall.close("builder")

`POST /api/v1/agent/<verb>` with the parameters as JSON is `cmd.agent.<agent>.<verb>` on the bus; what the
service answers is the answer, and a refusal is `application/problem+json` under its own status.
`Prefer: wait=<seconds>` says how long the caller waits: for a command until its outcome is known (15 s unless
said), for `next` until something is due (0 unless said); never longer than 50 s.
"""

from rollcall.door.hall import DoorError, Hall, doors

__all__ = ["DoorError", "Hall", "doors"]
