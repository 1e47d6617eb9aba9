"""The S3 tasks against versitygw, a server that verifies signatures and checksums, which nobody here wrote."""

import base64
import collections
import hashlib
import json
import os
import random
import re
import shutil
import struct
import time
import unittest
import urllib.parse
import zlib

from peers import MINIO, VERSITYGW, minio, missing, versitygw
from scripted import Cut, Scripted, unpack
from server import Server
from sluice import Case

HEAD = """
id: s3
namespace: tests
inputs:
  - {id: endpoint, type: STRING}
pluginDefaults:
  - type: io.sluice.aws
    values: &aws
      accessKeyId: peer-key
      secretKeyId: peer-secret
      region: us-east-1
      endpointOverride: "{{ inputs.endpoint }}"
  - {type: io.kestra.plugin.aws, values: *aws}
tasks:
"""

MAKE = """
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: ["*.bin", "*.txt"]
    commands:
      - head -c 40000000 /dev/urandom > large.bin
      - printf 'small one' > small.txt
      - printf 'second' > second.txt
"""

ROUND = (
    HEAD
    + MAKE
    + """
  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one}
  - id: small
    type: io.kestra.plugin.aws.s3.Upload
    from: "{{ outputs.make.outputFiles['small.txt'] }}"
    bucket: b-one
    key: "dir/ä b+c&d=é'.txt"
    contentType: text/plain
    cacheControl: no-store
    metadata: {Owner: me, run: 7}
    tagging: {team: data+more = x}
  - id: large
    type: io.kestra.plugin.aws.s3.Upload
    from: "{{ outputs.make.outputFiles['large.bin'] }}"
    bucket: b-one
    key: large.bin
    metadata: {kind: large}
  - id: several
    type: io.kestra.plugin.aws.s3.Upload
    from:
      x.txt: "{{ outputs.make.outputFiles['small.txt'] }}"
      y.txt: "{{ outputs.make.outputFiles['second.txt'] }}"
      z.bin: "{{ outputs.make.outputFiles['large.bin'] }}"
    bucket: b-one
    key: many/
  - id: template
    type: io.kestra.plugin.aws.s3.Upload
    from: "{{ [outputs.make.outputFiles['small.txt'], outputs.make.outputFiles['second.txt']] | toJson }}"
    bucket: b-one
    key: list
    checksumAlgorithm: SHA256
  - id: sums
    type: io.kestra.plugin.core.flow.ForEach
    values: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]
    tasks:
      - id: up
        type: io.kestra.plugin.aws.s3.Upload
        from: "{{ outputs.make.outputFiles['large.bin'] }}"
        bucket: b-one
        key: "sums/{{ taskrun.value }}"
        checksumAlgorithm: "{{ taskrun.value }}"
  - {id: back, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: large.bin}
  - {id: back_small, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: "dir/ä b+c&d=é'.txt", validateChecksum: true}
  - {id: list, type: io.kestra.plugin.aws.s3.List, bucket: b-one, prefix: many/, maxFiles: 2}
  - {id: regexp, type: io.kestra.plugin.aws.s3.List, bucket: b-one, regexp: ".*[.]bin"}
  - {id: folder, type: io.kestra.plugin.aws.s3.List, bucket: b-one, delimiter: /}
  - id: copy
    type: io.kestra.plugin.aws.s3.Copy
    from: {bucket: b-one, key: large.bin}
    to: {key: copied/large.bin}
    delete: true
  - id: moved
    type: io.kestra.plugin.aws.s3.Downloads
    bucket: b-one
    prefix: many/
    action: MOVE
    moveTo: {bucket: b-one, key: done}
  - {id: moved_to, type: io.kestra.plugin.aws.s3.List, bucket: b-one, prefix: done/}
  - {id: delete, type: io.kestra.plugin.aws.s3.Delete, bucket: b-one, key: copied/large.bin}
  - {id: rest, type: io.kestra.plugin.aws.s3.DeleteList, bucket: b-one, prefix: done/, concurrent: 4}
  - {id: all, type: io.kestra.plugin.aws.s3.List, bucket: b-one, maxFiles: 100}
"""
)

UPLOAD = HEAD + MAKE + "  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one}\n"
LARGE = """  - {id: up, type: io.kestra.plugin.aws.s3.Upload, from: "{{ outputs.make.outputFiles['large.bin'] }}", bucket: b-one, key: k/large.bin}\n"""
SMALL = """  - {id: up, type: io.kestra.plugin.aws.s3.Upload, from: "{{ outputs.make.outputFiles['small.txt'] }}", bucket: b-one, key: k/small.txt}\n"""


def keys(objects):
    return sorted(o["key"] for o in objects)


