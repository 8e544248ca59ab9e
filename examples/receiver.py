"""An agent that is only told: it takes pings over HTTP and knows nothing else of Rollcall.

rollcall agent add ear --beats none --endpoint-url http://127.0.0.1:9000
(Rollcall sends to this machine if webhooks.allow, webhooks.http and webhooks.ports say so.)
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ping(BaseHTTPRequestHandler):
    """Takes a ping: 200 says that it was heard, not that anything is done."""

    def do_POST(self) -> None:
        """Hear a ping."""
        said = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print(f"task {said['task_id']}: {said['task_name']} ({self.headers['webhook-id']})", flush=True)
        self.send_response(200 if self.path == "/ping" else 404)
        self.end_headers()


with HTTPServer(("127.0.0.1", int(sys.argv[1])), Ping) as server:
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
