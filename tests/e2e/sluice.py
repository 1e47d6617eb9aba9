"""What the end-to-end tests share: the program, a fresh data folder, the local cloud's ledger of requests."""

import csv
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("SLUICE", str(ROOT / "build" / "sluice"))
EXAMPLES = ROOT / "examples" / "flows"


class Result:
    def __init__(self, done):
        self.rc, self.out, self.err = done.returncode, done.stdout, done.stderr
        found = re.search(r"execution (\w{22})", self.err + self.out)
        self.id = found.group(1) if found else None

    def __repr__(self):
        return f"rc={self.rc}\n{self.out}\n{self.err}"


class Case(unittest.TestCase):
    """One test: its data folder, its settings, nothing of the user's."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-test-")
        self.addCleanup(folder.cleanup)
        self.tmp = pathlib.Path(folder.name)
        self.data = self.tmp / "data"
        self.config = self.tmp / "config"

    def env(self, extra=None):
        keep = {k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS") if k in os.environ}
        return {**keep, "HOME": str(self.tmp), "XDG_CONFIG_HOME": str(self.config), "SLUICE_DATA_DIR": str(self.data), "TZ": "UTC", **(extra or {})}

    def sluice(self, *args, env=None, stdin=None, timeout=120):
        return Result(subprocess.run([PROGRAM, *map(str, args)], env=self.env(env), cwd=self.tmp, input=stdin, capture_output=True, text=True, timeout=timeout))

    def flow(self, text, *args, **kw):
        path = self.tmp / "flow.yaml"
        path.write_text(text)
        return self.sluice("run", path, *args, **kw)

    def ok(self, result):
        self.assertEqual(result.rc, 0, result)
        return result

    def sql(self, text):
        done = self.ok(self.sluice("local", "sql", "--output", "json", text))
        return json.loads(done.out)

    def ledger(self):
        path = self.data / "local" / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def prepare(self):
        """The values, the bucket and the dataset that the example of the main job needs."""
        self.ok(self.sluice("run", EXAMPLES / "gcp_kv.yaml", "--local", "-q"))
        self.ok(self.sluice("run", EXAMPLES / "gcp_setup.yaml", "--local", "-q"))


class LocalCloud:
    """`sluice local` as a server of its own, for clients that are not ours."""

    def __init__(self, case, *args, before=()):
        self.process = subprocess.Popen([*before, PROGRAM, "local", *args], env=case.env(), cwd=case.tmp, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.url = None
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.url = found.group(0)
                break
        if not self.url:
            raise RuntimeError("sluice local did not start: " + "".join(self.lines))
        self.key = json.loads((case.data / "local" / "service-account.json").read_text())

    def get(self, path, headers=None):
        c = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


def checksum(rows):
    """The same for the same rows in any order."""
    total = 0
    for row in rows:
        text = "\x1f".join("" if v is None else str(v) for v in row)
        total = (total + int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")) & 0xFFFFFFFFFFFFFFFF
    return total


def read_csv(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
