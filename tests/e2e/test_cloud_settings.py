"""What tasks of the clouds send for each of their settings, as the pages of the APIs want it; statements that are only tried; jobs that are stopped."""

import json
import signal
import subprocess
import time
import unittest

from scripted import Scripted
from sluice import PROGRAM, Case

GCS = "io.kestra.plugin.gcp.gcs."
BQ = "io.kestra.plugin.gcp.bigquery."


class Settings(Case):
    def task(self, server, rc=0, **properties):
        one = json.dumps({"id": "t", "projectId": "p1", **properties})
        done = self.flow(f"id: f\nnamespace: n\ntasks:\n  - {one}\n", "--output", "json", env=self.cloud(server))
        self.assertEqual(done.rc, rc, done)
        return json.loads(done.out.splitlines()[-1])["taskRuns"][0].get("outputs", {}) if rc == 0 else done.err

    def cloud(self, server):
        return {"STORAGE_EMULATOR_HOST": server.url, "BIGQUERY_EMULATOR_HOST": server.url, "NO_GCE_CHECK": "true"}

    BUCKET = {
        "storageClass": "NEARLINE", "location": "EU", "requesterPays": True, "versioningEnabled": True, "defaultEventBasedHold": True, "indexPage": "index.html", "notFoundPage": "404.html", "defaultKmsKeyName": "projects/p/k",
        "labels": {"team": "x"}, "retentionPeriod": 3600,
        "lifecycleRules": [{"condition": {"age": 30}, "action": {"type": "DELETE"}}, {"condition": {"age": 10}, "action": {"type": "SET_STORAGE_CLASS", "value": "COLDLINE"}}],
        "cors": [{"maxAgeSeconds": 60, "methods": ["GET"], "origins": ["https://a.example"], "responseHeaders": ["X-A"]}],
        "acl": [{"entity": {"type": "USER", "value": "a@b.c"}, "role": "OWNER"}], "defaultAcl": [{"entity": {"type": "DOMAIN", "value": "b.c"}, "role": "READER"}],
        "iamConfiguration": {"uniformBucketLevelAccessEnabled": False, "publicAccessPrevention": "ENFORCED"}, "logging": {"logBucket": "logs", "logObjectPrefix": "l/"},
    }
    SENT = {
        "storageClass": "NEARLINE", "location": "EU", "billing": {"requesterPays": True}, "versioning": {"enabled": True}, "defaultEventBasedHold": True, "website": {"mainPageSuffix": "index.html", "notFoundPage": "404.html"},
        "encryption": {"defaultKmsKeyName": "projects/p/k"}, "labels": {"team": "x"}, "retentionPolicy": {"retentionPeriod": "3600"},
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}, {"action": {"type": "SetStorageClass", "storageClass": "COLDLINE"}, "condition": {"age": 10}}]},
        "cors": [{"maxAgeSeconds": 60, "method": ["GET"], "origin": ["https://a.example"], "responseHeader": ["X-A"]}],
        "acl": [{"entity": "user-a@b.c", "role": "OWNER"}], "defaultObjectAcl": [{"entity": "domain-b.c", "role": "READER"}],
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}, "publicAccessPrevention": "enforced"}, "logging": {"logBucket": "logs", "logObjectPrefix": "l/"},
    }

    def test_buckets(self):
        there = []

        def answer(r):
            if r.method == "GET":
                return (200, {}, {"name": "b", "location": "EU"}) if there else (404, {}, {"error": {"code": 404, "message": "none"}})
            return 200, {}, {"name": "b", "location": "EU", **r.json()}

        with Scripted(answer) as s:
            out = self.task(s, type=GCS + "CreateBucket", name="b", **self.BUCKET)
            made = s.requests[-1]
            self.assertEqual((made.method, made.path, made.query, made.json()), ("POST", "/storage/v1/b", {"project": "p1"}, {"name": "b", **self.SENT}))
            self.assertEqual((out["bucket"], out["created"]), ({"name": "b", "uri": "gs://b", "location": "EU", "indexPage": "index.html", "notFoundPage": "404.html"}, True))
            there.append(True)
            self.assertIn("already exists", self.task(s, rc=1, type=GCS + "CreateBucket", name="b", **self.BUCKET))
            out = self.task(s, type=GCS + "CreateBucket", name="b", ifExists="UPDATE", **self.BUCKET)
            self.assertEqual((s.requests[-1].method, s.requests[-1].path, s.requests[-1].json(), out["updated"]), ("PATCH", "/storage/v1/b/b", self.SENT, True))
            # What is false is told; what is not there is left as it is.
            self.task(s, type=GCS + "UpdateBucket", name="b", versioningEnabled=False, requesterPays="{{ 1 == 2 }}", defaultEventBasedHold=False, indexPage="i")
            self.assertEqual(s.requests[-1].json(), {"billing": {"requesterPays": False}, "versioning": {"enabled": False}, "defaultEventBasedHold": False, "website": {"mainPageSuffix": "i"}})
            self.task(s, type=GCS + "UpdateBucket", name="b", labels={"a": "b"})
            self.assertEqual(s.requests[-1].json(), {"labels": {"a": "b"}})
        done = self.flow(f"id: f\nnamespace: n\ntasks: [{{id: t, type: {GCS}UpdateBucket, name: b, versioningEnabled: maybe}}]\n")
        self.assertRegex(done.err, "'versioningEnabled' must be true or false, not 'maybe'")

    def test_datasets(self):
        with Scripted(lambda r: (200, {}, {"datasetReference": {"projectId": "p1", "datasetId": "d"}, **(r.json() if r.body else {})})) as s:
            acl = [{"entity": {"type": "GROUP", "value": "g@b.c"}, "role": "WRITER"}, {"entity": {"type": "USER", "value": "u@b.c"}, "role": "READER"}, {"entity": {"type": "DOMAIN", "value": "b.c"}, "role": "READER"},
                   {"entity": {"type": "IAM_MEMBER", "value": "user:x@b.c"}, "role": "OWNER"}]
            self.task(s, type=BQ + "CreateDataset", name="d", location="EU", acl=acl, description="why", friendlyName="D", labels={"a": "b"}, defaultTableLifetime=3600000, defaultPartitionExpirationMs=7200000,
                      defaultEncryptionConfiguration={"kmsKeyName": "k"})
            self.assertEqual(next(r for r in s.requests if r.method == "POST").json(), {
                "datasetReference": {"projectId": "p1", "datasetId": "d"}, "location": "EU", "description": "why", "friendlyName": "D", "labels": {"a": "b"}, "defaultTableExpirationMs": "3600000", "defaultPartitionExpirationMs": "7200000",
                "defaultEncryptionConfiguration": {"kmsKeyName": "k"},
                "access": [{"groupByEmail": "g@b.c", "role": "WRITER"}, {"userByEmail": "u@b.c", "role": "READER"}, {"domain": "b.c", "role": "READER"}, {"iamMember": "user:x@b.c", "role": "OWNER"}],
            })

    def table(self, s, **properties):
        out = self.task(s, dataset="d", table="t", **properties)
        return [r for r in s.requests if r.method != "GET"][-1].json(), out

    def test_tables(self):
        made = {}

        def answer(r):
            made.update(r.json() if r.body else {})
            return 200, {}, {**made, "numRows": "3"}

        ref = {"tableReference": {"projectId": "p1", "datasetId": "d", "tableId": "t"}}
        fields = [{"name": "a", "type": "INT64", "mode": "REQUIRED", "description": "A"}, {"name": "r", "type": "RECORD", "mode": "REPEATED", "subFields": [{"name": "b", "type": "STRING"}]}]
        with Scripted(answer) as s:
            body, out = self.table(s, type=BQ + "CreateTable", tableDefinition={"type": "EXTERNAL", "schema": {"fields": fields}, "externalTableDefinition": {"formatType": "JSON", "sourceUris": ["gs://b/*"], "autodetect": False, "maxBadRecords": 2}})
            external = body.pop("externalDataConfiguration")
            self.assertEqual(body, ref)
            self.assertEqual({k: external[k] for k in ("sourceFormat", "sourceUris", "autodetect", "maxBadRecords")}, {"sourceFormat": "NEWLINE_DELIMITED_JSON", "sourceUris": ["gs://b/*"], "autodetect": False, "maxBadRecords": 2})
            self.assertEqual([f["name"] for f in external["schema"]["fields"]], ["a", "r"])
            self.assertEqual(external["schema"]["fields"][1]["fields"][0]["name"], "b")
            self.assertEqual((out["table"], out["numRows"]), ("t", 3))
            made.clear()
            body, _ = self.table(s, type=BQ + "CreateTable", tableDefinition={"type": "VIEW", "viewDefinition": {"query": "select 1"}}, friendlyName="T", requirePartitionFilter=True, labels={"x": "y"})
            self.assertEqual(body, {**ref, "view": {"query": "select 1", "useLegacySql": False}, "friendlyName": "T", "requirePartitionFilter": True, "labels": {"x": "y"}})
            body, _ = self.table(s, type=BQ + "CreateTable", tableDefinition={"type": "TABLE", "schema": {"fields": fields}, "standardTableDefinition": {"clustering": ["a"], "timePartitioning": {"type": "DAY", "field": "d", "expiration": "P1D"}}})
            self.assertEqual((body["clustering"], body["timePartitioning"]), ({"fields": ["a"]}, {"type": "DAY", "field": "d", "expirationMs": "86400000"}))
            self.assertEqual(body["schema"]["fields"][0], {"name": "a", "type": "INT64", "mode": "REQUIRED", "description": "A"})

    def test_values_of_all_types(self):
        names = ["i", "f", "nan", "ninf", "n", "big", "b", "s", "y", "d", "t", "dt", "ts", "old", "j", "arr", "rec", "null"]
        types = ["INTEGER", "FLOAT", "FLOAT", "FLOAT", "NUMERIC", "BIGNUMERIC", "BOOLEAN", "STRING", "BYTES", "DATE", "TIME", "DATETIME", "TIMESTAMP", "TIMESTAMP", "JSON", "INTEGER", "RECORD", "STRING"]
        values = ["-9223372036854775808", "1.5E-7", "NaN", "-Infinity", "123.450", "0.123456789012345678901234567890", "true", "\u00e9", "AAE=", "2024-02-29", "10:11:12.000001", "2024-02-29T10:11:12", "1709201472123456", "-1", "{\"a\": [1]}",
                  [{"v": "1"}, {"v": "2"}], {"f": [{"v": "x"}]}, None]
        schema = {"fields": [{"name": n, "type": t, **({"mode": "REPEATED"} if n == "arr" else {}), **({"fields": [{"name": "k", "type": "STRING"}]} if t == "RECORD" else {})} for n, t in zip(names, types)]}

        def answer(r):
            if r.method == "POST":
                return 200, {}, {"jobReference": r.json()["jobReference"], "status": {"state": "DONE"}, "configuration": {"query": {"destinationTable": {"projectId": "p1", "datasetId": "_", "tableId": "anon"}}}, "statistics": {"query": {"statementType": "SELECT"}}}
            if "/queries/" in r.path or r.path.endswith("/data"):
                return 200, {}, {"jobComplete": True, "schema": schema, "totalRows": "1", "rows": [{"f": [{"v": v} for v in values]}]}
            return 200, {}, {"jobReference": {"projectId": "p1", "jobId": r.path.rsplit("/", 1)[1], "location": "EU"}, "status": {"state": "DONE"}, "configuration": {"query": {"destinationTable": {"projectId": "p1", "datasetId": "_", "tableId": "anon"}}},
                             "statistics": {"query": {"statementType": "SELECT"}}, "schema": schema}

        with Scripted(answer) as s:
            row = self.task(s, type=BQ + "Query", sql="select", fetchOne=True)["row"]
            self.assertEqual({k: row[k] for k in ("i", "f", "b", "s", "y", "arr", "rec", "null")}, {"i": -9223372036854775808, "f": 1.5e-7, "b": True, "s": "\u00e9", "y": "AAE=", "arr": [1, 2], "rec": {"k": "x"}, "null": None})
            self.assertEqual((row["d"], row["dt"][:19]), ("2024-02-29", "2024-02-29T10:11:12"))
            self.assertTrue(row["ts"].startswith("2024-02-29T10:11:12.123456"), row["ts"])
            self.assertTrue(row["old"].startswith("1969-12-31T23:59:59.999999"), row["old"])
            self.assertEqual(float(row["n"]), 123.45)
            self.assertIn("0.1234567890123456789", str(row["big"]))

    def test_statements_that_are_only_tried(self):
        with Scripted(lambda r: (200, {}, {"status": {"state": "DONE"}, "configuration": r.json()["configuration"], "statistics": {"totalBytesProcessed": "1234", "query": {"statementType": "SELECT"}}})) as s:
            for properties in ({"type": BQ + "Query", "sql": "select 1"}, {"type": BQ + "Copy", "operationType": "COPY", "sourceTables": ["p1.d.a"], "destinationTable": "p1.d.b"}):
                self.task(s, dryRun=True, **properties)
                self.assertTrue(s.requests[-1].json()["configuration"]["dryRun"])
            self.assertEqual(len(s.requests), 2)

    def test_jobs_that_are_stopped(self):
        """Ctrl-C while BigQuery works: its job is cancelled there."""
        state = {"asked": 0}

        def answer(r):
            if r.path.endswith("/cancel"):
                return 200, {}, {"job": {}}
            state["asked"] += 1
            reference = r.json()["jobReference"] if r.body else {"projectId": "p1", "jobId": r.path.rsplit("/", 1)[1]}
            return 200, {}, {"jobReference": {**reference, "location": "EU"}, "status": {"state": "RUNNING"}}

        for properties in ({"type": BQ + "Query", "sql": "select 1"}, {"type": BQ + "LoadFromGcs", "from": ["gs://b/x"], "destinationTable": "p1.d.t", "format": "CSV"},
                           {"type": BQ + "Copy", "operationType": "COPY", "sourceTables": ["p1.d.a"], "destinationTable": "p1.d.b"}, {"type": BQ + "ExtractToGcs", "sourceTable": "p1.d.a", "destinationUris": ["gs://b/x"]},
                           {"type": "io.kestra.plugin.core.templating.TemplatedTask", "spec": json.dumps({"type": BQ + "Query", "projectId": "p1", "sql": "select {{ 1 + 1 }}"})}):
            with self.subTest(properties["type"]), Scripted(answer) as s:
                state["asked"] = 0
                path = self.tmp / "flow.yaml"
                path.write_text(f"id: f\nnamespace: n\ntasks:\n  - {json.dumps({'id': 't', **({} if 'spec' in properties else {'projectId': 'p1'}), **properties})}\n")
                p = subprocess.Popen([PROGRAM, "run", path, "-q"], env=self.env(self.cloud(s)), cwd=self.tmp, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                end = time.monotonic() + 20
                while state["asked"] < 3 and time.monotonic() < end: # the answer that says where it runs is behind it
                    time.sleep(0.01)
                p.send_signal(signal.SIGINT)
                out, _ = p.communicate(timeout=30)
                self.assertEqual(p.returncode, 1, out)
                self.assertIn("KILLED", out)
                cancelled = [r for r in s.requests if r.path.endswith("/cancel")]
                self.assertEqual(len(cancelled), 1, [r.path for r in s.requests])
                self.assertEqual(cancelled[0].query, {"location": "EU"})


if __name__ == "__main__":
    unittest.main()
