"""A server that says what a test wants, and remembers what it was asked: the cases that no emulator has."""

import base64
import dataclasses
import http.server
import json
import pathlib
import socket
import subprocess
import threading
import urllib.parse


class Cut(Exception):
    """Raised by an answer: the connection is closed without a word."""


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode()))


def unpack(r):
    """What a body that an S3 client sent in aws-chunked holds, and its trailer; a body in another coding as it is."""
    if r.headers.get("content-encoding") != "aws-chunked":
        return r.body, {}
    assert r.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER", r.headers
    rest, content = r.body, b""
    while True:
        size, rest = rest.split(b"\r\n", 1)
        if int(size, 16) == 0:
            break
        content += rest[: int(size, 16)]
        assert rest[int(size, 16) :][:2] == b"\r\n"
        rest = rest[int(size, 16) + 2 :]
    assert len(content) == int(r.headers["x-amz-decoded-content-length"])
    name, value = rest.removesuffix(b"\r\n\r\n").decode().split(":")
    assert r.headers["x-amz-trailer"] == name
    return content, {name: value}


class Scripted:
    """answer(request) gives (status, headers, body); a body that is not bytes is sent as JSON."""

    def __init__(self, answer=None):
        outer = self
        self.answer, self.requests, self.lock = answer, [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self):
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)), {k.lower(): v for k, v in self.headers.items()}, body)
                with outer.lock:
                    outer.requests.append(request)
                try:
                    status, headers, reply = outer.answer(request)
                except Cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                # Its own Date, when the answer has one.
                (self.send_response_only if "Date" in headers else self.send_response)(status)
                for name, value in {"Content-Length": str(len(data)), "Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients hang up as they like
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, method, path):
        return [r for r in self.requests if r.method == method and r.path == path]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def error(status, reason, message="said the server"):
    """An error body of Google's APIs."""
    return status, {}, {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


def make_key(folder: pathlib.Path):
    """A fresh RSA key; the path of its PEM file."""
    path = folder / "key.pem"
    if not path.exists():
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path], check=True, capture_output=True)
    return path


def service_account(folder, token_uri, **more):
    """A key file as Google gives it out, with a token endpoint of our own."""
    key = {
        "type": "service_account",
        "project_id": "p1",
        "private_key_id": "k1",
        "private_key": make_key(folder).read_text(),
        "client_email": "robot@p1.iam.gserviceaccount.com",
        "token_uri": token_uri,
        **more,
    }
    path = folder / "service-account.json"
    path.write_text(json.dumps(key))
    return path


def token_answer(token="token-1", expires_in=3599):
    return 200, {}, {"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}


def jwt_parts(assertion):
    def part(text):
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    header, claims, _ = assertion.split(".")
    return part(header), part(claims)
