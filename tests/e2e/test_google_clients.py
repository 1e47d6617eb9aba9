"""Google's own Python clients against `sluice local`: what it serves is what they expect.

They are installed by tools/get-google-clients into a virtual environment (GOOGLE_CLIENTS names its Python); where that
cannot be had, the test is skipped and says so.
"""

import json
import os
import pathlib
import subprocess
import unittest

from sluice import Case, LocalCloud

PYTHON = os.environ.get("GOOGLE_CLIENTS", "")

SCRIPT = r'''
import io, json, os, sys
from google.api_core import exceptions
from google.cloud import bigquery, storage
from google.oauth2 import service_account
from google.auth.transport.requests import Request

url, key = sys.argv[1], sys.argv[2]
creds = service_account.Credentials.from_service_account_file(key, scopes=["https://www.googleapis.com/auth/cloud-platform"])
creds.refresh(Request())          # a JWT signed by google-auth, checked by the local cloud
assert creds.token

gcs = storage.Client(project="local-project", credentials=creds, client_options={"api_endpoint": url})
bucket = gcs.create_bucket("official-client-bucket", location="europe-west2")
try:
    gcs.create_bucket("official-client-bucket")
    raise SystemExit("a bucket was made twice")
except exceptions.Conflict:
    pass

blob = bucket.blob("small/a b.txt")
blob.upload_from_string("hello", content_type="text/plain", checksum="crc32c")
assert blob.download_as_bytes() == b"hello"
large = os.urandom(1 << 20) * 20
blob = bucket.blob("large.bin", chunk_size=4 << 20)     # resumable, in five pieces
blob.upload_from_file(io.BytesIO(large), size=len(large), checksum="crc32c")
assert blob.download_as_bytes() == large
assert blob.download_as_bytes(start=5, end=14) == large[5:15]
try:
    bucket.blob("large.bin").upload_from_string("x", if_generation_match=0)
    raise SystemExit("a precondition was ignored")
except exceptions.PreconditionFailed:
    pass
for i in range(7):
    bucket.blob(f"many/{i}").upload_from_string(str(i))
assert [b.name for b in gcs.list_blobs(bucket, prefix="many/", page_size=3)] == [f"many/{i}" for i in range(7)]
pages = gcs.list_blobs(bucket, delimiter="/")
assert [b.name for b in pages] == ["large.bin"] and pages.prefixes == {"many/", "small/"}
bucket.blob("composed").compose([bucket.blob("many/1"), bucket.blob("many/2")])
assert bucket.blob("composed").download_as_bytes() == b"12"
bucket.copy_blob(bucket.blob("composed"), bucket, "copied")
bucket.blob("composed").delete()
assert not bucket.blob("composed").exists() and bucket.blob("copied").exists()

bq = bigquery.Client(project="local-project", credentials=creds, client_options={"api_endpoint": url}, location="europe-west2")
dataset = bigquery.Dataset("local-project.clients")
dataset.location = "europe-west2"
bq.create_dataset(dataset)
bucket.blob("t.csv").upload_from_string("n,s\r\n1,a\r\n2,\"b, c\"\r\n3,\r\n")
table = bigquery.Table("local-project.clients.ext", schema=[bigquery.SchemaField("n", "INT64"), bigquery.SchemaField("s", "STRING")])
external = bigquery.ExternalConfig("CSV")
external.source_uris = ["gs://official-client-bucket/t.csv"]
external.options.skip_leading_rows = 1
table.external_data_configuration = external
bq.create_table(table)
assert [tuple(r) for r in bq.query_and_wait("SELECT n, s FROM clients.ext ORDER BY n")] == [(1, "a"), (2, "b, c"), (3, "")]

bq.query_and_wait("CREATE TABLE clients.t (n INT64, s STRING, ts TIMESTAMP, x NUMERIC)")
job = bq.query("MERGE clients.t T USING clients.ext S ON T.n = S.n WHEN NOT MATCHED THEN INSERT (n, s) VALUES (S.n, S.s)")
job.result()
assert job.num_dml_affected_rows == 3, job.num_dml_affected_rows
bq.query_and_wait("UPDATE clients.t SET ts = TIMESTAMP '2024-01-02 03:04:05.678901 UTC', x = 1.25 WHERE n = 1")
row = list(bq.query_and_wait("SELECT ts, x FROM clients.t WHERE n = 1"))[0]
assert row.ts.isoformat() == "2024-01-02T03:04:05.678901+00:00" and str(row.x) == "1.25", row

load = bq.load_table_from_uri("gs://official-client-bucket/t.csv", "local-project.clients.loaded",
    job_config=bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=[bigquery.SchemaField("n", "INT64"), bigquery.SchemaField("s", "STRING")]))
load.result()
assert load.output_rows == 3
csv = b"n,s\n" + b"".join(b"%d,text\n" % i for i in range(200000))
for n, data in ((3, b"n,s\n1,a\n2,b\n3,c\n"), (200000, csv)):     # in one request, and resumable
    sent = bq.load_table_from_file(io.BytesIO(data), "local-project.clients.sent", size=len(data), rewind=True,
        job_config=bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, write_disposition="WRITE_TRUNCATE", schema=[bigquery.SchemaField("n", "INT64"), bigquery.SchemaField("s", "STRING")]))
    sent.result()
    assert sent.output_rows == n, sent.output_rows
sent = bq.load_table_from_file(io.BytesIO(csv), "local-project.clients.sent2", job_config=bigquery.LoadJobConfig(source_format="CSV", autodetect=True))
sent.result()
assert sent.output_rows == 200000, sent.output_rows
script = bq.query("CREATE TABLE clients.s (n INT64); INSERT INTO clients.s (n) VALUES (1), (2); SELECT SUM(n) FROM clients.s")
assert [tuple(r) for r in script.result()] == [(3,)]
assert [j.statement_type for j in bq.list_jobs(parent_job=script)] == ["SELECT", "INSERT", "CREATE_TABLE"]
bq.extract_table("local-project.clients.loaded", "gs://official-client-bucket/out-*.csv").result()
assert bucket.blob("out-000000000000.csv").download_as_text().splitlines()[0] == "n,s"
bq.copy_table("local-project.clients.loaded", "local-project.clients.copied").result()
assert bq.get_table("local-project.clients.copied").num_rows == 3
rows = bq.query("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS n ORDER BY n").result(page_size=1000)
got = [r.n for r in rows]
assert got == list(range(1, 2501)), (len(got), got[:5], got[998:1004])
assert len(list(bq.list_rows("local-project.clients.loaded", page_size=2))) == 3
try:
    bq.query("SELECT * FROM clients.nowhere").result()
    raise SystemExit("a missing table was found")
except exceptions.NotFound:
    pass
try:
    bq.query("SELEC 1").result()
    raise SystemExit("bad SQL was accepted")
except exceptions.BadRequest:
    pass
bucket.blob("bad.csv").upload_from_string("n\nx\n")
bad = bq.load_table_from_uri("gs://official-client-bucket/bad.csv", "local-project.clients.bad", job_config=bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=[bigquery.SchemaField("n", "INT64")]))
try:
    bad.result()
    raise SystemExit("a bad row was loaded")
except exceptions.BadRequest as e:
    assert "Error while reading data" in str(e), e
assert bq.query("SELECT 1", job_config=bigquery.QueryJobConfig(dry_run=True)).total_bytes_processed == 0

# Rows as JSON at once: what is wrong is told row by row, and an id that comes again is not another row.
F = bigquery.SchemaField
bq.create_table(bigquery.Table("local-project.clients.rows", schema=[F("id", "INT64", mode="REQUIRED"), F("s", "STRING"), F("ts", "TIMESTAMP"), F("n", "NUMERIC"), F("raw", "BYTES"), F("tags", "STRING", mode="REPEATED"),
    F("rec", "RECORD", fields=[F("x", "INT64")])]))
first = {"id": 1, "s": "a", "ts": "2024-01-01 00:00:00 UTC", "n": "1.5", "raw": "/w==", "tags": ["x", "y"], "rec": {"x": 7}}
for _ in range(2):
    assert bq.insert_rows_json("local-project.clients.rows", [first, {"id": 2}], row_ids=["one", "two"]) == []
assert [(r.id, r.s, str(r.ts), str(r.n), r.raw, r.tags, r.rec) for r in bq.query_and_wait("SELECT * FROM clients.rows WHERE id = 1")] == [(1, "a", "2024-01-01 00:00:00+00:00", "1.5", b"\xff", ["x", "y"], {"x": 7})]
def wrong(rows, **more):
    return [(e["index"], e["errors"][0]["reason"], e["errors"][0]["message"]) for e in bq.insert_rows_json("local-project.clients.rows", rows, **more)]
assert wrong([{"id": 3}, {"id": 4, "no": 1}, {"s": "x"}]) == [(1, "invalid", "no such field: no."), (2, "invalid", "Missing required field: id."), (0, "stopped", "")]
assert [e[:2] for e in wrong([{"id": 3}, {"id": "x"}], skip_invalid_rows=True)] == [(1, "invalid")]
assert wrong([{"id": 5, "no": 1}], ignore_unknown_values=True) == []
assert [r.id for r in bq.query_and_wait("SELECT id FROM clients.rows ORDER BY id")] == [1, 2, 3, 5]

# Parameters, by name and by place.
import datetime, decimal
P, A = bigquery.ScalarQueryParameter, bigquery.ArrayQueryParameter
def ask(sql, *parameters):
    return [tuple(r.values()) for r in bq.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=parameters)).result()]
at = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
assert ask("SELECT @a + 1, @s, @d, @n, @b, @ts, @none IS NULL, @raw", P("a", "INT64", 4), P("s", "STRING", "it's -- 'not' code"), P("d", "DATE", at.date()), P("n", "NUMERIC", decimal.Decimal("1.25")), P("b", "BOOL", True),
    P("ts", "TIMESTAMP", at), P("none", "INT64", None), P("raw", "BYTES", b"\x00\xff")) == [(5, "it's -- 'not' code", at.date(), decimal.Decimal("1.25"), True, at, True, b"\x00\xff")]
assert ask("SELECT ?, ? * 2, '?'", P(None, "STRING", "x"), P(None, "INT64", 4)) == [("x", 8, "?")]
assert ask("SELECT id FROM clients.rows WHERE id IN UNNEST(@ids) ORDER BY id", A("ids", "INT64", [5, 1, 9])) == [(1,), (5,)]
assert ask("SELECT ARRAY_LENGTH(@l)", A("l", "STRING", [])) == [(0,)]
assert ask("SELECT @s.x, @s.y", bigquery.StructQueryParameter("s", P("x", "INT64", 1), P("y", "STRING", "b"))) == [(1, "b")]
for sql, words in (("SELECT @missing", "'missing' not found"), ("SELECT ?", "Not enough positional parameters")):
    try:
        ask(sql)
        raise SystemExit("a parameter was not given, and none was missed")
    except exceptions.BadRequest as e:
        assert words in str(e), e

# Columns that come later.
def add(rows, **config):
    return bq.load_table_from_json(rows, "local-project.clients.grown", job_config=bigquery.LoadJobConfig(write_disposition="WRITE_APPEND", **config)).result()
add([{"id": 1}], schema=[F("id", "INT64", mode="REQUIRED")])
try:
    add([{"id": 2, "more": "x"}], schema=[F("id", "INT64"), F("more", "STRING")])
    raise SystemExit("a column was added that nobody allowed")
except exceptions.BadRequest as e:
    assert "Cannot add fields (field: more)" in str(e), e
add([{"id": 2, "more": "x"}, {"more": "y"}], schema=[F("id", "INT64"), F("more", "STRING")], schema_update_options=["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"])
bq.query("SELECT 'q' AS more, 9 AS id, TRUE AS last", job_config=bigquery.QueryJobConfig(destination="local-project.clients.grown", write_disposition="WRITE_APPEND", schema_update_options=["ALLOW_FIELD_ADDITION"])).result()
assert [tuple(r.values()) for r in bq.query_and_wait("SELECT * FROM clients.grown ORDER BY id NULLS LAST")] == [(1, None, None), (2, "x", None), (9, "q", True), (None, "y", None)]
assert [p.project_id for p in bq.list_projects()] == ["local-project"] and list(bq.list_routines("clients")) == []
assert [b.name for b in gcs.list_blobs(bucket, match_glob="many/[12]")] == ["many/1", "many/2"] and [b.name for b in gcs.list_blobs(bucket, match_glob="*.csv", prefix="t")] == ["t.csv"]
bq.delete_dataset("clients", delete_contents=True)
bucket.delete(force=True)
print("all is well")
'''


