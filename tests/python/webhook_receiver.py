"""A receiver as others write it: verifies with the public Standard Webhooks library, and prints what it takes.

webhook_receiver.py PORT KEY: a line of JSON for each request, with what was verified.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, key = int(sys.argv[1]), sys.argv[2]
webhook = Webhook(key)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
            print(json.dumps({"id": headers["webhook-id"], "headers": headers, "event": event}), flush=True)
            self.send_response(204)
        except WebhookVerificationError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
            self.send_response(401)
        self.end_headers()

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
