"""A name server: HOST FOLDER. It answers on port 53 of HOST by the file FOLDER/zone.json, read anew for each question.

{"mail-1.names.test": {"a": ["127.0.0.1"]}}        its addresses, with a time to live of 0; "aaaa" for IPv6
{"mail-1.names.test": {"rcode": 2}}                SERVFAIL
{"mail-1.names.test": {"silent": true}}            no answer at all

A name that is not in the file does not exist: NXDOMAIN. What does not fit into 512 bytes is cut, and whole over TCP.
Prints a line for each question: its name, its type and how it came.
"""

import ipaddress
import json
import socketserver
import struct
import sys
import threading
from pathlib import Path

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
TYPES = {1: "a", 28: "aaaa"}
NXDOMAIN = 3


def answer(question, way):
    """The bytes of an answer, or None."""
    number, _, _ = struct.unpack_from(">HHH", question)
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind, _ = struct.unpack_from(">HH", question, at + 1)
    asked = question[12 : at + 5]
    name = ".".join(labels).lower()
    print(name, TYPES.get(kind, kind), way, flush=True)
    told = json.loads((FOLDER / "zone.json").read_text()).get(name, {"rcode": NXDOMAIN})
    if told.get("silent"):
        return None
    addresses = [ipaddress.ip_address(text).packed for text in told.get(TYPES.get(kind), ())]
    # The name is the one of the question, at byte 12.
    records = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in addresses)

    def message(flags, count, records):
        return struct.pack(">HHHHHH", number, flags | told.get("rcode", 0), 1, count, 0, 0) + asked + records

    whole = message(0x8580, len(addresses), records)
    return message(0x8780, 0, b"") if way == "udp" and len(whole) > 512 else whole


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        question, socket = self.request
        if said := answer(question, "udp"):
            socket.sendto(said, self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while len(length := self.rfile.read(2)) == 2:
            if said := answer(self.rfile.read(int.from_bytes(length)), "tcp"):
                self.wfile.write(len(said).to_bytes(2) + said)


class UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


udp, tcp = UdpServer((HOST, 53), Udp), TcpServer((HOST, 53), Tcp)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
udp.serve_forever()
