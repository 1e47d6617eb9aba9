"""io.sluice.transfer.Copy: from anywhere to anywhere, packed, unpacked and cut into parts on the way; killed at every point; sources that cut, change and lie."""

import collections
import csv
import gzip
import hashlib
import io
import json
import random
import re
import shutil
import threading
import time
import unittest

from peers import VERSITYGW, missing, versitygw
from scripted import Scripted
from server import Server
from test_s3 import S3Case

HEAD = """id: copy
namespace: tests
inputs:
  - {id: endpoint, type: STRING, defaults: "http://127.0.0.1:1"}
  - {id: web, type: STRING, defaults: "http://127.0.0.1:1"}
pluginDefaults:
  - type: io.kestra.plugin.aws
    values: {accessKeyId: peer-key, secretKeyId: peer-secret, region: us-east-1, endpointOverride: "{{ inputs.endpoint }}", forcePathStyle: true}
  - type: io.sluice.transfer
    values: {accessKeyId: peer-key, secretKeyId: peer-secret, region: us-east-1, endpointOverride: "{{ inputs.endpoint }}", forcePathStyle: true}
tasks:
"""
BUCKET = "  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one}\n"


def task(id, to=None, source="/data.bin", **more):
    more = {"from": "{{ inputs.web }}" + source if source.startswith("/") else source, **({"to": to} if to else {}), **more}
    return f"  - {json.dumps({'id': id, 'type': 'io.sluice.transfer.Copy', **more})}\n"


def orders(rows, seed=1):
    """CSV with quotes, and newlines between them."""
    r, out = random.Random(seed), io.StringIO()
    w = csv.writer(out, lineterminator="\n")
    w.writerow(["id", "name", "note"])
    for i in range(rows):
        w.writerow([i, f"name {r.random()}", r.choice(["plain", 'a "quoted"\nnote', "with, comma", ""]) + str(i % 7)])
    return out.getvalue().encode()