class S3Case(Case):
    def run_flow(self, flow, url, *args, **kw):
        return self.flow(flow, "--input", f"endpoint={url}", "--output", "json", *args, **kw)

    def outputs(self, done):
        return {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}

    def check_round(self, url):
        out = self.outputs(self.ok(self.run_flow(ROUND, url)))
        small = "dir/ä b+c&d=é'.txt"
        large = self.stored(out["make"]["outputFiles"]["large.bin"]).read_bytes()
        self.assertEqual(out["bucket"], {"bucket": "b-one", "region": "/b-one"})
        self.assertEqual(out["small"]["eTag"], '"' + hashlib.md5(b"small one").hexdigest() + '"')
        self.assertRegex(out["large"]["eTag"], r'^"[0-9a-f]{32}-5"$')
        self.assertEqual({k: v["contentLength"] for k, v in out["several"]["files"].items()}, {"x.txt": 9, "y.txt": 6, "z.bin": len(large)})
        self.assertEqual(sorted(out["template"]["files"]), ["second.txt", "small.txt"])
        self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), large)
        self.assertEqual(out["back"]["metadata"], {"kind": "large"})
        self.assertEqual(self.stored(out["back_small"]["uri"]).read_bytes(), b"small one")
        self.assertEqual((out["back_small"]["contentType"], out["back_small"]["metadata"], out["back_small"]["contentLength"]), ("text/plain", {"owner": "me", "run": "7"}, 9))
        self.assertEqual(out["back_small"]["checksumAlgorithm"], "CRC32C")
        self.assertEqual(keys(out["list"]["objects"]), ["many/x.txt", "many/y.txt"])
        self.assertEqual(keys(out["regexp"]["objects"]), ["large.bin", "many/z.bin"])
        self.assertEqual(keys(out["folder"]["objects"]), ["large.bin"])
        self.assertEqual(sorted(out["moved"]["outputFiles"]), ["many/x.txt", "many/y.txt", "many/z.bin"])
        self.assertEqual(keys(out["moved_to"]["objects"]), ["done/x.txt", "done/y.txt", "done/z.bin"])
        self.assertEqual(out["rest"], {"count": 3, "size": 15 + len(large)})
        self.assertEqual(keys(out["all"]["objects"]), sorted([small, "list/small.txt", "list/second.txt"] + ["sums/" + n for n in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")]))

    def check_parts(self, url):
        """The server takes the checksum behind each part, and gives it back: each part goes once."""
        done = self.ok(self.run_flow(UPLOAD + LARGE, url, "--trace"))
        self.assertEqual(sorted(re.findall(r"PUT \S*partNumber=(\d+)\S* -> (\d+)", done.err)), [(str(n), "200") for n in range(1, 6)])

    def stored(self, uri):
        return self.data / "storage" / urllib.parse.unquote(uri.removeprefix("kestra:///"))


@unittest.skipUnless(VERSITYGW.exists(), missing(VERSITYGW))
class Versitygw(S3Case):
    def test_parts(self):
        with versitygw(self.tmp) as url:
            self.check_parts(url)

    def test_round(self):
        with versitygw(self.tmp) as url:
            self.check_round(url)

    def test_refused(self):
        """What the server refuses is said in one sentence."""
        cases = {
            "secretKeyId": ("secretKeyId: peer-secret", "secretKeyId: other", r"SignatureDoesNotMatch.*is 'secretKeyId' the secret"),
            "bucket": ("bucket: b-one, key", "bucket: b-none, key", r"uploading to s3://b-none/k/small.txt: S3 answered 404 \(NoSuchBucket\)"),
            "sum": ("key: k/small.txt", "key: k/small.txt, checksumAlgorithm: SHA1, checksum: AAAA", r"the file's SHA1 is .*, expected was AAAA"),
            "algorithm": ("key: k/small.txt", "key: k/small.txt, checksumAlgorithm: CRC16", r"S3 knows CRC32C"),
            "none": ("key: k/small.txt", "key: k/small.txt, ifMatch: '\"0\"'", r"S3 answered (404|412)"),
        }
        with versitygw(self.tmp) as url:
            for name, (old, new, expected) in cases.items():
                with self.subTest(name):
                    flow = (UPLOAD.replace("b-one}", f"b-{name.lower()}0" + "}") + SMALL).replace("b-one", f"b-{name.lower()}0") if name != "bucket" else UPLOAD + SMALL
                    old = old.replace("b-one", f"b-{name.lower()}0") if name != "bucket" else old
                    self.assertIn(old, flow)
                    done = self.run_flow(flow.replace(old, new), url)
                    self.assertEqual(done.rc, 1, done)
                    self.assertRegex(done.err, expected)

    def test_region(self):
        """Another region is learnt from the answer, and asked at once from then on."""
        with versitygw(self.tmp) as url:
            self.ok(self.run_flow(UPLOAD + SMALL, url))
            self.ok(self.run_flow((HEAD + MAKE + SMALL).replace("us-east-1", "eu-west-1"), url))

    def test_condition(self):
        once = SMALL.replace("key: k/small.txt", "key: k/small.txt, ifNoneMatch: '*'")
        with versitygw(self.tmp) as url:
            done = self.run_flow(UPLOAD + once + once.replace("id: up", "id: up2"), url)
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"up2: .*S3 answered 412 \(PreconditionFailed\)")

    def test_killed(self):
        """Killed at every labelled point of both kinds of uploads: the same object, and no orphan. A large one may be of the kind of small ones."""
        for name, task, size in (("large", LARGE, 40_000_000), ("whole", LARGE.replace("key:", "compatibilityMode: true, key:"), 40_000_000), ("small", SMALL, 9)):
            with versitygw(self.tmp) as url:
                flow = UPLOAD + task
                shutil.rmtree(self.tmp / "objects" / "b-one", ignore_errors=True)
                log = self.tmp / "labels"
                log.unlink(missing_ok=True)
                self.ok(self.run_flow(flow, url, env={"SLUICE_FAULT_LOG": str(log)}))
                counts = collections.Counter(line for line in log.read_text().split() if line.startswith("upload."))
                self.assertEqual(len(counts), {"large": 6, "whole": 2, "small": 2}[name], counts)
                for label, count in sorted(counts.items()):
                    for n in sorted({1, (count + 1) // 2, count}):
                        with self.subTest(name, label=label, n=n):
                            shutil.rmtree(self.data, ignore_errors=True)
                            shutil.rmtree(self.tmp / "objects" / "b-one", ignore_errors=True)
                            killed = self.run_flow(flow, url, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                            self.assertIn(killed.rc, (-9, 137), killed)
                            self.ok(self.sluice("run", "--continue", killed.id, "-q"))
                            found = [p for p in (self.tmp / "objects" / "b-one").rglob("*") if p.is_file()]
                            self.assertEqual([p.name for p in found if ".sgwtmp" not in p.parts], ["small.txt" if name == "small" else "large.bin"])
                            self.assertEqual(sum(p.stat().st_size for p in found if ".sgwtmp" not in p.parts), size)
                            left = [p for p in found if ".sgwtmp" in p.parts]
                            self.assertEqual(left, [], "parts of an upload that nobody finishes")

    @unittest.skipUnless(os.environ.get("SLUICE_TEST_LONG"), "2 GB: with SLUICE_TEST_LONG=1")
    def test_killed_at_half_of_two_gigabytes(self):
        """No part that the server has is sent again."""
        big = self.tmp / "large.bin"
        with open(big, "wb") as f:
            for _ in range(2048):
                f.write(os.urandom(1 << 20))
        flow = HEAD + "  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one}\n" + f"  - {{id: up, type: io.kestra.plugin.aws.s3.Upload, from: 'file://{big}', bucket: b-one, key: k/large.bin}}\n"
        with versitygw(self.tmp) as url:
            killed = self.run_flow(flow, url, env={"SLUICE_FAULT": "upload.after_chunk:128:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            time.sleep(1)  # what was on its way comes to its end in the server
            there = len([p for p in (self.tmp / "objects").rglob("*") if p.is_file() and ".sgwtmp" in p.parts and p.stat().st_size == 8 << 20])
            self.assertGreaterEqual(there, 128)
            done = self.ok(self.sluice("run", "--continue", killed.id, "--trace", timeout=300))
            sent = len(re.findall(r"PUT \S*partNumber=\d+\S* -> 200", done.err))
            self.assertEqual(sent, 256 - there)
            self.assertEqual((self.tmp / "objects" / "b-one" / "k" / "large.bin").stat().st_size, 2 << 30)

    def test_killed_by_a_user(self):
        """An upload that is killed while it runs is aborted: its parts do not stay."""
        flow = UPLOAD.replace("inputs:\n  - {id: endpoint, type: STRING}\n", "").replace("{{ inputs.endpoint }}", "ENDPOINT") + LARGE
        with versitygw(self.tmp) as url, Server(self, env={"SLUICE_FAULT": "upload.before_complete:1:sleep4000"}) as s:
            s.flow(flow.replace("ENDPOINT", url))
            x = s.run("tests", "s3", wait=False)
            parts = lambda: [p for p in (self.tmp / "objects").rglob("*") if p.is_file() and ".sgwtmp" in p.parts]
            for _ in range(200):
                if len(parts()) >= 5:
                    break
                time.sleep(0.02)
            self.assertEqual(len(parts()), 5)
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}/kill").status, 202)
            self.assertEqual(s.until(x["id"], "KILLED")["state"]["current"], "KILLED")
            self.assertEqual(parts(), [])

    def test_sweep(self):
        sweep = "  - {id: sweep, type: io.sluice.aws.s3.AbortUploads, bucket: b-one, olderThan: PT0S}\n"
        with versitygw(self.tmp) as url:
            killed = self.run_flow(UPLOAD + LARGE, url, env={"SLUICE_FAULT": "upload.before_complete:1:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            out = self.outputs(self.ok(self.run_flow(HEAD + sweep, url)))
            self.assertEqual(out["sweep"], {"count": 1})
            out = self.outputs(self.ok(self.run_flow(HEAD + sweep, url)))
            self.assertEqual(out["sweep"], {"count": 0})


@unittest.skipUnless(MINIO.exists(), missing(MINIO))
class Minio(S3Case):
    """A second server that verifies; and it has a Security Token Service."""

    def test_parts(self):
        with minio(self.tmp) as url:
            self.check_parts(url)

    def test_round(self):
        with minio(self.tmp) as url:
            self.check_round(url)

    def test_refused(self):
        with minio(self.tmp) as url:
            for old, new, expected in (
                ("secretKeyId: peer-secret", "secretKeyId: other-secret", r"SignatureDoesNotMatch.*is 'secretKeyId' the secret"),
                ("accessKeyId: peer-key", "accessKeyId: nobody", r"InvalidAccessKeyId.*the access key does not exist"),
                ("bucket: b-one, key", "bucket: b-none, key", r"404 \(NoSuchBucket\)"),
            ):
                done = self.run_flow((UPLOAD + SMALL).replace(old, new), url)
                self.assertEqual(done.rc, 1, done)
                self.assertRegex(done.err, expected)

    def test_role(self):
        """A session of a role: the token goes with every request, those of a multipart upload too; a wrong token is refused."""
        role = "accessKeyId: peer-key\n      stsRoleArn: arn:minio:iam:::role/loader\n      stsEndpointOverride: \"{{ inputs.endpoint }}\"\n      stsRoleSessionDuration: PT15M"
        with minio(self.tmp) as url:
            self.ok(self.sluice("kv", "set", "-n", "tests", "unused", "x"))
            done = self.run_flow((UPLOAD + LARGE + "  - {id: list, type: io.kestra.plugin.aws.s3.List, bucket: b-one, prefix: k/}\n").replace("accessKeyId: peer-key", role), url, "--trace")
            self.ok(done)
            self.assertEqual(keys(self.outputs(done)["list"]["objects"]), ["k/large.bin"])
            self.assertEqual(len([line for line in done.err.splitlines() if "TRACE" in line and re.search(r"POST \S+/ -> 200", line)]), 1, "AssumeRole once")
            done = self.run_flow((HEAD + MAKE + SMALL).replace("accessKeyId: peer-key", "accessKeyId: peer-key\n      sessionToken: wrong"), url)
            self.assertEqual(done.rc, 1, done)
            self.assertRegex(done.err, r"InvalidTokenId|InvalidToken")


def xml_error(status, code, message="said the server", headers=None, extra=""):
    return status, {"Content-Type": "application/xml", **(headers or {})}, f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()


class Store:
    """As much of S3 as the cases below need, with a hook that may answer before it."""

    def __init__(self, before=lambda store, request, n: None, after=lambda store, request, n: None, trailers=True):
        self.before, self.after, self.trailers = before, after, trailers
        self.objects, self.parts, self.uploads, self.counts = {}, {}, 0, collections.Counter()

    def what(self, r):
        return r.method + ("".join(sorted(k for k in ("uploads", "uploadId", "partNumber") if k in r.query)))

    def __call__(self, r):
        kind = self.what(r)
        self.counts[kind] += 1
        answer = self.before(self, r, self.counts[kind])
        if answer is None:
            answer = self.handle(r, kind)
            self.after(self, r, self.counts[kind])
        return answer

    def handle(self, r, kind):
        xml = {"Content-Type": "application/xml"}
        if kind == "POSTuploads":
            self.uploads += 1
            return 200, xml, b"<InitiateMultipartUploadResult><UploadId>u-1</UploadId></InitiateMultipartUploadResult>"
        if kind == "PUTpartNumberuploadId":
            body, headers = unpack(r) if self.trailers else (r.body, {})
            self.parts[int(r.query["partNumber"])] = body
            return 200, {"ETag": '"' + hashlib.md5(body).hexdigest() + '"', **headers}, b""
        if kind == "POSTuploadId":
            sums = b"".join(hashlib.md5(self.parts[n]).digest() for n in sorted(self.parts))
            self.put(r.path, b"".join(self.parts[n] for n in sorted(self.parts)), f'"{hashlib.md5(sums).hexdigest()}-{len(self.parts)}"', {})
            return 200, xml, f"<CompleteMultipartUploadResult><ETag>{self.objects[r.path][1]}</ETag></CompleteMultipartUploadResult>".encode()
        if kind == "DELETEuploadId":
            self.parts = {}
            return 204, {}, b""
        if kind == "PUT":
            self.put(r.path, r.body, '"' + hashlib.md5(r.body).hexdigest() + '"', r.headers)
            return 200, {"ETag": self.objects[r.path][1]}, b""
        if r.path not in self.objects:
            return xml_error(404, "NoSuchKey")
        body, etag, headers = self.objects[r.path]
        if "range" in r.headers:
            start = int(r.headers["range"].removeprefix("bytes=").rstrip("-"))
            return 206, {"ETag": etag}, body[start:]
        return 200, {"ETag": etag, "Content-Type": headers.get("content-type", "application/octet-stream")}, body

    def put(self, path, body, etag, headers):
        self.objects[path] = (body, etag, headers)


class Scripts(S3Case):
    """What no server does when one wants it to."""

    def play(self, flow, store, rc=0, **kw):
        with Scripted(store) as server:
            done = self.run_flow(HEAD + MAKE + flow, server.url, **kw)
            self.requests = list(server.requests)
        self.assertEqual(done.rc, rc, done)
        return done

    def large(self):
        return self.stored(self.outputs(self.done)["make"]["outputFiles"]["large.bin"]).read_bytes()

    def whole(self, store):
        self.assertEqual(store.objects["/b-one/k/large.bin"][0], self.large())

    def test_complete_fails_with_200(self):
        """A 200 that holds an error is an error, tried again when it may be."""
        store = Store(before=lambda s, r, n: xml_error(200, "InternalError") if s.what(r) == "POSTuploadId" and n == 1 else None)
        self.done = self.play(LARGE, store)
        self.whole(store)
        self.assertEqual(store.counts["POSTuploadId"], 2)

    def test_complete_fails_for_good(self):
        """What cannot succeed is aborted, so that its parts do not stay."""
        store = Store(before=lambda s, r, n: xml_error(400, "EntityTooSmall") if s.what(r) == "POSTuploadId" else None)
        done = self.play(LARGE, store, rc=1)
        self.assertRegex(done.err, r"uploading to s3://b-one/k/large.bin: S3 answered 400 \(EntityTooSmall\)")
        self.assertEqual((store.parts, store.counts["DELETEuploadId"]), ({}, 1))

    def test_lost_answer_of_complete(self):
        """The upload is gone because it is an object: found, compared, taken."""

        def after(s, r, n):
            if s.what(r) == "POSTuploadId" and n == 1:
                raise Cut

        def before(s, r, n):
            return xml_error(404, "NoSuchUpload") if s.what(r) == "POSTuploadId" and n > 1 else None

        store = Store(before, after)
        self.done = self.play(LARGE, store)
        self.whole(store)
        self.assertEqual((store.uploads, store.counts["HEAD"]), (1, 1))

    def test_slow_down(self):
        store = Store(before=lambda s, r, n: xml_error(503, "SlowDown", headers={"Retry-After": "0"}) if s.what(r) == "PUTpartNumberuploadId" and n in (2, 3, 4) else None)
        self.done = self.play(LARGE, store)
        self.whole(store)
        self.assertEqual(store.counts["PUTpartNumberuploadId"], 8)

    def test_no_checksums(self):
        """A server that refuses checksums gets Content-MD5, and is not asked again."""
        refuse = lambda s, r, n: xml_error(501, "NotImplemented", "A header you provided implies functionality that is not implemented: x-amz-checksum-crc32c") if any(k.startswith("x-amz-checksum-") for k in r.headers if r.method == "PUT") else None
        store = Store(before=refuse)
        self.done = self.play(SMALL + SMALL.replace("id: up", "id: up2") + LARGE.replace("id: up", "id: up3"), store)
        self.whole(store)
        puts = [r for r in self.requests if r.method == "PUT"]
        self.assertEqual(len([r for r in puts if "content-md5" not in r.headers]), 1, "one refusal is enough")

    def test_expired_token(self):
        """It is asked for anew once; keys that a flow gives stay the same, and so does the answer."""
        store = Store(before=lambda s, r, n: xml_error(400, "ExpiredToken", "The provided token has expired."))
        done = self.play(SMALL.replace("bucket:", "sessionToken: old, bucket:"), store, rc=1)
        self.assertIn("up: uploading to s3://b-one/k/small.txt: S3 answered 400 (ExpiredToken): The provided token has expired.", done.err)
        self.assertEqual(store.counts["PUT"], 2)

    def test_trailer(self):
        """The checksum behind each part is that of its bytes, and each part goes once."""
        store = Store()
        self.done = self.play(LARGE.replace("bucket:", "checksumAlgorithm: CRC32, bucket:"), store)
        self.whole(store)
        puts = [unpack(r) for r in self.requests if r.method == "PUT"]
        self.assertEqual([h["x-amz-checksum-crc32"] for _, h in puts], [base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode() for body, _ in puts])
        self.assertEqual(len(puts), 5)

    def test_no_trailers(self):
        """What a server that does not know them makes of them, or says: the parts go again without, and the next ones only so."""

        def lie(s, r, n):
            if "x-amz-trailer" in r.headers:
                s.handle(r, s.what(r))
                return 200, {"ETag": '"x"', "x-amz-checksum-crc32c": "AAAAAA=="}, b""

        def refuse(*answer):
            return lambda s, r, n: xml_error(*answer) if "x-amz-trailer" in r.headers else None

        for before in (lambda s, r, n: None, lie, refuse(501, "NotImplemented"), refuse(403, "SignatureDoesNotMatch"), refuse(400, "InvalidRequest")):
            store = Store(before, trailers=False)
            self.done = self.play(LARGE + LARGE.replace("id: up", "id: up2"), store)
            self.whole(store)
            puts = [r for r in self.requests if r.method == "PUT"]
            trailed = [r for r in puts if "x-amz-trailer" in r.headers]
            self.assertEqual(len(puts) - len(trailed), 10)
            self.assertLessEqual(len(trailed), 5)
            self.assertNotIn("x-amz-trailer", {k for r in puts[-5:] for k in r.headers})

    def test_file_that_changes(self):
        """Its parts would not fit together: nothing is made of them."""
        path = self.tmp / "large.bin"

        def write():
            with open(path, "r+b") as f:
                f.write(b"b" * 1000)

        for change in (write, lambda: os.truncate(path, 1000)):
            path.write_bytes(b"a" * 40_000_000)
            begun = []

            def before(s, r, n):
                if s.what(r) == "PUTpartNumberuploadId" and not begun:
                    begun.append(change())

            store = Store(before)
            done = self.play(f"  - {{id: up, type: io.kestra.plugin.aws.s3.Upload, from: 'file://{path}', bucket: b-one, key: k}}\n", store, rc=1)
            self.assertIn("large.bin' has changed while it was uploaded; try again when nobody writes to it", done.err)
            self.assertEqual((store.objects, store.counts["DELETEuploadId"]), ({}, 1))

    def copy(self, before=lambda r, n: None, rc=0, more=""):
        """Of an object of 5.3 GB, which is only said to be that large."""
        size, part, seen = 5 * (1 << 30) + 300_000_000, 512 << 20, collections.Counter()

        def answer(r):
            kind = r.method + ("".join(sorted(k for k in ("uploads", "uploadId", "partNumber") if k in r.query)))
            seen[kind] += 1
            given = before(r, seen[kind])
            if given is not None:
                return given
            if r.method == "HEAD":
                etag = '"x-11"' if r.path == "/b-two/k" else '"source-etag"'
                return 200, {"Content-Length": str(size), "ETag": etag, "Content-Type": "text/csv", "Cache-Control": "no-store", "x-amz-meta-owner": "me", "x-amz-version-id": "v"}, b""
            if kind == "POSTuploads":
                return 200, {}, b"<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>"
            if kind == "PUTpartNumberuploadId":
                return 200, {}, f"<CopyPartResult><ETag>&quot;p{r.query['partNumber']}&quot;</ETag></CopyPartResult>".encode()
            if kind == "POSTuploadId":
                return 200, {}, b"<CompleteMultipartUploadResult><ETag>&quot;whole-11&quot;</ETag></CompleteMultipartUploadResult>"
            return 204, {}, b""

        with Scripted(answer) as server:
            flow = HEAD + "  - {id: copy, type: io.kestra.plugin.aws.s3.Copy, from: {bucket: b-one, key: 'a b/large', versionId: v}, to: {bucket: b-two, key: k}" + more + "}\n"
            done = self.run_flow(flow, server.url)
            self.requests = list(server.requests)
        self.assertEqual(done.rc, rc, done)
        self.seen, self.size, self.part = seen, size, part
        return done

    def test_copy_in_parts(self):
        self.copy()
        begin = next(r for r in self.requests if r.method == "POST" and "uploads" in r.query)
        self.assertEqual([begin.headers.get(k) for k in ("content-type", "cache-control", "x-amz-meta-owner")], ["text/csv", "no-store", "me"])
        parts = {int(r.query["partNumber"]): r for r in self.requests if "partNumber" in r.query}
        self.assertEqual(sorted(parts), list(range(1, 12)))
        for n, r in parts.items():
            self.assertEqual(r.headers["x-amz-copy-source-range"], f"bytes={(n - 1) * self.part}-{min(n * self.part, self.size) - 1}")
            self.assertEqual((r.headers["x-amz-copy-source"], r.headers["x-amz-copy-source-if-match"], r.query["uploadId"]), ("/b-one/a%20b/large?versionId=v", '"source-etag"', "u/1"))
        end = next(r for r in self.requests if r.method == "POST" and "uploadId" in r.query)
        self.assertEqual(re.findall(rb"<PartNumber>(\d+)</PartNumber><ETag>(?:&quot;|\")p(\d+)", end.body), [(b"%d" % n, b"%d" % n) for n in range(1, 12)])

    def test_copy_in_parts_that_fails(self):
        done = self.copy(lambda r, n: xml_error(412, "PreconditionFailed") if "partNumber" in r.query and n == 4 else None, rc=1)
        self.assertRegex(done.err, r"copying s3://b-one/a b/large to s3://b-two/k.*PreconditionFailed|PreconditionFailed.*copying")
        self.assertEqual((self.seen["DELETEuploadId"], self.seen["POSTuploadId"]), (1, 0))

    def test_copy_in_parts_whose_end_was_lost(self):
        def lost(r, n):
            if r.method == "POST" and "uploadId" in r.query:
                if n == 1:
                    raise Cut
                return xml_error(404, "NoSuchUpload")

        self.copy(lost)
        self.assertEqual(self.seen["DELETEuploadId"], 0)

    def test_clock(self):
        """A server whose clock is an hour ahead: its Date is believed, once."""
        ahead = {"Date": "Sun, 06 Nov 2044 08:49:37 GMT"}

        def before(s, r, n):
            return None if r.headers["x-amz-date"].startswith("20441106T08") else xml_error(403, "RequestTimeTooSkewed", headers=ahead)

        store = Store(before)
        self.play(SMALL + SMALL.replace("id: up", "id: up2"), store)
        self.assertEqual(store.counts["PUT"], 3)

    def test_cut_download(self):
        """A cut connection is followed by a request for the rest, of the same object."""
        data = os.urandom(3_000_000)
        store = Store()
        store.put("/b-one/k/large.bin", data, '"' + hashlib.md5(data).hexdigest() + '"', {})

        def before(s, r, n):
            if r.method == "GET" and n == 1:
                return 200, {"ETag": s.objects[r.path][1], "Content-Length": str(len(data))}, data[:1_000_000] + b""
            return None

        store.before = before
        # http.server closes the connection when fewer bytes than announced were written only if we say so.
        with Scripted(store) as server:
            original = store.before

            def cutting(s, r, n):
                answer = original(s, r, n)
                return (answer[0], {**answer[1], "Connection": "close"}, answer[2]) if answer else None

            store.before = cutting
            done = self.ok(self.run_flow(HEAD + "  - {id: down, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k/large.bin}\n", server.url))
            gets = [r for r in server.requests if r.method == "GET"]
        out = self.outputs(done)
        self.assertEqual(self.stored(out["down"]["uri"]).read_bytes(), data)
        self.assertEqual([r.headers.get("range") for r in gets], [None, "bytes=1000000-"])
        self.assertEqual({r.headers.get("if-match") for r in gets}, {'"' + hashlib.md5(data).hexdigest() + '"'})

    def test_wrong_bytes(self):
        data = b"x" * 1000
        store = Store()
        store.put("/b-one/k/o", data, '"' + hashlib.md5(b"y" * 1000).hexdigest() + '"', {})
        done = self.play("  - {id: down, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k/o}\n", store, rc=1)
        self.assertRegex(done.err, r"s3://b-one/k/o has the MD5 .*, but what came has .*; try again")

    def listed(self, store, sizes=None):
        """What a listing of b-one says of the objects."""
        entries = "".join(
            f"<Contents><Key>{path.removeprefix('/b-one/')}</Key><Size>{len(body)}</Size><ETag>{etag.replace(chr(34), '&quot;')}</ETag></Contents>" for path, (body, etag, _) in sorted(store.objects.items())
        )
        return 200, {}, f"<ListBucketResult>{entries}</ListBucketResult>".encode()

    def downloads(self, store, rc=0, before=lambda s, r, n: None):
        store.before = lambda s, r, n: self.listed(s) if r.query.get("list-type") == "2" else before(s, r, n)
        done = self.play("  - {id: down, type: io.kestra.plugin.aws.s3.Downloads, bucket: b-one, prefix: k/, maxFiles: 1000}\n", store, rc=rc)
        return done, [(r.method, r.path.removeprefix("/b-one/")) for r in self.requests if r.path.startswith("/b-one/k/")]

    def many(self, n):
        store = Store()
        for i in range(n):
            data = random.Random(i).randbytes(i * 977)
            store.put(f"/b-one/k/{i:03}", data, '"' + hashlib.md5(data).hexdigest() + '"', {})
        return store

    def test_many_small(self):
        """One request for each that a listing has told of; an empty one needs none but a look."""
        store = self.many(100)
        done, asked = self.downloads(store)
        out = self.outputs(done)["down"]
        self.assertEqual(sorted(asked), sorted([("GET", f"k/{i:03}") for i in range(1, 100)] + [("HEAD", "k/000")]))
        self.assertEqual([o["key"] for o in out["objects"]], [f"k/{i:03}" for i in range(100)])
        for o in out["objects"]:
            body, etag, _ = store.objects["/b-one/" + o["key"]]
            self.assertEqual(self.stored(o["uri"]).read_bytes(), body)
            self.assertEqual(out["outputFiles"][o["key"]], o["uri"])

    def test_what_is_said_of_small_ones(self):
        """The answer to a GET says what a HEAD would."""
        store = self.many(3)
        store.before = lambda s, r, n: self.listed(s) if r.query.get("list-type") == "2" else None
        out = self.outputs(self.play("  - {id: down, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, prefix: k/}\n", store))["down"]
        for path, (body, etag, _) in store.objects.items():
            said = out["files"][path.removeprefix("/b-one/")]
            self.assertEqual({**said, "uri": ""}, {"uri": "", "key": path.removeprefix("/b-one/"), "eTag": etag, "contentLength": len(body), "contentType": "application/octet-stream", "metadata": {}})
            self.assertEqual(self.stored(said["uri"]).read_bytes(), body)

    def test_small_ones_of_which_one_is_wrong(self):
        store = self.many(20)
        body, etag, headers = store.objects["/b-one/k/007"]
        store.objects["/b-one/k/007"] = (body[:-1] + bytes([body[-1] ^ 1]), etag, headers)
        done, _ = self.downloads(store, rc=1)
        self.assertRegex(done.err, r"s3://b-one/k/007 has the MD5 .*, but what came has .*; try again")

    def test_small_one_replaced_after_the_listing(self):
        """The newest is what is wanted: it is looked for anew."""
        store = self.many(5)

        def before(s, r, n):
            if r.method == "GET" and r.path == "/b-one/k/003" and r.headers["if-match"] != '"new"':
                return xml_error(412, "PreconditionFailed")
            if r.path == "/b-one/k/003":
                s.objects[r.path] = (b"new bytes", '"new"', {})
            return None

        done, asked = self.downloads(store, before=before)
        self.assertEqual([m for m, path in asked if path == "k/003"], ["GET", "HEAD", "GET"])
        self.assertEqual(self.stored(self.outputs(done)["down"]["outputFiles"]["k/003"]).read_bytes(), b"new bytes")

    def test_checksums_of_pieces(self):
        """A checksum of the whole is put together from those of the pieces."""
        data = random.Random(5).randbytes(400_000) * 50 # 20 MB, three pieces
        sums = {"x-amz-checksum-crc32": struct.pack(">I", zlib.crc32(data)), "x-amz-checksum-sha256": hashlib.sha256(data).digest(), "x-amz-checksum-sha1": hashlib.sha1(data).digest()}
        for header, raw in sums.items():
            for wrong in (False, True):
                with self.subTest(header, wrong=wrong):
                    value = base64.b64encode(raw[:-1] + bytes([raw[-1] ^ wrong])).decode()

                    def answer(r, header=header, value=value):
                        if r.method == "HEAD":
                            return 200, {"ETag": '"e-3"', header: value, "Content-Length": str(len(data))}, data
                        begin, end = (int(n or len(data) - 1) for n in r.headers["range"].removeprefix("bytes=").split("-"))
                        return 206, {"ETag": '"e-3"'}, data[begin : end + 1]

                    done = self.play("  - {id: down, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k/large.bin}\n", answer, rc=int(wrong))
                    self.assertEqual(sum(r.method == "GET" for r in self.requests), 3)
                    if wrong:
                        self.assertRegex(done.err, r"s3://b-one/k/large.bin has the (CRC32|SHA1|SHA256) .*, but what came has .*; try again")
                    else:
                        self.assertEqual(self.stored(self.outputs(done)["down"]["uri"]).read_bytes(), data)

    def test_replaced(self):
        """An object that is replaced while it is read is an error, never a mix."""
        store = Store(before=lambda s, r, n: xml_error(412, "PreconditionFailed") if r.method == "GET" else None)
        store.put("/b-one/k/o", b"abc", '"0"', {})
        done = self.play("  - {id: down, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k/o}\n", store, rc=1)
        self.assertRegex(done.err, r"downloading s3://b-one/k/o: S3 answered 412")

    def test_strange_answers(self):
        """Not XML, endless nesting, an entity: one sentence, no crash."""
        for body in (b"<html>no", b"<a>" * 100000, b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"", b"\x00\xff" * 10):
            with self.subTest(body[:20]):
                self.play("  - {id: list, type: io.kestra.plugin.aws.s3.List, bucket: b-one}\n", lambda r, body=body: (200, {}, body), rc=1)

    def test_key_with_control_character(self):
        """XML cannot say it: the page is asked for again, encoded."""

        def answer(r):
            key = "a%01%2Bb" if r.query.get("encoding-type") == "url" else "a\x01+b"
            return 200, {}, f"<ListBucketResult><Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents></ListBucketResult>".encode()

        done = self.play("  - {id: list, type: io.kestra.plugin.aws.s3.List, bucket: b-one}\n", answer)
        self.assertEqual(keys(self.outputs(done)["list"]["objects"]), ["a\x01+b"])


if __name__ == "__main__":
    unittest.main()
