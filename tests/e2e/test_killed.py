"""A user kills an execution: what it began elsewhere is ended there, and where that cannot be, its log says so."""

import contextlib
import json
import sqlite3
import time
import unittest

from scripted import Scripted, unpack
from server import Server
from sluice import Case

CORE = "io.kestra.plugin.core."
AWS = {"accessKeyId": "AKIDEXAMPLE", "secretKeyId": "secret-of-the-key", "region": "eu-central-1"}
REDSHIFT = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-of-the-key", "AWS_REGION": "eu-central-1"}


def flow(*tasks, head=""):
    return f"{head}id: f\nnamespace: tests\ntasks: {json.dumps(tasks)}\n"


def make(size):
    return {"id": "make", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "outputFiles": ["x"], "commands": [f"head -c {size} /dev/zero > x"]}


def calls(cloud, method):
    return [r for r in cloud.requests if r.method == method]


class Killed(Case):
    def when(self, is_so):
        for _ in range(500):
            if is_so():
                return
            time.sleep(0.02)
        self.fail("it did not come to that")

    def kill(self, server, text, began):
        """The messages of an execution that is killed when `began` says so."""
        server.flow(text)
        x = server.run("tests", "f", wait=False)
        self.when(began)
        self.assertEqual(server.call("DELETE", f"/executions/{x['id']}/kill").status, 202)
        server.until(x["id"], "KILLED")
        return [entry["message"] for entry in server.get(f"/logs/{x['id']}").json]

    def test_upload_to_gcs(self):
        def sessions():
            with contextlib.closing(sqlite3.connect(self.data / "local" / "cloud.db")) as db:
                return db.execute("SELECT count(*) FROM sessions").fetchone()[0]

        bucket = {"id": "b", "type": "io.kestra.plugin.gcp.gcs.CreateBucket", "projectId": "p", "name": "bucket"}
        self.ok(self.flow(flow(bucket), "--local", "-q"))
        up = {"id": "up", "type": "io.kestra.plugin.gcp.gcs.Upload", "projectId": "p", "from": "{{ outputs.make.outputFiles.x }}", "to": "gs://bucket/x"}
        with Server(self, "--local", env={"SLUICE_FAULT": "upload.after_session:1:sleep2000"}) as s:
            self.kill(s, flow(make(20_000_000), up), lambda: sessions() == 1)
            self.assertEqual(sessions(), 0)

    def test_upload_to_gcs_that_cannot_be_cancelled(self):
        answer = lambda r: (200, {"Location": f"http://{r.headers['host']}/session"}, b"") if r.method == "POST" else (403, {}, b"")
        up = {"id": "up", "type": "io.kestra.plugin.gcp.gcs.Upload", "projectId": "p", "from": "{{ outputs.make.outputFiles.x }}", "to": "gs://bucket/x"}
        with Scripted(answer) as cloud, Server(self, env={"STORAGE_EMULATOR_HOST": cloud.url, "NO_GCE_CHECK": "true", "SLUICE_FAULT": "upload.after_session:1:sleep2000"}) as s:
            said = self.kill(s, flow(make(20_000_000), up), lambda: calls(cloud, "POST"))
            self.assertEqual(len(calls(cloud, "DELETE")), 1)
            self.assertIn("the unfinished upload stays until its session ends in a week: cancelling it was answered with 403", said)

    def test_upload_to_s3_that_cannot_be_aborted(self):
        def answer(r):
            if r.method == "POST":
                return 200, {}, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return (200, {"ETag": '"e"', **unpack(r)[1]}, b"") if r.method == "PUT" else (403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

        with Scripted(answer) as cloud, Server(self, env={"SLUICE_FAULT": "upload.before_complete:1:sleep2000"}) as s:
            up = {"id": "up", "type": "io.kestra.plugin.aws.s3.Upload", **AWS, "endpointOverride": cloud.url, "from": "{{ outputs.make.outputFiles.x }}", "bucket": "bucket", "key": "x"}
            said = self.kill(s, flow(make(40_000_000), up), lambda: len(calls(cloud, "PUT")) == 5)
            self.assertEqual(len(calls(cloud, "DELETE")), 1)
            self.assertEqual(len([m for m in said if m.startswith("the parts of the upload to x stay; io.sluice.aws.s3.AbortUploads removes them: ") and "AccessDenied" in m]), 1, said)

    def test_job_of_bigquery_that_cannot_be_cancelled(self):
        def answer(r):
            if r.path.split("?")[0].endswith("/cancel"):
                return 403, {}, {"error": {"code": 403, "message": "no"}}
            return 200, {}, {"jobReference": {"projectId": "p", "jobId": "j", "location": "EU"}, "configuration": {"query": {"query": "SELECT 1"}}, "status": {"state": "RUNNING"}}

        query = {"id": "q", "type": "io.kestra.plugin.gcp.bigquery.Query", "projectId": "p", "sql": "SELECT 1"}
        with Scripted(answer) as cloud, Server(self, env={"BIGQUERY_EMULATOR_HOST": cloud.url, "NO_GCE_CHECK": "true"}) as s:
            said = self.kill(s, flow(query), lambda: calls(cloud, "GET"))
            self.assertTrue(any(m.startswith("job ") and m.endswith(" could not be cancelled (status 403); it may go on in BigQuery") for m in said), said)

    def test_statements_of_redshift(self):
        def answer(r):
            op = r.headers["x-amz-target"].split(".")[1]
            return 200, {}, {"ExecuteStatement": {"Id": "s1"}, "BatchExecuteStatement": {"Id": "s1"}, "CancelStatement": {"Status": True}}.get(op, {"Id": "s1", "Status": "STARTED"})

        of = lambda cloud, op: [json.loads(r.body) for r in cloud.requests if r.headers["x-amz-target"].endswith("." + op)]
        for task in ({"type": "io.kestra.plugin.jdbc.redshift.Query", "sql": "SELECT 1"}, {"type": "io.sluice.redshift.CopyFromS3", "table": "t", "from": "s3://bucket/x", "iamRole": "arn:aws:iam::123456789012:role/r"}):
            with self.subTest(task["type"]), Scripted(answer) as cloud, Server(self, env={**REDSHIFT, "AWS_ENDPOINT_URL_REDSHIFT_DATA": cloud.url}) as s:
                self.kill(s, flow({"id": "q", "workgroupName": "work", **task}), lambda: of(cloud, "DescribeStatement"))
                self.assertEqual(of(cloud, "CancelStatement"), [{"Id": "s1"}])

    def test_flows_of_a_file(self):
        child = "id: child\nnamespace: tests\ninputs: [{id: part, type: STRING}]\ntasks: [{id: z, type: " + CORE + "flow.Sleep, duration: PT1M}]\n"
        each = {"id": "each", "type": CORE + "flow.ForEachItem", "items": "{{ outputs.make.outputFiles.x }}", "batch": {"rows": 1}, "namespace": "tests", "flowId": "child", "inputs": {"part": "{{ taskrun.items }}"}}
        rows = {**make(1), "commands": ["printf 'a\\nb\\nc\\n' > x"]}
        with Server(self) as s:
            s.flow(child)
            running = lambda state: s.search(flowId="child", state=[state])["total"]
            self.kill(s, flow(rows, each), lambda: running("RUNNING") == 3)
            self.when(lambda: running("KILLED") == 3)


if __name__ == "__main__":
    unittest.main()