class Web(Scripted):
    """Files over HTTP, with ranges or without."""

    def __init__(self, files, ranges=True, etag=True, before=lambda r, n: None):
        self.files, self.ranges, self.etag, self.before, self.counts = files, ranges, etag, before, collections.Counter()
        self.guard = threading.Lock()
        super().__init__(self.serve)

    def serve(self, r):
        with self.guard:
            self.counts[r.method] += 1
            n = self.counts[r.method]
        answer = self.before(r, n)
        if answer is not None:
            return answer
        data = self.files.get(r.path)
        if data is None:
            return 404, {"Content-Type": "text/plain"}, b"no such page"
        head = {"Content-Type": "application/octet-stream"}
        if self.ranges:
            head["Accept-Ranges"] = "bytes"
        if self.etag:
            head["ETag"] = '"' + hashlib.md5(data).hexdigest() + '"'
            if r.headers.get("if-match", head["ETag"]) != head["ETag"]:
                return 412, {}, b""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", r.headers.get("range", ""))
        if found and self.ranges:
            begin, end = int(found.group(1)), int(found.group(2) or len(data) - 1) + 1
            return 206, {**head, "Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}, data[begin:end]
        return 200, head, data

    def begins(self):
        return sorted(int(re.match(r"bytes=(\d+)-", r.headers.get("range", "bytes=0-")).group(1)) for r in self.requests if r.method == "GET")


class CopyCase(S3Case):
    def copy(self, tasks, web=None, endpoint=None, *args, **kw):
        return self.flow(HEAD + tasks, *(["--input", f"web={web.url}"] if web else []), *(["--input", f"endpoint={endpoint}"] if endpoint else []), "--output", "json", *args, **kw)

    def objects(self):
        return {str(p.relative_to(self.tmp / "objects" / "b-one")): p for p in (self.tmp / "objects" / "b-one").rglob("*") if p.is_file() and ".sgwtmp" not in p.parts}

    def orphans(self):
        return [p for p in (self.tmp / "objects").rglob("*") if p.is_file() and ".sgwtmp" in p.parts]


class Sources(CopyCase):
    """Into the internal storage, whose files can be looked at."""

    def test_ranges(self):
        """A large file comes in pieces, each once; a small one in one request."""
        data = random.Random(1).randbytes(21_000_001)
        with Web({"/data.bin": data, "/small.bin": data[:1000]}) as web:
            out = self.outputs(self.ok(self.copy(task("large") + task("small", source="/small.bin", to="other.name"), web)))
            begins = web.begins()
        self.assertEqual(self.stored(out["large"]["uri"]).read_bytes(), data)
        self.assertEqual(self.stored(out["small"]["uri"]).read_bytes(), data[:1000])
        self.assertTrue(out["small"]["uri"].endswith("/other.name"))
        self.assertEqual(begins, sorted([0] + [n << 22 for n in range(6)]))
        self.assertEqual((out["large"]["size"], out["large"]["sourceSize"]), (len(data), len(data)))

    def test_without_ranges(self):
        """The connection breaks: it begins anew, and what came before must come again."""
        data = random.Random(2).randbytes(9_000_000)

        def cut(r, n):
            return (200, {"Content-Length": str(len(data)), "Connection": "close"}, data[:5_000_000]) if r.method == "GET" and n <= 2 else None

        with Web({"/data.bin": data}, ranges=False, before=cut) as web:
            done = self.ok(self.copy(task("c"), web))
            self.assertEqual(web.counts["GET"], 3)
        self.assertEqual(self.stored(self.outputs(done)["c"]["uri"]).read_bytes(), data)
        self.assertIn("going on at byte 5000000", done.err)

    def test_changed_meanwhile(self):
        data = random.Random(3).randbytes(9_000_000)

        def other(r, n):
            return (200, {"Content-Length": str(len(data)), "Connection": "close"}, data[:5_000_000]) if r.method == "GET" and n == 1 else None

        with Web({"/data.bin": b"x" + data[1:]}, ranges=False, etag=False, before=other) as web:
            done = self.copy(task("c"), web)
            self.assertEqual(done.rc, 1, done)
            self.assertIn("has changed while it was read; try again", done.err)

        def swap(r, n):
            if r.method == "HEAD":
                return None
            web.files["/data.bin"] = data[::-1]
            return None

        with Web({"/data.bin": data}, before=swap) as web:
            done = self.copy(task("c"), web)
            self.assertEqual(done.rc, 1, done)
            self.assertIn("has changed while it was read; try again", done.err)

    def test_refused(self):
        with Web({"/data.bin": b"abc"}, before=lambda r, n: (403, {}, b"") if r.method == "HEAD" else None) as web:
            self.ok(self.copy(task("c"), web))  # an address that is signed for GET alone
            done = self.copy(task("c", source="/none"), web)
            self.assertEqual(done.rc, 1)
            self.assertRegex(done.err, r"reading http://127.0.0.1:\d+/none: the server answered 404: no such page")
        for word, bad in {
            "'from' must begin with https://": task("c", source="ftp://x/y"),
            "there is no file 'file:///none' that flows may read": task("c", source="file:///none"),
            "must name an object": task("c", source="file:///etc/hostname", to="s3://b-one"),
            "'to' must begin with s3:// or gs://": task("c", source="file:///etc/hostname", to="https://x/y"),
            "'split.parts' is 65": task("c", source="file:///etc/hostname", split={"parts": 65}),
            "'split.manifest' and 'to' must both be s3": task("c", source="file:///etc/hostname", split={"parts": 2, "manifest": "gs://b/m"}),
            "'split.quote' must be one character": task("c", source="file:///etc/hostname", split={"parts": 2, "quote": "''"}),
        }.items():
            with self.subTest(word):
                done = self.copy(bad)
                self.assertEqual(done.rc, 1, done)
                self.assertIn(word, done.err)

    def test_files_of_the_server(self):
        """file:// is for folders that the configuration names, whatever links say."""
        allowed = self.tmp / "allowed"
        allowed.mkdir()
        (allowed / "a.txt").write_text("hello")
        (self.tmp / "allowed-not").mkdir()
        (self.tmp / "allowed-not" / "b.txt").write_text("secret")
        (allowed / "link").symlink_to(self.tmp / "allowed-not" / "b.txt")
        flow = f"id: f\nnamespace: tests\ninputs:\n  - {{id: path, type: STRING}}\ntasks:\n  - {{id: c, type: io.sluice.transfer.Copy, from: 'file://{{{{ inputs.path }}}}'}}\n  - {{id: r, type: io.kestra.plugin.core.debug.Return, format: '{{{{ read(outputs.c.uri) }}}}'}}\n"
        for config, good in (("", []), (f"localFiles: [{allowed}]\n", [f"{allowed}/a.txt"])):
            path = self.tmp / "sluice.yaml"
            path.write_text(config)
            with Server(self, "--config", str(path)) as s:
                s.flow(flow)
                for file in (f"{allowed}/a.txt", f"{allowed}/link", f"{self.tmp}/allowed-not/b.txt", f"{allowed}/../allowed-not/b.txt", "/etc/passwd"):
                    with self.subTest(config, file=file):
                        x = s.run("tests", "f", inputs={"path": file})
                        self.assertEqual(x["state"]["current"], "SUCCESS" if file in good else "FAILED")

    def test_packed_and_damaged(self):
        """A gzip file that ends too early gives nothing, wherever it goes."""
        data = gzip.compress(orders(20000))
        with Web({"/o.csv.gz": data[:-100]}) as web:
            done = self.copy(task("c", source="/o.csv.gz", to="o.csv"), web)
            self.assertEqual(done.rc, 1, done)
            self.assertIn("ends too early", done.err)
            done = self.copy(task("c", source="/o.csv.gz", to="o.csv.gz", split={"parts": 3}), web)
            self.assertEqual(done.rc, 1, done)
        self.assertEqual([p for p in (self.data / "storage").rglob("*") if p.is_file()], [])


class Split(CopyCase):
    def parts(self, data, **split):
        with Web({"/o.csv": data}) as web:
            out = self.outputs(self.ok(self.copy(task("c", source="/o.csv", to="o.csv", split=split), web)))
        return [self.stored(u).read_bytes() for u in out["c"]["uris"]]

    def test_records(self):
        """Against Python's csv: every record once, none cut, a header in each part."""
        for rows, parts in ((0, 2), (1, 3), (10, 4), (50_000, 1), (50_000, 8), (200_000, 5)):
            with self.subTest(rows=rows, parts=parts):
                data = orders(rows)
                got = [list(csv.reader(io.StringIO(p.decode(), newline=""))) for p in self.parts(data, parts=parts)]
                self.assertEqual({tuple(g[0]) for g in got}, {("id", "name", "note")})
                want = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
                self.assertEqual(sorted((tuple(r) for g in got for r in g[1:]), key=lambda r: int(r[0])), [tuple(r) for r in want])
                if rows >= 50_000:
                    self.assertLess(max(len(g) for g in got) / min(len(g) for g in got), 1.15)

    def test_lines(self):
        """Without quotes and header: lines; the last without its end, and one that is longer than any block."""
        lines = [b'{"a": "' + b"x" * n + b'"}' for n in (1, 5, 3_000_000, 2, 70_000)] * 3
        got = self.parts(b"\n".join(lines), parts=3, header=False, quote="")
        self.assertEqual(sorted(line for p in got for line in p.split(b"\n") if line), sorted(lines))

    def test_a_quote_that_is_not_closed(self):
        with Web({"/o.csv": b'a,b\n1,"' + b"x\n" * 40_000_000}) as web:
            done = self.copy(task("c", source="/o.csv", to="o.csv", split={"parts": 2}), web)
        self.assertEqual(done.rc, 1, done)
        self.assertIn("a record is longer than 64 MiB (after byte", done.err)
        self.assertIn("is a quote not closed?", done.err)


@unittest.skipUnless(VERSITYGW.exists(), missing(VERSITYGW))
class Versitygw(CopyCase):
    def test_every_way(self):
        data = orders(150_000)
        packed = gzip.compress(data)
        with Web({"/o.csv.gz": packed}) as web, versitygw(self.tmp) as url:
            out = self.outputs(self.ok(self.copy(
                BUCKET
                + task("as_is", "s3://b-one/as/o.csv.gz", "/o.csv.gz", contentType="text/csv", metadata={"kind": "orders"})
                + task("unpacked", "s3://b-one/un/o.csv", "/o.csv.gz")
                + task("packed", "s3://b-one/pa/o.csv.gz", "s3://b-one/un/o.csv")
                + task("small", "s3://b-one/pa/small.csv.gz", "s3://b-one/un/o.csv", compressionLevel=9)
                + task("parts", "s3://b-one/parts/o.csv.gz", "/o.csv.gz", split={"parts": 8, "manifest": "s3://b-one/parts/manifest"})
                + task("back", None, "s3://b-one/un/o.csv")
                + "  - {id: head, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: as/o.csv.gz}\n",
                web, url)))
            found = {name: p.read_bytes() for name, p in self.objects().items()}
            self.assertEqual(self.orphans(), [])
        self.assertEqual(found["as/o.csv.gz"], packed)
        self.assertEqual((out["head"]["contentType"], out["head"]["metadata"]), ("text/csv", {"kind": "orders"}))
        self.assertEqual(found["un/o.csv"], data)
        self.assertEqual(gzip.decompress(found["pa/o.csv.gz"]), data)
        self.assertLess(len(found["pa/small.csv.gz"]), len(found["pa/o.csv.gz"]))
        self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), data)
        names = [f"parts/o-{i:04d}.csv.gz" for i in range(1, 9)]
        self.assertEqual(out["parts"]["uris"], ["s3://b-one/" + n for n in names])
        parts = [gzip.decompress(found[n]) for n in names]
        rows = [r for p in parts for r in list(csv.reader(io.StringIO(p.decode(), newline="")))[1:]]
        self.assertEqual(sorted(int(r[0]) for r in rows), list(range(150_000)))
        self.assertLess(max(map(len, parts)) / min(map(len, parts)), 1.1)
        manifest = json.loads(found["parts/manifest"])
        self.assertEqual(manifest, {"entries": [{"url": "s3://b-one/" + n, "mandatory": True, "meta": {"content_length": len(found[n])}} for n in names]})

    def test_killed(self):
        """Killed at every labelled point: one object with the same bytes, and no orphan."""
        data = orders(330_000)
        packed = gzip.compress(data, 1)
        ways = {
            "large": (task("c", "s3://b-one/o.csv", "/o.csv"), {"o.csv": data}),
            "small": (task("c", "s3://b-one/small.bin", "/small.bin"), {"small.bin": data[:1000]}),
            "unpacked": (task("c", "s3://b-one/u.csv", "/o.csv.gz"), {"u.csv": data}),
            "parts": (task("c", "s3://b-one/p.csv", "/o.csv.gz", split={"parts": 3, "manifest": "s3://b-one/m"}), None),
        }
        with Web({"/o.csv": data, "/o.csv.gz": packed, "/small.bin": data[:1000]}) as web, versitygw(self.tmp) as url:
            for name, (flow, wanted) in ways.items():
                log = self.tmp / "labels"
                log.unlink(missing_ok=True)
                shutil.rmtree(self.tmp / "objects" / "b-one", ignore_errors=True)
                self.ok(self.copy(BUCKET + flow, web, url, env={"SLUICE_FAULT_LOG": str(log)}))
                whole = {n: p.read_bytes() for n, p in self.objects().items()}
                self.assertEqual(whole if wanted is None else wanted, whole)
                counts = collections.Counter(line for line in log.read_text().split() if line.startswith(("upload.", "copy.")))
                self.assertGreaterEqual(len(counts), 4, counts)
                for label, count in sorted(counts.items()):
                    for n in sorted({1, (count + 1) // 2, count}):
                        with self.subTest(name, label=label, n=n):
                            shutil.rmtree(self.data, ignore_errors=True)
                            shutil.rmtree(self.tmp / "objects" / "b-one", ignore_errors=True)
                            killed = self.copy(BUCKET + flow, web, url, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                            self.assertIn(killed.rc, (-9, 137), killed)
                            self.ok(self.sluice("run", "--continue", killed.id, "-q"))
                            self.assertEqual({n: p.read_bytes() == whole.get(n) for n, p in self.objects().items()}, {n: True for n in whole})
                            self.assertEqual(self.orphans(), [], "parts of an upload that nobody finishes")

    def test_goes_on_where_it_was(self):
        """Killed at two thirds of 160 MB: what was put down is neither read nor sent again."""
        data = random.Random(5).randbytes(1 << 20) * 160
        with Web({"/data.bin": data}) as web, versitygw(self.tmp) as url:
            killed = self.copy(BUCKET + task("c", "s3://b-one/d.bin"), web, url, env={"SLUICE_FAULT": "upload.after_chunk:15:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            web.requests.clear()
            done = self.ok(self.sluice("run", "--continue", killed.id))
            self.assertIn("taking up the upload to s3://b-one/d.bin where it stands", done.err)
            self.assertGreaterEqual(web.begins()[0], 64 << 20)
            self.assertEqual(self.objects()["d.bin"].read_bytes(), data)
            # Another source now: nothing of the old one may stay.
            shutil.rmtree(self.data)
            killed = self.copy(task("c", "s3://b-one/e.bin"), web, url, env={"SLUICE_FAULT": "upload.after_chunk:15:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            web.files["/data.bin"] = data = random.Random(6).randbytes(1 << 20) * 130
            self.ok(self.sluice("run", "--continue", killed.id))
            self.assertEqual(self.objects()["e.bin"].read_bytes(), data)
            # And a shorter one: parts that were sent of the longer are no parts of it.
            shutil.rmtree(self.data)
            killed = self.copy(task("c", "s3://b-one/f.bin"), web, url, env={"SLUICE_FAULT": "upload.after_chunk:12:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            web.files["/data.bin"] = data = random.Random(7).randbytes(1 << 20) * 30
            self.ok(self.sluice("run", "--continue", killed.id))
            self.assertEqual(self.objects()["f.bin"].read_bytes(), data)
            self.assertEqual(self.orphans(), [])

    def test_killed_by_a_user(self):
        data = random.Random(5).randbytes(1 << 20) * 40
        with Web({"/data.bin": data}) as web, versitygw(self.tmp) as url, Server(self, env={"SLUICE_FAULT": "copy.before_complete:1:sleep4000"}) as s:
            s.flow((HEAD + BUCKET + task("c", "s3://b-one/d.bin")).replace("{{ inputs.endpoint }}", url).replace("{{ inputs.web }}", web.url))
            x = s.run("tests", "copy", wait=False)
            for _ in range(300):
                if len(self.orphans()) >= 5:
                    break
                time.sleep(0.02)
            self.assertEqual(len(self.orphans()), 5)
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}/kill").status, 202)
            self.assertEqual(s.until(x["id"], "KILLED")["state"]["current"], "KILLED")
            self.assertEqual(self.orphans(), [])

    def test_failures_leave_nothing(self):
        """A source that breaks for good, and a wrong key."""
        data = random.Random(5).randbytes(30_000_000)
        with Web({"/data.bin": data}, before=lambda r, n: (500, {}, b"") if r.headers.get("range", "").startswith("bytes=20971520") else None) as web, versitygw(self.tmp) as url:
            done = self.copy(BUCKET + task("c", "s3://b-one/d.bin", **{"timeout": "PT60S"}), web, url)
            self.assertEqual(done.rc, 1, done)
            self.assertEqual((self.objects(), self.orphans()), ({}, []))
            done = self.copy(task("c", "s3://b-one/d.bin", secretKeyId="wrong"), web, url)
            self.assertEqual(done.rc, 1, done)
            self.assertIn("is 'secretKeyId' the secret of this access key?", done.err)


class Google(CopyCase):
    """gs:// on the local cloud, which checks what sessions are sent."""

    def test_another_object_than_was_sent(self):
        """A checksum that is not ours: the object goes again, that generation of it alone."""
        deleted = []
        how = 204

        def answer(r):
            if r.method == "DELETE":
                deleted.append((r.path, r.query.get("generation")))
                return how, {}, b""
            if r.path.startswith("/upload"):
                return 200, {"Location": s.url + "/session"}, {}
            return 200, {}, {"name": "o", "bucket": "b", "size": "5", "generation": "77", "crc32c": "AAAAAA=="}

        with Scripted(answer) as s, Web({"/data.bin": b"hello"}) as web:
            done = self.copy(task("c", "gs://b/o"), web, env={"STORAGE_EMULATOR_HOST": s.url})
        self.assertEqual(done.rc, 1, done)
        self.assertIn("gs://b/o had the CRC32C AAAAAA==, but mnG7TA== was sent; it is deleted, copy it again", done.err)
        self.assertEqual(deleted, [("/storage/v1/b/b/o/o", "77")])
        how = 403
        with Scripted(answer) as s, Web({"/data.bin": b"hello"}) as web:
            done = self.copy(task("c", "gs://b/o"), web, env={"STORAGE_EMULATOR_HOST": s.url})
        self.assertIn("was sent; delete it and copy it again, since deleting it failed: ", done.err)

    GS = {"projectId": "local-project", "serviceAccount": "{{ secret('GCP_CREDS') }}"}

    def test_from_there(self):
        """The source is a bucket: in pieces, unpacked on the way, cut into parts."""
        data = orders(400_000)
        self.prepare()
        make = "  - {id: bucket, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: b-copy, ifExists: SKIP, projectId: local-project, serviceAccount: \"{{ secret('GCP_CREDS') }}\"}\n"
        with Web({"/o.csv": data, "/o.csv.gz": gzip.compress(data, 1)}) as web:
            steps = (task("plain", "gs://b-copy/o.csv", "/o.csv", **self.GS) + task("packed", "gs://b-copy/o.csv.gz", "/o.csv.gz", **self.GS)
                     + task("a", None, "gs://b-copy/o.csv", **self.GS) + task("b", "gs://b-copy/unpacked.csv", "gs://b-copy/o.csv.gz", **self.GS) + task("back", None, "gs://b-copy/unpacked.csv", **self.GS) + task("c", "gs://b-copy/part.csv.gz", "gs://b-copy/o.csv", split={"parts": 3}, **self.GS))
            flow = HEAD.replace("namespace: tests", "namespace: examples") + make + steps
            out = self.outputs(self.ok(self.flow(flow, "--local", "--input", f"web={web.url}", "--output", "json")))
        for id in ("a", "back"):
            self.assertEqual(self.stored(out[id]["uri"]).read_bytes(), data, id)
        self.assertEqual(len(out["c"]["uris"]), 3)

    def test_killed(self):
        data = orders(600_000)
        packed = gzip.compress(data, 1)
        self.prepare()
        make = "  - {id: bucket, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: b-copy, ifExists: SKIP, projectId: local-project, serviceAccount: \"{{ secret('GCP_CREDS') }}\"}\n"
        back = "  - {id: back, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://b-copy/o.csv', projectId: local-project, serviceAccount: \"{{ secret('GCP_CREDS') }}\"}\n"
        template = self.tmp / "template"
        shutil.copytree(self.data, template)
        ways = {"as_is": "/o.csv", "unpacked": "/o.csv.gz"}
        with Web({"/o.csv": data, "/o.csv.gz": packed}) as web:
            for name, source in ways.items():
                flow = HEAD.replace("namespace: tests", "namespace: examples") + make + task("c", "gs://b-copy/o.csv", source, **self.GS) + back
                log = self.tmp / "labels"
                log.unlink(missing_ok=True)
                args = ("--local", "--input", f"web={web.url}", "--output", "json")
                out = self.outputs(self.ok(self.flow(flow, *args, env={"SLUICE_FAULT_LOG": str(log)})))
                self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), data)
                counts = collections.Counter(line for line in log.read_text().split() if line.startswith(("upload.", "copy.")))
                self.assertEqual(set(counts), {"upload.before_session", "upload.after_session", "upload.before_chunk", "upload.after_chunk", "copy.before_complete", "copy.before_manifest"})
                for label, count in sorted(counts.items()):
                    for n in sorted({1, count}):
                        with self.subTest(name, label=label, n=n):
                            shutil.rmtree(self.data)
                            shutil.copytree(template, self.data)
                            killed = self.flow(flow, *args, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                            self.assertIn(killed.rc, (-9, 137), killed)
                            out = self.outputs(self.ok(self.sluice("run", "--continue", killed.id, "--local", "--output", "json")))
                            self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), data)
                            self.assertEqual(out["c"]["size"], len(data))
            # Another source now: a session cannot tell its bytes from those that it has.
            flow = HEAD.replace("namespace: tests", "namespace: examples") + make + task("c", "gs://b-copy/o.csv", "/o.csv", **self.GS) + back
            killed = self.flow(flow, *args, env={"SLUICE_FAULT": "upload.after_chunk:1:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            web.files["/o.csv"] = data = orders(610_000, 9)
            done = self.ok(self.sluice("run", "--continue", killed.id, "--local", "--output", "json"))
            self.assertIn("is not what it was", done.err)
            self.assertEqual(self.stored(self.outputs(done)["back"]["uri"]).read_bytes(), data)


if __name__ == "__main__":
    unittest.main()
