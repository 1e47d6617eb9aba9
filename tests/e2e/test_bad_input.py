"""What goes wrong is said in one sentence, and nothing half-done stays."""

import gzip
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

from sluice import EXAMPLES, PROGRAM, Case, LocalCloud

ONE = "id: f\nnamespace: n\ntasks:\n  - {{id: t, type: {type}{more}}}\n"


def log(message):
    return ONE.format(type="io.kestra.plugin.core.log.Log", more=f", message: {json.dumps(message)}")


class Server:
    """Answers each path with what the test says."""

    def __init__(self, answers):
        outer = self
        self.headers = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.headers.append(dict(self.headers))
                status, headers, body = answers[self.path]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients hang up as they like
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class BadInput(Case):
    def refused(self, text, *words, args=(), rc=None):
        done = self.flow(text, "-q", *args)
        self.assertNotEqual(done.rc, 0, done)
        if rc is not None:
            self.assertEqual(done.rc, rc, done)
        for word in words:
            self.assertIn(word, done.err + done.out)
        self.assertNotIn("Sanitizer", done.err)
        return done

    def test_flows(self):
        for text, *words in [
            ("id: [", "flow.yaml:2:1: not valid YAML"),
            ("id: f\nnamespace: n\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Lag, message: x}\n", "flow.yaml:4:", "core.log.Lag"),
            ("id: f\nnamespace: n\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, mesage: x}\n", "flow.yaml:4:", "mesage", "message"),
            ("id: f\nnamespace: n\ntasks: []\n", "tasks"),
            ("namespace: n\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, message: x}\n", "id"),
            ("id: f\nnamespace: n\nid: g\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, message: x}\n", "id"),
            (log("x") + "triggers:\n  - {id: s, type: io.kestra.plugin.core.trigger.Schedule, cron: '0 25 * * *'}\n", "flow.yaml:6:", "the hour field has '25', which is out of 0 to 23", "invalid cron expression '0 25 * * *'"),
            (log("x") + "triggers:\n  - {id: s, type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily', timezone: Mars/Base}\n", "Mars/Base"),
            (log("x") + "pluginDefaults: {type: io.kestra.plugin.core.log.Log, values: {level: WARN}}\n", "flow.yaml:5:", "'pluginDefaults' must be a list"),
            (log("x").replace("tasks:", "inputs:\n  - {id: who, type: STRING}\ntasks:"), "who"),
        ]:
            with self.subTest(text):
                self.refused(text, *words, rc=2)
                self.assertFalse((self.data / "state.db").exists() and self.executions(), "an execution was made")

    SHAPES = {
        "id": "f", "namespace": "n", "description": "d", "labels": {"a": "b"}, "variables": {"v": 1}, "disabled": False,
        "inputs": [{"id": "i", "type": "SELECT", "values": ["a"], "defaults": "a", "dependsOn": {"inputs": ["j"], "condition": "{{ true }}"}}, {"id": "j", "type": "INT", "min": 1, "required": False}],
        "pluginDefaults": [{"type": "io.kestra.plugin.core.log.Log", "forced": True, "values": {"level": "WARN"}}],
        "tasks": [
            {"id": "a", "type": "io.kestra.plugin.core.log.Log", "message": "x", "retry": {"type": "constant", "interval": "PT1S", "maxAttempts": 2}, "timeout": "PT1S", "runIf": "{{ true }}"},
            {"id": "w", "type": "io.kestra.plugin.core.flow.WorkingDirectory", "inputFiles": {"a": "b"}, "outputFiles": ["x"], "cache": {"patterns": ["x"], "ttl": "PT1S"}, "tasks": [{"id": "b", "type": "io.kestra.plugin.core.debug.Return", "format": "x"}]},
            {"id": "s", "type": "io.kestra.plugin.core.flow.Switch", "value": "x", "cases": {"x": [{"id": "c", "type": "io.kestra.plugin.core.debug.Return"}]}, "defaults": [{"id": "d", "type": "io.kestra.plugin.core.debug.Return"}]},
            {"id": "g", "type": "io.kestra.plugin.gcp.bigquery.CreateTable", "dataset": "d", "table": "t", "scopes": ["x"], "retryAuto": {"type": "CONSTANT", "interval": "PT1S"}, "tableDefinition": {"type": "TABLE", "schema": {"fields": [{"name": "n", "type": "INT64"}]}}},
            {"id": "h", "type": "io.kestra.plugin.core.http.Request", "uri": "http://x", "headers": {"a": "b"}, "options": {"auth": {"type": "BASIC", "username": "u", "password": "p"}}},
        ],
        "errors": [{"id": "e", "type": "io.kestra.plugin.core.debug.Return"}], "finally": [{"id": "z", "type": "io.kestra.plugin.core.debug.Return"}],
        "outputs": [{"id": "o", "type": "STRING", "value": "x"}],
        "triggers": [{"id": "t", "type": "io.kestra.plugin.core.trigger.Schedule", "cron": "@daily", "timezone": "UTC", "inputs": {"i": "a"}, "conditions": []}],
    }

    def places(self, node, path=()):
        yield path
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            yield from self.places(inner, (*path, key))

    def test_wrong_shapes(self):
        """Anything in the place of anything else is an error of the user, never one of ours."""
        files = []
        for path in list(self.places(self.SHAPES))[1:]:
            for wrong in (None, 7, "x", [], ["x"], [[]], [None], {}, {"x": "y"}, {"x": None}):
                flow = json.loads(json.dumps(self.SHAPES))
                node = flow
                for key in path[:-1]:
                    node = node[key]
                node[path[-1]] = wrong
                file = self.tmp / f"{len(files)}.yaml"
                file.write_text(json.dumps(flow))
                files.append(file)
        for i in range(0, len(files), 16):
            done = self.sluice("flow", "validate", *files[i : i + 16])
            self.assertIn(done.rc, (0, 1), (done.rc, done.err[-2000:]))
            self.assertNotRegex(done.err, "internal error|runtime error|Sanitizer")

    def executions(self):
        import sqlite3

        db = sqlite3.connect(self.data / "state.db")
        n = db.execute("SELECT count(*) FROM executions").fetchone()[0]
        db.close()
        return n

    def test_expressions(self):
        for text, *words in [
            ("{{ nothing }}", "Unable to find `nothing`"),
            ("{{ 1 + }}", "line 1"),
            ("{{ 'a' | nofilter }}", "nofilter"),
            ("{{ kv('MISSING') }}", "MISSING"),
            ("{{ secret('MISSING') }}", "MISSING"),
            ("{% if true %}x", "endif"),
        ]:
            with self.subTest(text):
                self.refused(log(text), *words)

    def test_inputs(self):
        text = log("{{ inputs.n }}").replace("tasks:", "inputs:\n  - {id: n, type: INT, min: 3}\ntasks:")
        self.refused(text, "n", args=("-i", "n=abc"), rc=2)
        self.refused(text, "n", args=("-i", "n=1"), rc=2)
        self.refused(text, "n", rc=2)

    def gcs(self, key):
        return ONE.format(type="io.kestra.plugin.gcp.gcs.List", more=", from: 'gs://some-bucket/', projectId: p, serviceAccount: " + json.dumps(key))

    def test_keys(self):
        private = "-----BEGIN PRIVATE KEY-----\\nCANARYKEYMATERIAL\\n-----END PRIVATE KEY-----\\n"
        for key, *words in [
            ("not json", "serviceAccount"),
            ('{"type": "service_account"}', "client_email"),
            (f'{{"type":"service_account","client_email":"a@b.c","private_key":"{private}","token_uri":"http://127.0.0.1:1/t"}}', "private_key"),
        ]:
            with self.subTest(key):
                done = self.refused(self.gcs(key), *words)
                self.assertNotIn("CANARYKEYMATERIAL", done.out + done.err)

    def test_http(self):
        packed = gzip.compress(b"a,b\n" * 10000)
        with Server({"/cut": (200, {"Content-Encoding": "gzip"}, packed[: len(packed) // 2]), "/missing": (404, {}, b"no"), "/short": (200, {"Content-Length": "100", "Connection": "close"}, b"short")}) as s:
            for kind, path, word in [("Request", "/cut", "cannot be unpacked"), ("Download", "/missing", "404")]:
                with self.subTest(path):
                    self.refused(ONE.format(type=f"io.kestra.plugin.core.http.{kind}", more=f", uri: '{s.url}{path}'"), word)
            self.assertEqual([p for p in self.data.rglob("*") if "storage" in p.parts and p.is_file()], [], "a half file stayed")

    def test_html_instead_of_csv(self):
        self.prepare()
        with Server({"/green_tripdata_2019-01.csv?rows=10": (200, {"Content-Type": "text/html"}, b"<html><body>Sorry, \"moved\"</body></html>\n")}) as s:
            done = self.sluice("run", EXAMPLES / "gcp_taxi.yaml", "--local", "-q", "-i", "rows=10", "-i", f"source={s.url}")
            # One line, taken as the heading: no row arrives. BigQuery itself sees nothing wrong in that.
            self.assertIn('"trips":0', done.out)
        with Server({"/green_tripdata_2019-01.csv?rows=10": (200, {"Content-Type": "text/html"}, b"<html>\n<body>Sorry, moved</body>\n</html>\n")}) as s:
            done = self.sluice("run", EXAMPLES / "gcp_taxi.yaml", "--local", "-q", "-i", "rows=10", "-i", f"source={s.url}")
            self.assertEqual(done.rc, 1, done)
            self.assertIn("Bigquery Errors", done.out + done.err)

    def test_full_disk(self):
        small = "ulimit -f 200; exec \"$@\""  # blocks of 1,024 bytes: the file system says EFBIG beyond it
        path = self.tmp / "flow.yaml"
        with Server({"/big": (200, {}, os.urandom(1 << 20))}) as s:
            path.write_text(ONE.format(type="io.kestra.plugin.core.http.Download", more=f", uri: '{s.url}/big'"))
            done = subprocess.run(["bash", "-c", small, "bash", PROGRAM, "run", str(path), "-q"], env=self.env(), capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("File too large", done.stdout + done.stderr)

    def test_full_disk_of_the_local_cloud(self):
        self.prepare()
        flow = self.tmp / "big.yaml"
        flow.write_text(
            """
id: f
namespace: examples
tasks:
  - {id: sh, type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}, outputFiles: [x], commands: [head -c SIZE /dev/urandom > x]}
  - {id: up, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{ outputs.sh.outputFiles.x }}", to: "gs://{{ kv('BUCKET') }}/x", serviceAccount: "{{ secret('GCP_CREDS') }}"}
"""
        )
        text = flow.read_text()
        limited = [sys.executable, "-c", "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)); os.execv(sys.argv[1], sys.argv[1:])"]
        with LocalCloud(self, "--anonymous", before=limited) as cloud:
            for size in (6_000_000, 30_000_000):  # in one request, and resumable
                flow.write_text(text.replace("SIZE", str(size)))
                done = self.sluice("run", flow, "--local", "-q")
                self.assertEqual(done.rc, 1, done)
                self.assertIn("the disk is full", done.err)
                self.assertEqual(json.loads(cloud.get("/storage/v1/b/sluice-example-trips/o")[1]).get("items", []), [])
            flow.write_text(text.replace("SIZE", "1000"))
            self.ok(self.sluice("run", flow, "--local", "-q"))

    def test_interrupt(self):
        path = self.tmp / "flow.yaml"
        path.write_text(ONE.format(type="io.kestra.plugin.scripts.shell.Commands", more=", taskRunner: {type: io.kestra.plugin.core.runner.Process}, commands: ['echo $$ > %s/pid; sleep 100 & wait']" % self.tmp))
        p = subprocess.Popen([PROGRAM, "run", str(path)], env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid = self.tmp / "pid"
        for _ in range(200):
            if pid.exists() and pid.read_text().strip():
                break
            time.sleep(0.05)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=30)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("KILLED", out)
        with self.assertRaises(ProcessLookupError):
            os.killpg(int(pid.read_text()), 0)


if __name__ == "__main__":
    unittest.main()
