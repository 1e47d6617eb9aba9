"""Tasks about files of the internal storage, files of namespaces, and values that are kept between executions."""

import json
import os
import time
import unittest
import urllib.parse

from server import Server
from sluice import Case

CORE = "io.kestra.plugin.core."
STORAGE = CORE + "storage."


def flow(tasks, id="f", ns="t"):
    return f"id: {id}\nnamespace: {ns}\ntasks: {json.dumps(tasks)}\n"


def write(id, content, extension=".txt"):
    return {"id": id, "type": STORAGE + "Write", "content": content, "extension": extension}


def spoil(path, at=None):
    """As a bad disk: a bit, or the end, and no word of it."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    if at is None:
        del data[-1]
    else:
        data[at] ^= 1
    with path.open("r+b") as f:
        f.write(data)
        f.truncate(len(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class Damage(Case):
    """Stored files carry their checksum: what a disk gives back otherwise goes nowhere."""

    def setUp(self):
        super().setUp()
        (self.tmp / "probe").touch()
        try:
            os.setxattr(self.tmp / "probe", "user.probe", b"1")
        except OSError as e:
            self.skipTest(f"the file system keeps no extended attributes: {e}")

    def test_a_damaged_file_is_not_read(self):
        script = {"id": "script", "type": "io.kestra.plugin.scripts.shell.Script", "taskRunner": {"type": "io.kestra.plugin.core.runner.Process"}, "script": "echo made > made.txt", "outputFiles": ["made.txt"]}
        tasks = [write("w", "written by a task"), script, {"id": "size", "type": STORAGE + "Concat", "files": ["{{ inputs.given }}", "{{ outputs.w.uri }}", "{{ outputs.script.outputFiles['made.txt'] }}"]},
                 {"id": "read", "type": CORE + "debug.Return", "format": "{{ read(outputs.w.uri) }}"}]
        with Server(self) as s:
            s.flow("inputs: [{id: given, type: FILE}]\n" + flow(tasks))
            x = s.run("t", "f", files=[("given", "in.txt", b"given")])
            self.assertEqual(x["state"]["current"], "SUCCESS", x)
            outputs = {r["taskId"]: r for r in x["taskRunList"]}
            uris = {"w": outputs["w"]["outputs"]["uri"], "script": outputs["script"]["outputs"]["outputFiles"]["made.txt"], "given": x["inputs"]["given"]}
            where = {k: self.data / "storage" / u.removeprefix("kestra:///") for k, u in uris.items()}
            for path in where.values():
                size, crc = os.getxattr(path, "user.sluice.crc32c").split()
                self.assertEqual(int(size), path.stat().st_size)
            self.assertIn("4 files, and 0 that carry no checksum", self.ok(self.sluice("verify", "--files")).out)
            at = outputs["size"]["id"]
            for name, how in (("w", 3), ("script", None), ("given", 0)):
                whole = where[name].read_bytes()
                spoil(where[name], how)
                s.stop()
                s.start()
                again = s.until(s.call("POST", f"/executions/{x['id']}/replay?taskRunId={at}").json["id"], "FAILED", "SUCCESS")
                said = s.call("GET", f"/logs/{again['id']}").body.decode()
                if name == "w":
                    self.assertEqual((again["state"]["current"], [r["taskId"] for r in again["taskRunList"]][-1]), ("FAILED", "size"), said)
                    self.assertIn("it was damaged", said)
                a = s.call("GET", f"/executions/{x['id']}/file?path={urllib.parse.quote(uris[name])}")
                self.assertEqual(a.status, 500, a)
                self.assertIn(f"'{uris[name]}'".encode(), a.body)
                shown = self.sluice("verify", "--files")
                self.assertEqual(shown.rc, 1)
                self.assertRegex(shown.out, rf"BAD +every stored file is what was written: '[^']*{where[name].name}' ")
                where[name].write_bytes(whole)
            self.ok(self.sluice("verify", "--files"))
            # What somebody has put there himself carries no checksum, and is read.
            where["w"].unlink()
            where["w"].write_text("mine")
            again = s.until(s.call("POST", f"/executions/{x['id']}/replay?taskRunId={at}").json["id"], "SUCCESS")
            self.assertEqual([r["outputs"]["value"] for r in again["taskRunList"] if r["taskId"] == "read"], ["mine"])


class Lineage(Case):
    """Files go with what is handed on: to a replay, to what was called and back, to what a flow trigger made; and to nobody else."""

    def test_from_one_subflow_to_the_next(self):
        makes = "outputs: [{id: made, type: FILE, value: \"{{ outputs.w.uri }}\"}]\n"

        def call(id, flow, **inputs):
            return {"id": id, "type": CORE + "flow.Subflow", "namespace": "t.deep", "flowId": flow, "inputs": inputs, "wait": True, "transmitFailed": True}

        def size(id, uri):
            return {"id": id, "type": STORAGE + "Size", "uri": uri}

        with Server(self) as s:
            s.flow(flow([write("w", "made")], "makes", "t.deep") + makes)
            s.flow("inputs: [{id: file, type: FILE}]\n" + flow([size("size", "{{ inputs.file }}"), {"id": "again", "type": CORE + "debug.Return", "format": "{{ read(inputs.file) }}"}], "takes", "t.deep"))
            s.flow(flow([call("first", "makes"), size("size", "{{ outputs.first.outputs.made }}"), call("second", "takes", file="{{ outputs.first.outputs.made }}"),
                         {"id": "read", "type": CORE + "debug.Return", "format": "{{ read(outputs.first.outputs.made) }}"}], "calls", "t"))
            x = s.run("t", "calls")
            self.assertEqual(x["state"]["current"], "SUCCESS", s.get(f"/logs/{x['id']}").body)
            run = {r["taskId"]: r["outputs"] for r in x["taskRunList"]}
            self.assertEqual((run["size"]["size"], run["read"]["value"]), (4, "made"))
            # Another execution of the same flows is no relation.
            other = s.run("t", "calls")
            s.flow(flow([size("size", run["first"]["outputs"]["made"])], "thief", "t.deep"))
            self.assertEqual(s.run("t.deep", "thief")["state"]["current"], "FAILED")
            s.flow(flow([call("first", "thief")], "calls", "t"))
            self.assertEqual(s.run("t", "calls")["state"]["current"], "FAILED")
            self.assertEqual(other["state"]["current"], "SUCCESS")
        self.assertEqual(self.sluice("verify").rc, 0)

    def test_files_that_come_along(self):
        cat = {"id": "cat", "type": CORE + "debug.Return", "format": "{{ read(inputs.file) }}"}
        size = {"id": "size", "type": STORAGE + "Size", "uri": "{{ inputs.file }}"}

        def call(id, flow, ns):
            return {"id": id, "type": CORE + "flow.Subflow", "namespace": ns, "flowId": flow, "inputs": {"file": "{{ inputs.file }}"}, "wait": True, "transmitFailed": True}

        given = "inputs: [{id: file, type: FILE}]\n"
        with Server(self) as s:
            s.flow(given + flow([cat, size], "inner", "t.b"))
            s.flow(given + flow([call("call", "inner", "t.b")], "middle", "t.a"))
            s.flow(given + flow([write("w", "made"), call("call", "middle", "t.a"), {"id": "again", "type": CORE + "debug.Return", "format": "{{ read(outputs.w.uri) }}"}], "outer", "t"))
            s.flow(given + flow([cat, size], "after", "t") + "triggers: [{id: t, type: io.kestra.plugin.core.trigger.Flow, inputs: {file: \"{{ trigger.outputs.made }}\"}, preconditions: {id: p, flows: [{namespace: t, flowId: makes, states: [SUCCESS]}]}}]\n")
            s.flow(flow([write("w", "for another")], "makes", "t") + "outputs: [{id: made, type: STRING, value: \"{{ outputs.w.uri }}\"}]\n")
            first = s.run("t", "outer", files=[("file", "in.txt", b"given")])
            self.assertEqual(first["state"]["current"], "SUCCESS", s.get(f"/logs/{first['id']}").body)

            def check(execution, flow, said, ns):
                run = {r["taskId"]: r["outputs"] for r in s.until(execution, "SUCCESS", "FAILED")["taskRunList"]}
                self.assertEqual((run["cat"]["value"], run["size"]["size"]), (said, len(said)), s.get(f"/logs/{execution}").body)

            inner = s.search(flowId="inner")["results"]
            self.assertEqual(len(inner), 1)
            check(inner[0]["id"], "inner", "given", "t.b")
            # From the last task on, with what was kept of the others; and once more from that one.
            x = first
            for _ in range(3):
                at = next(r["id"] for r in x["taskRunList"] if r["taskId"] == "again")
                x = s.until(s.call("POST", f"/executions/{x['id']}/replay?taskRunId={at}").json["id"], "SUCCESS", "FAILED")
                self.assertEqual([r["outputs"]["value"] for r in x["taskRunList"] if r["taskId"] == "again"], ["made"], s.get(f"/logs/{x['id']}").body)
            a = s.get(f"/executions/{x['id']}/file?path={urllib.parse.quote(first['inputs']['file'])}")
            self.assertEqual((a.status, a.body), (200, b"given"))
            # All of it anew, the subflows of subflows too.
            x = s.until(s.call("POST", f"/executions/{x['id']}/replay").json["id"], "SUCCESS", "FAILED")
            self.assertEqual(x["state"]["current"], "SUCCESS", s.get(f"/logs/{x['id']}").body)
            self.assertEqual(s.search(flowId="inner", state="SUCCESS")["total"], 2)
            made = s.run("t", "makes")
            while s.search(flowId="after", state=["SUCCESS", "FAILED"])["total"] < 1:
                time.sleep(0.02)
            check(s.search(flowId="after")["results"][0]["id"], "after", "for another", "t")
            # One that nobody handed on.
            uri = made["taskRunList"][0]["outputs"]["uri"]
            s.flow(flow([{"id": "size", "type": STORAGE + "Size", "uri": uri}], "thief", "t"))
            thief = s.run("t", "thief")
            self.assertEqual(thief["state"]["current"], "FAILED")
            self.assertIn(b"belongs to another execution", s.get(f"/logs/{thief['id']}").body)
            self.assertEqual(s.get(f"/executions/{thief['id']}/file?path={urllib.parse.quote(uri)}").status, 404)
        self.assertEqual(self.sluice("verify").rc, 0)


class Storage(Case):
    def go(self, *tasks, rc=0):
        done = self.flow(flow(tasks), "--output", "json")
        self.assertEqual(done.rc, rc, done)
        self.outputs = {t["id"]: t.get("outputs") for t in json.loads(done.out.splitlines()[-1])["taskRuns"]}
        return done

    def text(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_text()

    def test_write_size_delete(self):
        self.go(write("w", "ä\n", "csv"), {"id": "s", "type": STORAGE + "Size", "uri": "{{ outputs.w.uri }}"}, {"id": "d", "type": STORAGE + "Delete", "uri": "{{ outputs.w.uri }}"},
                {"id": "again", "type": STORAGE + "Delete", "uri": "{{ outputs.w.uri }}"}, write("empty", "", None), {"id": "e", "type": STORAGE + "Size", "uri": "{{ outputs.empty.uri }}"})
        o = self.outputs
        self.assertTrue(o["w"]["uri"].endswith(".csv"), o)
        self.assertEqual((o["s"]["size"], o["d"]["deleted"], o["again"]["deleted"], o["e"]["size"]), (3, True, False, 0))
        for uri, said in (("kestra:///t/f/executions/another/x", "belongs to another execution"), ("kestra:///../x", "not a safe path"), ("{{ outputs.w.uri }}x", "does not exist")):
            done = self.go(write("w", "x"), {"id": "d", "type": STORAGE + "Delete", "uri": uri, "errorOnMissing": True}, rc=1)
            self.assertIn(said, done.err)

    def test_concat(self):
        files = ["{{ outputs.a.uri }}", "{{ outputs.b.uri }}", "{{ outputs.a.uri }}"]
        self.go(write("a", "1"), write("b", "2"), {"id": "c", "type": STORAGE + "Concat", "files": files, "separator": "\n--\n", "extension": ".log"},
                {"id": "j", "type": STORAGE + "Concat", "files": "[\"{{ outputs.b.uri }}\", \"{{ outputs.a.uri }}\"]"})
        self.assertEqual((self.text(self.outputs["c"]["uri"]), self.text(self.outputs["j"]["uri"])), ("1\n--\n2\n--\n1\n--\n", "21"))
        self.assertTrue(self.outputs["c"]["uri"].endswith(".log") and self.outputs["j"]["uri"].endswith(".tmp"))

    def split(self, content, **how):
        self.go(write("w", content, ".csv"), {"id": "s", "type": STORAGE + "Split", "from": "{{ outputs.w.uri }}", **how})
        uris = self.outputs["s"]["uris"]
        self.assertTrue(all(u.endswith(".csv") for u in uris))
        return [self.text(u) for u in uris]

    def test_split(self):
        lines = "".join(f"{i}\n" for i in range(10))
        self.assertEqual(self.split(lines, rows=4), ["0\n1\n2\n3\n", "4\n5\n6\n7\n", "8\n9\n"])
        self.assertEqual(self.split(lines.rstrip(), rows=20), [lines], "a last row without end has one afterwards")
        self.assertEqual(self.split(lines, partitions=3), ["0\n3\n6\n9\n", "1\n4\n7\n", "2\n5\n8\n"])
        self.assertEqual(self.split("0\n1\n", partitions=5), ["0\n", "1\n"])
        self.assertEqual(self.split(lines, bytes="5B"), ["0\n1\n", "2\n3\n", "4\n5\n", "6\n7\n", "8\n9\n"])
        self.assertEqual(self.split("long row\nx\n", bytes="3"), ["long row\n", "x\n"], "a row is never cut")
        self.assertEqual(self.split(lines, bytes="1GB", partitions=2, rows=1), [lines], "bytes come first")
        self.assertEqual(self.split("a||b||c", rows=2, separator="||"), ["a||b||", "c||"])
        self.assertEqual(self.split("", rows=2), [])
        big = "x" * 300000
        self.assertEqual(self.split(f"{big}ab{big}b", rows=1, separator="ab"), [big + "ab", big + "bab"], "separators across blocks")
        for how, said in (({}, "one of 'bytes', 'partitions', 'rows' and 'regexPattern'"), ({"regexPattern": "("}, "property 'regexPattern'"), ({"partitions": 1001}, "at most 1000 partitions"), ({"bytes": "1XB"}, "'bytes' must be a size"), ({"rows": 1, "separator": ""}, "'separator' must have 1 to 256 bytes")):
            self.assertIn(said, self.go(write("w", "x"), {"id": "s", "type": STORAGE + "Split", "from": "{{ outputs.w.uri }}", **how}, rc=1).err)

    def test_split_by_what_a_row_holds(self):
        log = "a [Z] 1\nb [Y] 2\nnone\nc [Z] 3\nd [A] [Y]\ne [B]"
        for pattern, pieces in (
            (r"\[(\w+)\]", ["a [Z] 1\nc [Z] 3\n", "b [Y] 2\n", "d [A] [Y]\n", "e [B]\n"]), (r"\[\w+\]", []), ("zzz(z)", []),
            ("(b)|(c)", ["b [Y] 2\n", "c [Z] 3\n"]),  # a group that took no part is one, too
        ):
            with self.subTest(pattern):
                self.assertEqual(self.split(log, regexPattern=pattern, rows=1), pieces)
        done = self.go(write("w", "".join(f"{i}\n" for i in range(1001))), {"id": "s", "type": STORAGE + "Split", "from": "{{ outputs.w.uri }}", "regexPattern": "(.+)"}, rc=1)
        self.assertIn("more than 1000 different texts", done.err)

    def test_reverse(self):
        for content, how, said in (("1\n2\n3\n", {}, "3\n2\n1\n"), ("1\n2\n3", {}, "3\n2\n1\n"), ("", {}, ""), ("a,b,,c", {"separator": ","}, "c,,b,a,"), ("\n\n1\n", {}, "1\n\n\n"), ("one", {}, "one\n")):
            self.go(write("w", content), {"id": "r", "type": STORAGE + "Reverse", "from": "{{ outputs.w.uri }}", **how})
            self.assertEqual(self.text(self.outputs["r"]["uri"]), said, content)
        self.assertIn("convert it to UTF-8", self.go(write("w", "x"), {"id": "r", "type": STORAGE + "Reverse", "from": "{{ outputs.w.uri }}", "charset": "utf-16"}, rc=1).err)

    def test_records(self):
        records = '{"id": 1, "v": 5}\n{"id": 2, "v": 15}\n\n{"id": 1, "v": 25}\n{"id": 3, "v": null}\n'
        def filtered(**how):
            self.go(write("w", records, ".ion"), {"id": "f", "type": STORAGE + "FilterItems", "from": "{{ outputs.w.uri }}", **how})
            o = self.outputs["f"]
            lines = self.text(o["uri"]).splitlines()
            self.assertTrue(set(lines) <= set(records.splitlines()), "as they were")
            return [json.loads(line) for line in lines], o["processedItemsTotal"], o["droppedItemsTotal"]
        self.assertEqual(filtered(filterCondition="{{ id == 1 }}"), ([{"id": 1, "v": 5}, {"id": 1, "v": 25}], 4, 2))
        self.assertEqual(filtered(filterCondition="{{ id == 1 }}", filterType="EXCLUDE"), ([{"id": 2, "v": 15}, {"id": 3, "v": None}], 4, 2))
        self.assertEqual(filtered(filterCondition="{{ v > 10 }}")[0], [{"id": 2, "v": 15}, {"id": 1, "v": 25}])
        self.assertEqual(filtered(filterCondition="{{ none }}", errorOrNullBehavior="INCLUDE")[1:], (4, 0))
        self.assertEqual(filtered(filterCondition="{{ v is null ? null : true }}", errorOrNullBehavior="EXCLUDE")[1:], (4, 1))
        self.assertIn("record 1 of", self.go(write("w", records, ".ion"), {"id": "f", "type": STORAGE + "FilterItems", "from": "{{ outputs.w.uri }}", "filterCondition": "{{ none }}"}, rc=1).err)
        self.go(write("w", records, ".ion"), {"id": "d", "type": STORAGE + "DeduplicateItems", "from": "{{ outputs.w.uri }}", "expr": "{{ id }}"})
        o = self.outputs["d"]
        self.assertEqual((self.text(o["uri"]), o["numKeys"], o["processedItemsTotal"], o["droppedItemsTotal"]), ('{"id": 2, "v": 15}\n{"id": 1, "v": 25}\n{"id": 3, "v": null}\n', 3, 4, 1))
        many = "".join(json.dumps({"k": i % 5000, "n": i}) + "\n" for i in range(20000))
        source = self.tmp / "many.jsonl"
        source.write_text(many)
        shell = {"id": "w", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "outputFiles": ["*.jsonl"], "commands": [f"cp {source} ."]}
        self.go(shell, {"id": "d", "type": STORAGE + "DeduplicateItems", "from": "{{ outputs.w.outputFiles['many.jsonl'] }}", "expr": "{{ k }}"})
        self.assertEqual([json.loads(line)["n"] for line in self.text(self.outputs["d"]["uri"]).splitlines()], list(range(15000, 20000)))

    def test_local_files(self):
        inside = [{"id": "l", "type": STORAGE + "LocalFiles", "inputs": {"a.txt": "hello"}, "outputs": ["*.txt"]}, {"id": "s", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": ["test $(cat b.txt) = there"]}]
        inside.insert(1, {"id": "m", "type": STORAGE + "LocalFiles", "inputs": {"b.txt": "there"}})
        self.go({"id": "d", "type": CORE + "flow.WorkingDirectory", "tasks": inside})
        self.assertEqual({k: self.text(v) for k, v in self.outputs["l"]["uris"].items()}, {"a.txt": "hello"})

    def test_metrics_and_echo(self):
        done = self.go({"id": "m", "type": CORE + "metric.Publish", "metrics": [{"name": "rows", "type": "counter", "value": "{{ 6 * 7 }}"}, {"name": "took", "type": "timer", "value": "PT1.5S"}]}, {"id": "e", "type": CORE + "debug.Echo", "format": "said", "level": "WARN"})
        self.assertRegex(done.err, "WARN +e: said")
        done = self.go({"id": "m", "type": CORE + "metric.Publish", "metrics": [{"name": "rows", "type": "gauge", "value": 1}]}, rc=1)
        self.assertIn("metrics[0]: a metric has a name, a type (counter or timer)", done.err)


class Namespaces(Case):
    def files(self, s, ns="t"):
        found = s.get(f"/namespaces/{ns}/files/search?q=").json
        return {p: s.get(f"/namespaces/{ns}/files?path={p}").body.decode() for p in found}

    def test_files(self):
        up = {"id": "u", "type": CORE + "namespace.UploadFiles", "namespace": "t"}
        shell = {"id": "s", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": ["mkdir sub; echo a > a.csv; echo b > sub/b.csv; echo c > c.txt"]}
        with Server(self) as s:
            def go(*tasks, state="SUCCESS", ns="t"):
                s.flow(flow(tasks, ns=ns))
                x = s.run(ns, "f")
                self.assertEqual(x["state"]["current"], state, s.get(f"/logs/{x['id']}/download").body)
                self.log = s.get(f"/logs/{x['id']}/download").body.decode()
                return {r["taskId"]: r.get("outputs") for r in x["taskRunList"]}
            o = go({"id": "d", "type": CORE + "flow.WorkingDirectory", "tasks": [shell, {**up, "files": ["**.csv", "regex:c\\.t.t"], "destination": "/in/"}]})
            self.assertEqual(self.files(s), {"/in/a.csv": "a\n", "/in/sub/b.csv": "b\n", "/in/c.txt": "c\n"})
            self.assertEqual(o["u"]["files"]["/in/a.csv"], "kestra:///t/_files/in/a.csv")
            go(write("w", "new"), {**up, "filesMap": {"in/a.csv": "{{ outputs.w.uri }}", "x.txt": "{{ outputs.w.uri }}"}, "conflict": "SKIP"})
            self.assertEqual((self.files(s)["/in/a.csv"], self.files(s)["/x.txt"]), ("a\n", "new"))
            go(write("w", "new"), {**up, "files": {"x.txt": "{{ outputs.w.uri }}"}, "conflict": "ERROR"}, state="FAILED")
            self.assertIn("has a file 'x.txt' already", self.log)
            go(write("w", "newer"), {**up, "filesMap": "{\"x.txt\": \"{{ outputs.w.uri }}\"}"})
            self.assertEqual(self.files(s)["/x.txt"], "newer")
            go(write("w", "x"), {**up, "namespace": "other.one", "filesMap": {"y.txt": "{{ outputs.w.uri }}"}}, {"id": "g", "type": CORE + "namespace.DownloadFiles", "namespace": "other.one", "files": "y.txt"})
            for bad, said in (({"namespace": "other/../t"}, "is not a namespace"), ({"destination": "../.."}, "is not a path below")):
                go(write("w", "x"), {**up, "filesMap": {"x.txt": "{{ outputs.w.uri }}"}, **bad}, state="FAILED")
                self.assertIn(said, self.log)
            o = go({"id": "g", "type": CORE + "namespace.DownloadFiles", "namespace": "t", "files": ["in/**"], "destination": "out"}, {"id": "r", "type": CORE + "debug.Return", "format": "{{ read(outputs.g.files['/out/in/sub/b.csv']) }}"},
                   {"id": "one", "type": CORE + "namespace.DownloadFiles", "files": "x.txt"})
            self.assertEqual((sorted(o["g"]["files"]), o["r"]["value"], list(o["one"]["files"])), (["/out/in/a.csv", "/out/in/c.txt", "/out/in/sub/b.csv"], "b\n", ["/x.txt"]))
            o = go({"id": "d", "type": CORE + "namespace.DeleteFiles", "namespace": "t", "files": ["in/sub/*", "x.txt", "none"], "deleteParentFolder": True})
            self.assertEqual((o["d"]["count"], sorted(self.files(s))), (2, ["/in/a.csv", "/in/c.txt"]))
            self.assertFalse((self.data / "storage/t/_files/in/sub").exists())


class Values(Case):
    def test_state(self):
        def state(verb, id=None, **kw):
            return {"id": id or verb.lower(), "type": CORE + "state." + verb, **kw}
        with Server(self) as s:
            def go(*tasks, ns="t", id="f", state="SUCCESS"):
                s.flow(flow(tasks, id, ns))
                x = s.run(ns, id)
                self.assertEqual(x["state"]["current"], state, s.get(f"/logs/{x['id']}/download").body)
                return {r["taskId"]: r.get("outputs") for r in x["taskRunList"]}
            o = go(state("Get"), state("Set", data={"a": 1, "b": "{{ flow.id }}"}), state("Set", "more", data={"a": [2]}), state("Get", "after"), state("Get", "named", name="other"))
            self.assertEqual((o["get"], o["set"]["count"], o["after"], o["named"]["data"]), ({"count": 0, "data": {}}, 2, {"count": 2, "data": {"a": [2], "b": "f"}}, {}))
            self.assertEqual(go(state("Get"))["get"]["data"], {"a": [2], "b": "f"}, "kept between executions")
            self.assertEqual(go(state("Get"), id="g")["get"]["data"], {}, "of that flow")
            go(state("Set", data={"x": 1}, namespace=True), id="g")
            self.assertEqual(go(state("Get", namespace=True))["get"]["data"], {"x": 1}, "of the namespace")
            each = {"id": "e", "type": CORE + "flow.ForEach", "values": ["p", "q"], "tasks": [state("Set", data={"v": "{{ taskrun.value }}"}), state("Get")]}
            s.flow(flow([each, {"id": "r", "type": CORE + "debug.Return", "format": "{{ outputs.get.p.data.v }}{{ outputs.get.q.data.v }}"}], "loop"))
            self.assertEqual([r["outputs"]["value"] for r in s.run("t", "loop")["taskRunList"] if r["taskId"] == "r"], ["pq"])
            self.assertEqual([o["deleted"] for o in go(state("Delete", "one"), state("Delete", "two")).values()], [True, False])
            go(state("Get", errorOnMissing=True), state="FAILED")

    def test_purge(self):
        def purge(**kw):
            return {"id": "p", "type": CORE + "kv.PurgeKV", **kw}
        with Server(self) as s:
            def put(ns, key, ttl=None):
                self.assertEqual(s.call("PUT", f"/namespaces/{ns}/kv/{key}", '"v"', "application/json", headers={"ttl": ttl} if ttl else None).status, 200)
            def keys():
                return sorted(f"{ns}/{k['key']}" for ns in ("t", "t.u", "other", "system") for k in s.get(f"/namespaces/{ns}/kv").json)
            def go(task, ns="t", state="SUCCESS"):
                s.flow(flow([task], "p", ns))
                x = s.run(ns, "p")
                self.assertEqual(x["state"]["current"], state)
                return x["taskRunList"][0].get("outputs", {}).get("size")
            for ns in ("t", "t.u", "other"):
                put(ns, "stays")
                put(ns, "goes", "PT0.2S")
            time.sleep(0.3)
            self.assertEqual(go(purge()), 2, "expired ones of the namespace and below")
            self.assertEqual(go(purge()), 0)
            self.assertEqual(go(purge(namespaces=["other"]), state="FAILED"), None, "not of others")
            self.assertEqual(go(purge(namespacePattern="*")), 0)
            self.assertEqual(go(purge(namespacePattern="*"), ns="system"), 1, "which `system` may")
            put("t", "tmp-1"), put("t", "tmp-2"), put("t.u", "tmp-3")
            self.assertEqual(go(purge(keyPattern="tmp-*", includeChildNamespaces=False, behavior={"type": "key", "expiredOnly": False})), 2)
            self.assertEqual(keys(), ["other/stays", "t.u/stays", "t.u/tmp-3", "t/stays"])
            self.assertEqual(go(purge(expiredOnly=False)), 3)
            self.assertEqual(go(purge(behavior={"type": "version"}), state="FAILED"), None)


if __name__ == "__main__":
    unittest.main()
