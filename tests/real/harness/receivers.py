"""Whom Alertmanager tells: local servers that speak the protocols of PagerDuty, Slack, a webhook and mail.

The services themselves cannot be asked from a test. Each server takes what its service documents as right, refuses
everything else with the answer that the service gives, and keeps what it was told, with the time."""

import base64
import email
import email.policy
import json
import socketserver
import threading
import time
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .processes import free_port
from .wait import wait_for

# What stands in the files of secrets: by the name of the file in deploy/alertmanager/alertmanager.yml.
SECRETS = {
    "pagerduty-on-call": "a" * 32,
    "pagerduty-second": "b" * 32,
    "watchdog-token": "token-of-the-watchdog",
    "smtp-password": "password of the mail server",
}


@dataclass(frozen=True)
class Message:
    """One message, whatever it came by."""

    at: float  # Seconds since 1970, when the last byte of it was there.
    by: str  # pagerduty, slack, webhook, mail
    to: str  # Which service, channel, path or address.
    over: bool  # It says that the alerts have ended.
    title: str
    body: object  # The decoded JSON, or the mail.

    @property
    def text(self):
        return self.body.get_content() if self.by == "mail" else json.dumps(self.body, ensure_ascii=False)


class Receivers:
    def __init__(self):
        self.messages, self.refused = [], []
        web, mail = _web(self), _mail(self)
        self._servers = [web, mail]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.web = f"http://127.0.0.1:{web.server_address[1]}"
        self.mail = f"127.0.0.1:{mail.server_address[1]}"

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def took(self, by, to, over, title, body):
        self.messages.append(Message(time.time(), by, to, over, title, body))

    def told(self, *by, to=None, about="", over=None):
        """Messages by one of these ways, oldest first. `about` is a part of their title."""
        return [
            m for m in self.messages
            if (not by or m.by in by) and (to is None or m.to == to) and about in m.title and over in (None, m.over)
        ]  # fmt: skip

    def pages(self, **which):
        """All messages but the beats of the watchdog."""
        return [m for m in self.told(**which) if m.by != "webhook"]

    def wait(self, *by, within, **which):
        """The first message of this kind."""
        try:
            return wait_for(lambda: self.told(*by, **which), within, f"a message by {by} with {which}")[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def story(self):
        return "\n".join(f"  {m.at:.1f} {m.by} {m.to}: {m.title}" for m in self.messages) + f"\n  refused: {self.refused}"


def _web(receivers):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                path = urllib.parse.urlsplit(self.path).path
                take = {"/v2/enqueue": _pagerduty, "/services/T0/B0/slack": _slack, "/worker-exporter": _webhook}[path]
                assert self.headers["Content-Type"].startswith("application/json"), self.headers["Content-Type"]
                status, answer = take(receivers, json.loads(body), self.headers)
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                receivers.refused.append((self.path, repr(error), body.decode(errors="replace")))
                status, answer = 400, '{"status":"invalid event"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    return server


def _pagerduty(receivers, event, _):
    """Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""
    assert len(json.dumps(event)) < 512 * 1000, "PagerDuty takes 512 KB"
    key, action = event["routing_key"], event["event_action"]
    service = next(name for name, secret in SECRETS.items() if name.startswith("pagerduty") and secret == key)
    assert action in ("trigger", "resolve", "acknowledge"), action
    assert 0 < len(event["dedup_key"]) <= 255
    payload = event["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert payload["source"]
    for link in event.get("links", ()):
        assert urllib.parse.urlsplit(link["href"]).scheme in ("http", "https"), link
    receivers.took("pagerduty", service, action == "resolve", payload["summary"], event)
    return 202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]})


def _slack(receivers, said, _):
    """Incoming webhooks, with what attachments may hold: https://api.slack.com/reference/messaging/attachments"""
    (attachment,) = said["attachments"]
    assert attachment["fallback"] and attachment["title"] and attachment["text"], "Slack says no_text"
    assert attachment["color"] in ("good", "warning", "danger"), attachment["color"]
    assert len(attachment["text"]) < 8000, "Slack cuts what is longer"
    for button in attachment.get("actions", ()):
        assert button["type"] == "button" and urllib.parse.urlsplit(button["url"]).scheme in ("http", "https"), button
    receivers.took("slack", said["channel"], attachment["color"] == "good", attachment["title"], said)
    return 200, "ok"


def _webhook(receivers, said, headers):
    """Alertmanager's own format, version 4."""
    assert said["version"] == "4" and said["status"] in ("firing", "resolved") and said["alerts"]
    if headers["Authorization"] != f"Bearer {SECRETS['watchdog-token']}":
        receivers.refused.append(("webhook", "401", headers["Authorization"]))
        return 401, ""
    receivers.took("webhook", said["receiver"], said["status"] == "resolved", said["commonLabels"]["alertname"], said)
    return 200, ""


def _mail(receivers):
    """As much of SMTP (RFC 5321, 4954) as a client that wants to send one mail needs. Without TLS: it is on loopback."""

    class Handler(socketserver.StreamRequestHandler):
        def say(self, *lines):
            for number, line in enumerate(lines, 1):
                code, rest = line.split(" ", 1)
                self.wfile.write(f"{code}{' ' if number == len(lines) else '-'}{rest}\r\n".encode())

        def handle(self):
            known, to = False, []
            self.say("220 mail.test ready")
            for line in self.rfile:
                command, _, rest = line.decode().strip().partition(" ")
                match command.upper():
                    case "EHLO":
                        self.say("250 mail.test", "250 8BITMIME", "250 AUTH PLAIN")
                    case "AUTH":
                        _, user, password = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")
                        known = bool(user) and password == SECRETS["smtp-password"]
                        self.say("235 accepted" if known else "535 authentication failed")
                    case "MAIL" if known:
                        self.say("250 ok")
                    case "RCPT" if known:
                        to.append(rest.removeprefix("TO:").strip("<> "))
                        self.say("250 ok")
                    case "DATA" if to:
                        self.say("354 go on")
                        self.take(to)
                        to = []
                        self.say("250 taken")
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        receivers.refused.append(("mail", line.decode(errors="replace"), known))
                        self.say("503 bad sequence of commands")

        def take(self, to):
            lines = []
            for line in self.rfile:
                if line == b".\r\n":
                    break
                lines.append(line.removeprefix(b"."))
            mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
            receivers.took("mail", to[0], "[RESOLVED]" in mail["Subject"], mail["Subject"], mail.get_body(("plain",)))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    return Server(("127.0.0.1", free_port()), Handler)