class GoogleClients(Case):
    @unittest.skipUnless(PYTHON and pathlib.Path(PYTHON).exists(), "SKIPPED: Google's Python clients are not installed; tools/get-google-clients installs them")
    def test_the_official_clients(self):
        script = self.tmp / "clients.py"
        script.write_text(SCRIPT)
        with LocalCloud(self) as cloud:
            done = subprocess.run([PYTHON, str(script), cloud.url, str(self.data / "local" / "service-account.json")], env=self.env(), capture_output=True, text=True, timeout=300)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "all is well"), done.stderr[-3000:])

    @unittest.skipUnless(PYTHON and pathlib.Path(PYTHON).exists(), "SKIPPED: Google's Python clients are not installed; tools/get-google-clients installs them")
    def test_in_a_flow(self):
        """A script finds the local cloud by itself, as the tasks beside it do."""
        script = (
            "from google.cloud import bigquery, storage\n"
            "blob = storage.Client().create_bucket('from-a-script').blob('x')\n"
            "blob.upload_from_string('hello')\n"
            "print(blob.download_as_text(), [tuple(r) for r in bigquery.Client().query('SELECT 1 + 1').result()])\n"
        )
        runner = {"type": "io.kestra.plugin.core.runner.Process"}
        tasks = [
            {"id": "script", "type": "io.kestra.plugin.scripts.python.Script", "taskRunner": runner, "env": {"VIRTUAL_ENV": str(pathlib.Path(PYTHON).parents[1])}, "script": script},
            {"id": "list", "type": "io.kestra.plugin.gcp.gcs.List", "from": "gs://from-a-script/"},
            {"id": "own", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": runner, "env": {"AWS_REGION": "mars"}, "commands": ["echo $AWS_REGION ${AWS_ENDPOINT_URL%:*} ${AWS_ACCESS_KEY_ID%%[A-Z0-9]*}. $REDSHIFT_DATABASE"]},
        ]
        flow = self.tmp / "flow.yaml"
        flow.write_text(json.dumps({"id": "f", "namespace": "n", "tasks": tasks}))
        done = self.ok(self.sluice("run", "--local", flow))
        self.assertIn("script: hello [(2,)]", done.err)
        self.assertIn("1 objects at gs://from-a-script/", done.err)
        self.assertIn("own: mars http://127.0.0.1 . dev", done.err, "what the task says wins")
        flow.write_text(json.dumps({"id": "f", "namespace": "n", "tasks": tasks[2:]}))
        self.assertIn("own: mars .", self.ok(self.sluice("run", flow)).err, "not without --local")


if __name__ == "__main__":
    unittest.main()
