"""The internal storage with an object store behind it: S3 (versitygw), Cloud Storage (fake-gcs-server), and the local cloud for both."""

import contextlib
import json
import os
import sqlite3
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from peers import FAKE_GCS, VERSITYGW, fake_gcs, missing, versitygw
from server import Server
from sluice import Case

CORE = "io.kestra.plugin.core."
PROCESS = {"type": CORE + "runner.Process"}


def flow(tasks, id="f", head=""):
    return head + f"id: {id}\nnamespace: my.team\ntasks: {json.dumps(tasks)}\n"


def write(id, content="text", **more):
    return {"id": id, "type": CORE + "storage.Write", "content": content, "extension": ".txt", **more}


def returns(id, text):
    return {"id": id, "type": CORE + "debug.Return", "format": text}


class Store:
    """What every store has to do; subclasses say where it is."""

    URL = ""          # of the configuration
    PREFIX = "deep/er/"
    SETTINGS = {}     # more of the configuration

    def setUp(self):
        super().setUp()
        self.data.mkdir()
        try:
            os.setxattr(self.data, "user.probe", b"1")
        except OSError as e:
            self.skipTest(f"the file system keeps no extended attributes: {e}")
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.environment = {}
        self.open()

    def server(self, settings=None, env=None):
        config = self.tmp / "sluice.yaml"
        config.write_text(json.dumps({"storage": {"url": self.URL, **self.SETTINGS, **(settings or {})}}))
        return Server(self, *self.arguments(), "--config", config, env={**self.environment, **(env or {})})

    def arguments(self):
        return []

    def local(self, uri):
        return self.data / "storage" / urllib.parse.unquote(uri.removeprefix("kestra:///"))

    def stored(self):
        """Without the prefix: what is the storage's."""
        found = self.objects()
        for name in found:
            self.assertTrue(name.startswith(self.PREFIX), name)
        return {name.removeprefix(self.PREFIX): content for name, content in found.items()}

    def becomes(self, want, seconds=20):
        end = time.monotonic() + seconds
        while (found := self.stored()) != want and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(found, want)

    def lose(self):
        """The machine's disk is gone, but for the database."""
        for path in sorted((self.data / "storage").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def test_files_of_executions(self):
        script = {"id": "script", "type": "io.kestra.plugin.scripts.shell.Script", "taskRunner": PROCESS, "outputFiles": ["*.bin", "sub/*"],
                  "script": "head -c 12000000 /dev/urandom > large.bin; mkdir sub; printf x > 'sub/ä b%20c.txt'; : > sub/empty"}
        folder = {"id": "folder", "type": CORE + "flow.WorkingDirectory", "outputFiles": ["made.txt"],
                  "tasks": [{"id": "in", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": PROCESS, "commands": ["echo together > made.txt"]}]}
        read = {"id": "read", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": PROCESS, "inputFiles": {"given": "{{ inputs.given }}", "large": "{{ outputs.script.outputFiles['large.bin'] }}"},
                "commands": ["cksum given large | tee sums", "echo \"::{\\\"outputs\\\":{\\\"sums\\\":\\\"$(tr '\\n' ' ' < sums)\\\"}}::\""]}
        tail = [read, returns("text", "{{ read(outputs.w.uri) }}|{{ read(outputs.script.outputFiles['sub/ä b%20c.txt']) }}|{{ fileSize(outputs.script.outputFiles['sub/empty']) }}|{{ read(outputs.folder.outputFiles['made.txt']) }}")]
        with self.server() as s:
            s.flow(flow([write("w", "of a task"), script, folder, *tail], head="inputs: [{id: given, type: FILE}]\n"))
            x = s.run("my.team", "f", files=[("given", "in.txt", b"given by a user")])
            self.assertEqual(x["state"]["current"], "SUCCESS", s.get(f"/logs/{x['id']}").json)
            runs = {r["taskId"]: r for r in x["taskRunList"]}
            files = runs["script"]["outputs"]["outputFiles"]
            uris = [x["inputs"]["given"], runs["w"]["outputs"]["uri"], *files.values(), runs["folder"]["outputs"]["outputFiles"]["made.txt"]]
            contents = {str(self.local(u).relative_to(self.data / "storage")): self.local(u).read_bytes() for u in uris}
            self.assertEqual(len(contents), 6)
            self.becomes(contents)
            # Another machine, or the cache has dropped them: they are fetched, by tasks, expressions and the API.
            s.stop()
            self.lose()
            s.start()
            self.assertEqual(s.call("GET", f"/executions/{x['id']}/file?path=" + urllib.parse.quote(uris[0])).body, b"given by a user")
            again = s.until(s.call("POST", f"/executions/{x['id']}/replay?taskRunId={runs['read']['id']}").json["id"], "FAILED", "SUCCESS")
            self.assertEqual(again["state"]["current"], "SUCCESS", s.get(f"/logs/{again['id']}").json)
            second = {r["taskId"]: r for r in again["taskRunList"]}
            self.assertEqual(second["read"]["outputs"]["vars"], runs["read"]["outputs"]["vars"])
            self.assertEqual(second["text"]["outputs"]["value"], "of a task|x|0|together\n")
            # What belongs to nobody else is still refused; what is nowhere is said to be so.
            bad = s.call("GET", f"/executions/{x['id']}/file?path=" + urllib.parse.quote(uris[1] + "x"))
            self.assertEqual(bad.status, 404, bad)
            # Removed with its execution.
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}").status, 204)
            self.becomes({})
        self.ok(self.sluice("verify", "--files"))

    def test_many_want_the_same_file(self):
        make = {"id": "m", "type": "io.kestra.plugin.scripts.shell.Script", "taskRunner": PROCESS, "outputFiles": ["x.bin"], "script": "head -c 20000000 /dev/urandom > x.bin"}
        size = {"id": "size", "type": CORE + "storage.Size", "uri": "{{ outputs.m.outputFiles['x.bin'] }}"}
        with self.server() as s:
            s.flow(flow([make, {"id": "each", "type": CORE + "flow.ForEach", "concurrencyLimit": 0, "values": [str(n) for n in range(8)], "tasks": [size]}]))
            x = s.run("my.team", "f")
            self.assertEqual(x["state"]["current"], "SUCCESS")
            at = next(r for r in x["taskRunList"] if r["taskId"] == "each")
            uri = x["taskRunList"][0]["outputs"]["outputFiles"]["x.bin"]
            for _ in range(3):
                self.local(uri).unlink()
                again = s.until(s.call("POST", f"/executions/{x['id']}/replay?taskRunId={at['id']}").json["id"], "FAILED", "SUCCESS")
                self.assertEqual(again["state"]["current"], "SUCCESS", s.get(f"/logs/{again['id']}").json)
            self.assertEqual([p.name for p in self.local(uri).parent.iterdir()], ["x.bin"])

    def test_purging_tasks(self):
        tasks = [write("a"), write("b"), {"id": "one", "type": CORE + "storage.Delete", "uri": "{{ outputs.a.uri }}"}, {"id": "none", "type": CORE + "storage.Delete", "uri": "{{ outputs.a.uri }}"},
                 {"id": "wait", "type": CORE + "flow.Pause"}, {"id": "rest", "type": CORE + "storage.PurgeCurrentExecutionFiles"}]
        with self.server() as s:
            s.flow(flow(tasks))
            x = s.run("my.team", "f", wait=False)
            x = s.until(x["id"], "PAUSED")
            runs = {r["taskId"]: r for r in x["taskRunList"]}
            self.assertEqual([runs[i]["outputs"]["deleted"] for i in ("one", "none")], [True, False])
            b = runs["b"]["outputs"]["uri"]
            self.becomes({str(self.local(b).relative_to(self.data / "storage")): b"text"})
            self.local(b).unlink() # as if the cache had dropped it
            s.call("POST", f"/executions/{x['id']}/resume")
            x = s.until(x["id"], "SUCCESS", "FAILED")
            self.assertEqual(x["taskRunList"][-1]["outputs"], {"uris": [b]})
            self.becomes({})

    def test_files_of_namespaces(self):
        path = "/namespaces/my.team/files"
        with self.server() as s:
            def put(name, content):
                body = b"--b\r\nContent-Disposition: form-data; name=\"fileContent\"; filename=\"x\"\r\n\r\n" + content + b"\r\n--b--\r\n"
                self.assertEqual(s.call("POST", path + "?path=" + urllib.parse.quote(name), body, "multipart/form-data; boundary=b").status, 200)
            put("/q/one.sql", b"SELECT 1")
            put("/two ü.txt", b"2")
            self.becomes({"my/team/_files/q/one.sql": b"SELECT 1", "my/team/_files/two ü.txt": b"2"})
            put("/q/one.sql", b"SELECT 11")
            self.becomes({"my/team/_files/q/one.sql": b"SELECT 11", "my/team/_files/two ü.txt": b"2"})
            self.assertEqual(s.call("PUT", path + "?from=/q&to=/p").status, 200)
            self.becomes({"my/team/_files/p/one.sql": b"SELECT 11", "my/team/_files/two ü.txt": b"2"})
            s.stop()
            self.lose()
            s.start()
            s.flow(flow([returns("r", "{{ read('p/one.sql') }}"), {"id": "up", "type": CORE + "namespace.UploadFiles", "files": {"up.txt": "{{ outputs.w.uri }}"}},
                         {"id": "del", "type": CORE + "namespace.DeleteFiles", "files": ["p/**"]}]).replace("tasks: [", "tasks: [" + json.dumps(write("w", "from a task")) + ", "))
            x = s.run("my.team", "f")
            self.assertEqual(x["state"]["current"], "SUCCESS", s.get(f"/logs/{x['id']}").json)
            self.assertEqual(x["taskRunList"][1]["outputs"]["value"], "SELECT 11")
            self.assertEqual(sorted(s.get(path + "/search?q=").json), ["/two ü.txt", "/up.txt"])
            s.call("DELETE", f"/executions/{x['id']}")
            self.assertEqual(s.call("DELETE", path + "?path=" + urllib.parse.quote("/two ü.txt")).status, 200)
            self.becomes({"my/team/_files/up.txt": b"from a task"})

    def test_the_cache_is_bounded(self):
        make = {"id": "m", "type": "io.kestra.plugin.scripts.shell.Script", "taskRunner": PROCESS, "outputFiles": ["*.bin"], "script": "head -c 1000000 /dev/zero > {{ taskrun.value }}.bin"}
        with self.server({"cacheSize": "5MB"}) as s:
            s.flow(flow([{"id": "each", "type": CORE + "flow.ForEach", "values": [str(n) for n in range(10)], "tasks": [make]}]))
            x = s.run("my.team", "f")
            self.assertEqual(x["state"]["current"], "SUCCESS")
            uris = [next(iter(r["outputs"]["outputFiles"].values())) for r in x["taskRunList"] if r["taskId"] == "m"]
            self.assertEqual(len(self.stored()), 10)
            for u in uris: # used an hour ago, but for the last
                at = time.time() - 3600
                os.utime(self.local(u), (at + (7200 if u == uris[-1] else 0), self.local(u).stat().st_mtime))
            end = time.monotonic() + 60
            while sum(self.local(u).exists() for u in uris) > 4 and time.monotonic() < end:
                time.sleep(0.2)
            left = [self.local(u).exists() for u in uris]
            self.assertEqual(sum(left), 4)
            self.assertTrue(left[-1])
            self.assertEqual(len(self.stored()), 10)
            for u in uris:
                self.assertEqual(len(s.call("GET", f"/executions/{x['id']}/file?path=" + urllib.parse.quote(u)).body), 1000000)

    def test_killed_at_any_point(self):
        # Not before the request that starts it is answered.
        tasks = [{"id": "p", "type": "io.kestra.plugin.core.flow.Sleep", "duration": "PT1S"}, write("w"), returns("r", "{{ read(outputs.w.uri) }}")]
        for label in ("stored.before_put", "stored.after_put"):
            with self.subTest(label):
                s = self.server(env={"SLUICE_FAULT": f"{label}:1:kill"})
                s.flow(flow(tasks))
                x = s.run("my.team", "f", wait=False)
                s.process.wait(30)
                s.log.close()
                with self.server() as s:
                    x = s.until(x["id"], "SUCCESS", "FAILED")
                    self.assertEqual(x["state"]["current"], "SUCCESS")
                    self.assertEqual(list(self.stored().values()), [b"text"])
                    s.call("DELETE", f"/executions/{x['id']}")
                    self.becomes({})

    def test_a_bucket_that_is_not_there(self):
        with self.server({"url": self.URL.replace("//files", "//nowhere")}) as s:
            end = time.monotonic() + 30
            while "cannot be used" not in (said := (self.tmp / "server.log").read_text()) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertIn(f"{self.URL.replace('//files', '//nowhere')} cannot be used", said)
            s.flow(flow([write("w")]))
            x = s.run("my.team", "f")
            self.assertEqual(x["state"]["current"], "FAILED")
            self.assertIn("storing 'written.txt' at", json.dumps(s.get(f"/logs/{x['id']}").json))

    def test_a_store_that_is_gone(self):
        with self.server() as s:
            s.flow(flow([write("w", retry={"type": "constant", "interval": "PT0.1S", "maxAttempts": 2})]))
            self.close()
            x = s.run("my.team", "f")
            self.assertEqual(x["state"]["current"], "FAILED")
            log = json.dumps(s.get(f"/logs/{x['id']}").json)
            self.assertIn(f"at {self.URL}", log)
            # Removing needs nobody: it follows.
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}").status, 204)
            end = time.monotonic() + 30
            while "does not follow" not in (self.tmp / "server.log").read_text() and time.monotonic() < end:
                time.sleep(0.1)
            self.assertIn(f"{self.URL} does not follow the local files", (self.tmp / "server.log").read_text())

    def close(self):
        self.stack.close()


class Versitygw(Store, Case):
    URL = "s3://files/deep/er"

    def open(self):
        if not VERSITYGW.exists():
            self.skipTest(missing(VERSITYGW))
        url = self.stack.enter_context(versitygw(self.tmp))
        (self.tmp / "objects" / "files").mkdir()
        self.SETTINGS = {"endpointOverride": url, "region": "us-east-1", "forcePathStyle": True, "accessKeyId": "peer-key", "secretKeyId": "peer-secret"}

    def objects(self):
        top = self.tmp / "objects" / "files"
        while True:
            with contextlib.suppress(FileNotFoundError): # a folder that it removes just now
                return {str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file() and ".sgwtmp" not in p.parts}


class FakeGcs(Store, Case):
    URL = "gs://files/deep/er/"

    def open(self):
        if not FAKE_GCS.exists():
            self.skipTest(missing(FAKE_GCS))
        self.url = self.stack.enter_context(fake_gcs(self.tmp))
        self.environment = {"STORAGE_EMULATOR_HOST": self.url}
        self.call("/storage/v1/b", json.dumps({"name": "files"}).encode())

    def call(self, path, body=None):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def objects(self):
        names = [o["name"] for o in json.loads(self.call("/storage/v1/b/files/o")).get("items", [])]
        found = {}
        for n in names:
            with contextlib.suppress(urllib.error.HTTPError): # removed since
                found[n] = self.call("/storage/v1/b/files/o/" + urllib.parse.quote(n, safe="") + "?alt=media")
        return found


class LocalCloud(Store, Case):
    """Without anybody else's program: the local cloud's S3, which is where all AWS calls of a --local server go."""

    URL = "s3://files/deep/er"

    def arguments(self):
        return ["--local"]

    def open(self):
        bucket = {"id": "b", "type": "io.kestra.plugin.aws.s3.CreateBucket", "bucket": "files"}
        self.ok(self.flow(flow([bucket]), "--local", "-q"))

    def objects(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/local/cloud.db?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT key, blob FROM s3_objects WHERE bucket='files'").fetchall()
        found = {}
        for key, blob in rows:
            with contextlib.suppress(FileNotFoundError): # replaced since
                found[key] = (self.data / "local" / "blobs" / blob).read_bytes()
        return found

    test_a_store_that_is_gone = None # it lives and dies with the server


class Configuration(Case):
    def test_wrong_ones_are_refused(self):
        config = self.tmp / "sluice.yaml"
        for text, want in (("storage: {url: /folder}\n", "1:16: configuration: 'storage.url' must be s3://bucket/prefix or gs://bucket/prefix, not '/folder'"), ("storage: {url: 's3://'}\n", "must be s3://"),
                           ("storage: {url: 's3://b/../c'}\n", "must be s3://"), ("storage:\n  url: s3://b\n  cacheSize: much\n", "3:14: configuration: 'cacheSize' must be a size"), ("storage: {}\n", "url"),
                           ("storage: {url: 's3://b', bucket: x}\n", "bucket")):
            config.write_text(text)
            result = self.sluice("server", "--check", "--config", config)
            self.assertEqual(result.rc, 2, result)
            self.assertIn(want, result.err)
        config.write_text("storage: {url: 'gs://b/', cacheSize: 0}\n")
        self.ok(self.sluice("server", "--check", "--config", config))


if __name__ == "__main__":
    unittest.main()
