"""`sluice server` for tests: started, killed and started again on the same data folder; a small HTTP client."""

import http.client
import json
import signal
import subprocess
import time
import urllib.parse

from sluice import PROGRAM

PASSWORD = "correct horse battery"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise AssertionError(f"the answer is not JSON: {self.headers} {self}") from e

    def __repr__(self):
        return f"{self.status} {self.body[:2000]!r}"


def form(fields, files=()):
    """multipart/form-data: (content type, body)."""
    boundary = "sluicetestboundary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    for name, filename, data in files:
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()


class Server:
    def __init__(self, case, *args, env=None, before=()):
        self.case, self.args, self.before = case, args, before
        self.environment = case.env({"SLUICE_ADMIN_PASSWORD": PASSWORD, **(env or {})})
        self.process = None
        self.start()

    def start(self):
        (self.case.data / "port").unlink(missing_ok=True)
        self.log = open(self.case.tmp / "server.log", "ab")
        self.process = subprocess.Popen([*self.before, PROGRAM, "server", "--port", "0", *self.args], env=self.environment, cwd=self.case.tmp, stdout=self.log, stderr=self.log)
        self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        end = time.monotonic() + seconds
        port = self.case.data / "port"
        while not port.exists() or not port.read_text().strip():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the server did not start: " + (self.case.tmp / "server.log").read_text()[-3000:])
            time.sleep(0.002)
        self.port = int(port.read_text())

    def kill(self):
        if self.log.closed and self.process.poll() is not None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        rc = self.process.wait(30)
        self.log.close()
        return rc

    def call(self, method, path, body=None, type=None, auth=("admin", PASSWORD), headers=None, prefix="/api/v1/main", timeout=60):
        import base64

        h = dict(headers or {})
        if isinstance(auth, tuple):
            h["Authorization"] = "Basic " + base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
        elif auth:
            h["Authorization"] = auth
        if type:
            h["Content-Type"] = type
        if isinstance(body, (dict, list)):
            body, h["Content-Type"] = json.dumps(body), "application/json"
        if isinstance(body, str):
            body = body.encode()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.request(method, prefix + path, body=body, headers=h)
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def flow(self, text):
        a = self.call("POST", "/flows", text, "application/x-yaml")
        if a.status == 422 and b"already exists" in a.body:
            import re

            ns, id = re.search(r"^namespace: (\S+)", text, re.M).group(1), re.search(r"^id: (\S+)", text, re.M).group(1)
            a = self.call("PUT", f"/flows/{ns}/{id}", text, "application/x-yaml")
        self.case.assertEqual(a.status, 200, a)
        return a.json

    def run(self, ns, id, inputs=None, files=(), wait=True, labels=()):
        type, body = form(inputs or {}, files)
        query = "?wait=" + ("true" if wait else "false") + "".join("&labels=" + urllib.parse.quote(x) for x in labels)
        a = self.call("POST", f"/executions/{ns}/{id}{query}", body, type)
        self.case.assertEqual(a.status, 200, a)
        return a.json

    def execution(self, id):
        return self.get(f"/executions/{id}").json

    def state(self, id):
        return self.execution(id)["state"]["current"]

    def until(self, id, *states, seconds=30):
        end = time.monotonic() + seconds
        while True:
            x = self.execution(id)
            if x["state"]["current"] in states:
                return x
            if time.monotonic() > end:
                self.case.fail(f"{id} is {x['state']['current']}, not one of {states}: {json.dumps(x)[:3000]}")
            time.sleep(0.01)

    def search(self, **query):
        return self.get("/executions/search?" + urllib.parse.urlencode({"size": 1000, **query}, doseq=True)).json

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """A server that was not killed ends well, and a sanitizer has found nothing."""
        if kind is not None or self.log.closed:
            self.kill()
            return
        rc = self.stop()
        said = (self.case.tmp / "server.log").read_text(errors="replace")
        self.case.assertNotIn("Sanitizer", said)
        self.case.assertEqual(rc, 0, said[-3000:])


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def events(server, path, headers=None, auth=("admin", PASSWORD)):
    """Server-sent events as (id, event, data), until the stream ends."""
    import base64

    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    c.request("GET", "/api/v1/main" + path, headers={"Authorization": "Basic " + base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode(), **(headers or {})})
    r = c.getresponse()
    server.case.assertEqual(r.status, 200)
    server.case.assertEqual(r.headers["Content-Type"], "text/event-stream")
    id = event = data = None
    for line in r:
        line = line.decode().rstrip("\n")
        if line.startswith("id: "):
            id = line[4:]
        elif line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
        elif not line and data is not None:
            yield id, event, data
            id = event = data = None
    c.close()


