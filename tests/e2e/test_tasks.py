"""Every Cloud Storage and BigQuery task on the local cloud, and the README's example."""

import base64
import hashlib
import json
import re
import unittest

from sluice import EXAMPLES, ROOT, Case, LocalCloud

HEAD = """
id: tasks
namespace: examples
pluginDefaults:
  - type: io.kestra.plugin.gcp
    values: {projectId: local-project, location: europe-west2, serviceAccount: "{{ secret('GCP_CREDS') }}"}
tasks:
"""


class Tasks(Case):
    def run_tasks(self, tasks, outputs="", ok=True):
        done = self.flow(HEAD + tasks + ("outputs:\n" + outputs if outputs else ""), "--local", "--output", "json")
        self.assertEqual(done.rc == 0, ok, done)
        return json.loads(done.out).get("outputs", {}) if ok else done

    def test_objects(self):
        out = self.run_tasks(
            """
  - {id: bucket, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt1, location: europe-west2}
  - id: files
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: ["*.txt"]
    commands: ["printf one > one.txt", "printf two > 'two words.txt'"]
  - {id: up1, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{ outputs.files.outputFiles['one.txt'] }}", to: "gs://bkt1/dir/one.txt", contentType: text/plain}
  - {id: up2, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{ outputs.files.outputFiles['two words.txt'] }}", to: "gs://bkt1/dir/two words.txt"}
  - {id: list, type: io.kestra.plugin.gcp.gcs.List, from: "gs://bkt1/dir/"}
  - {id: top, type: io.kestra.plugin.gcp.gcs.List, from: "gs://bkt1/", filter: DIRECTORY}
  - {id: compose, type: io.kestra.plugin.gcp.gcs.Compose, list: {from: "gs://bkt1/dir/"}, to: "gs://bkt1/both.txt"}
  - {id: down, type: io.kestra.plugin.gcp.gcs.Download, from: "gs://bkt1/both.txt"}
  - {id: copy, type: io.kestra.plugin.gcp.gcs.Copy, from: "gs://bkt1/both.txt", to: "gs://bkt1/moved/both.txt", delete: true}
  - {id: gone, type: io.kestra.plugin.gcp.gcs.Delete, uri: "gs://bkt1/both.txt"}
  - {id: downs, type: io.kestra.plugin.gcp.gcs.Downloads, from: "gs://bkt1/dir/", action: MOVE, moveDirectory: "gs://bkt1/done/"}
  - {id: left, type: io.kestra.plugin.gcp.gcs.List, from: "gs://bkt1/dir/"}
  - {id: done, type: io.kestra.plugin.gcp.gcs.List, from: "gs://bkt1/", listingType: RECURSIVE, regExp: "gs://bkt1/done/.*"}
  - {id: wipe, type: io.kestra.plugin.gcp.gcs.DeleteList, from: "gs://bkt1/done/", concurrent: 4}
  - {id: update, type: io.kestra.plugin.gcp.gcs.UpdateBucket, name: bkt1, labels: {team: data}}
  - {id: iam, type: io.kestra.plugin.gcp.gcs.CreateBucketIamPolicy, name: bkt1, member: "user:a@example.com", role: roles/storage.objectViewer}
  - {id: iam2, type: io.kestra.plugin.gcp.gcs.CreateBucketIamPolicy, name: bkt1, member: "user:a@example.com", role: roles/storage.objectViewer}
  - {id: drop, type: io.kestra.plugin.gcp.gcs.DeleteBucket, name: bkt1, force: true}
""",
            """
  - {id: md5, type: STRING, value: "{{ outputs.up1.md5 }}"}
  - {id: listed, type: STRING, value: "{{ outputs.list.blobs | jq('[.[].name]') | first }}"}
  - {id: top, type: STRING, value: "{{ outputs.top.blobs[0].name }}"}
  - {id: text, type: STRING, value: "{{ read(outputs.down.uri) }}"}
  - {id: copied, type: STRING, value: "{{ outputs.copy.uri }}"}
  - {id: gone, type: STRING, value: "{{ outputs.gone.deleted }}"}
  - {id: moved, type: STRING, value: "{{ read(outputs.downs.outputFiles['dir/two words.txt']) }}"}
  - {id: left, type: STRING, value: "{{ outputs.left.blobs | length }}"}
  - {id: done, type: STRING, value: "{{ outputs.done.blobs | length }}"}
  - {id: wiped, type: STRING, value: "{{ outputs.wipe.count }} {{ outputs.wipe.size }}"}
  - {id: iam, type: STRING, value: "{{ outputs.iam.created }} {{ outputs.iam2.created }}"}
  - {id: dropped, type: STRING, value: "{{ outputs.drop.bucketUri }}"}
""",
        )
        self.assertEqual(out["md5"], base64.b64encode(hashlib.md5(b"one").digest()).decode())
        self.assertEqual(json.loads(out["listed"]), ["dir/one.txt", "dir/two words.txt"])
        self.assertEqual(out["top"], "dir/")
        self.assertEqual(out["text"], "onetwo")
        self.assertEqual(out["copied"], "gs://bkt1/moved/both.txt")
        self.assertEqual(out["gone"], "false")
        self.assertEqual(out["moved"], "two")
        self.assertEqual((out["left"], out["done"]), ("0", "2"))
        self.assertEqual(out["wiped"], "2 6")
        self.assertEqual(out["iam"], "true false")
        self.assertEqual(out["dropped"], "gs://bkt1")

    def test_tables(self):
        out = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}
  - {id: b, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt2, location: europe-west2}
  - id: make
    type: io.kestra.plugin.gcp.bigquery.CreateTable
    dataset: d
    table: t
    description: for a test
    tableDefinition:
      type: TABLE
      schema: {fields: [{name: n, type: INT64, mode: REQUIRED}, {name: s, type: STRING}]}
      standardTableDefinition: {clustering: [s]}
  - {id: fill, type: io.kestra.plugin.gcp.bigquery.Query, sql: "INSERT INTO d.t (n, s) VALUES (1, 'a'), (2, 'b, c')"}
  - {id: extract, type: io.kestra.plugin.gcp.bigquery.ExtractToGcs, sourceTable: d.t, destinationUris: ["gs://bkt2/t-*.csv"]}
  - {id: down, type: io.kestra.plugin.gcp.gcs.Download, from: "gs://bkt2/t-000000000000.csv"}
  - id: load
    type: io.kestra.plugin.gcp.bigquery.LoadFromGcs
    from: ["gs://bkt2/t-*.csv"]
    destinationTable: d.loaded
    format: CSV
    csvOptions: {skipLeadingRows: 1}
    schema: {fields: [{name: n, type: INT64}, {name: s, type: STRING}]}
  - {id: copy, type: io.kestra.plugin.gcp.bigquery.Copy, sourceTables: [d.t, d.loaded], destinationTable: local-project.d.copied, writeDisposition: WRITE_TRUNCATE}
  - {id: count, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH_ONE, sql: "SELECT COUNT(*) AS n, SUM(n) AS s FROM d.copied"}
  - {id: change, type: io.kestra.plugin.gcp.bigquery.UpdateTable, dataset: d, table: t, friendlyName: T}
  - {id: about, type: io.kestra.plugin.gcp.bigquery.TableMetadata, dataset: d, table: t}
  - {id: nothing, type: io.kestra.plugin.gcp.bigquery.TableMetadata, dataset: d, table: nowhere, ifNotExists: SKIP}
  - {id: rename, type: io.kestra.plugin.gcp.bigquery.UpdateDataset, name: d, friendlyName: D}
  - {id: drop, type: io.kestra.plugin.gcp.bigquery.DeleteTable, dataset: d, table: t}
  - {id: all, type: io.kestra.plugin.gcp.bigquery.DeleteDataset, name: d, deleteContents: true}
""",
            """
  - {id: csv, type: STRING, value: "{{ read(outputs.down.uri) }}"}
  - {id: files, type: STRING, value: "{{ outputs.extract.fileCounts[0] }}"}
  - {id: loaded, type: STRING, value: "{{ outputs.load.rows }} {{ outputs.load.destinationTable }}"}
  - {id: count, type: STRING, value: "{{ outputs.count.row.n }} {{ outputs.count.row.s }}"}
  - {id: about, type: STRING, value: "{{ outputs.about.friendlyName }} {{ outputs.about.description }} {{ outputs.about.numRows }} {{ outputs.about.definition.schema.fields[0].mode }}"}
  - {id: nothing, type: STRING, value: "{{ outputs.nothing.table ?? 'none' }}"}
  - {id: renamed, type: STRING, value: "{{ outputs.rename.friendlyName }}"}
  - {id: dropped, type: STRING, value: "{{ outputs.drop.table }}"}
""",
        )
        self.assertEqual(out["csv"].splitlines(), ["n,s", "1,a", '2,"b, c"'])
        self.assertEqual(out["files"], "1")
        self.assertEqual(out["loaded"], "2 local-project.d.loaded")
        self.assertEqual(out["count"], "4 6")
        self.assertEqual(out["about"], "T for a test 2 REQUIRED")
        self.assertEqual(out["nothing"], "none")
        self.assertEqual((out["renamed"], out["dropped"]), ("D", "t"))

    def test_a_file_is_loaded_without_a_bucket(self):
        out = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}
  - id: files
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: ["*.csv"]
    commands: ["(echo n,s; seq 1 900000 | sed 's/$/,some text that makes the file larger than one chunk of it/') > big.csv", ": > empty.csv"]
  - id: load
    type: io.kestra.plugin.gcp.bigquery.Load
    from: "{{ outputs.files.outputFiles['big.csv'] }}"
    destinationTable: d.big
    format: CSV
    csvOptions: {skipLeadingRows: 1}
    schema: {fields: [{name: n, type: INT64}, {name: s, type: STRING}]}
  - {id: sum, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH_ONE, sql: "SELECT SUM(n) AS s FROM d.big"}
  - {id: none, type: io.kestra.plugin.gcp.bigquery.Load, from: "{{ outputs.files.outputFiles['empty.csv'] }}", destinationTable: d.none, format: CSV, failedOnEmpty: false}
""",
            """
  - {id: loaded, type: STRING, value: "{{ outputs.load.rows }} {{ outputs.load.destinationTable }} {{ outputs.none.rows }}"}
  - {id: sum, type: STRING, value: "{{ outputs.sum.row.s }}"}
""",
        )
        self.assertEqual(out["loaded"], "900000 local-project.d.big 0")
        self.assertEqual(out["sum"], str(900000 * 900001 // 2))
        chunks = [r for r in self.ledger() if r["method"] == "PUT" and r["target"].startswith("/upload/bigquery/")]
        self.assertEqual([r["status"] for r in chunks], [200])
        blobs = list((self.data / "local" / "blobs").rglob("*"))
        self.assertEqual([b for b in blobs if b.is_file()], [], "the file is let go of when the job is done")

    def test_an_empty_file_is_refused(self):
        done = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}
  - {id: sh, type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}, outputFiles: [e.csv], commands: [": > e.csv"]}
  - {id: load, type: io.kestra.plugin.gcp.bigquery.Load, from: "{{ outputs.sh.outputFiles['e.csv'] }}", destinationTable: d.e, format: CSV}
""",
            ok=False,
        )
        self.assertIn("is empty, so nothing can be loaded into 'd.e'", done.err)
        self.assertFalse([r for r in self.ledger() if "/jobs" in r["target"]])

    def test_partitions(self):
        out = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}
  - id: make
    type: io.kestra.plugin.gcp.bigquery.Query
    sql: |
      CREATE TABLE d.days (time_at TIMESTAMP, n INT64) PARTITION BY DATE(time_at);
      INSERT INTO d.days (time_at, n) VALUES (TIMESTAMP '2024-01-01 10:00:00+00', 1), (TIMESTAMP '2024-01-02 10:00:00+00', 2), (TIMESTAMP '2024-01-03 23:59:59+00', 4), (TIMESTAMP '2024-02-01 00:00:00+00', 8);
      CREATE TABLE d.words (analyze INT64, lambda STRING, `order` INT64);
      INSERT INTO d.words (analyze, lambda, `order`) SELECT 1 AS analyze, 'x' AS lambda, 2;
      CREATE TABLE d.ranges (n INT64) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 100, 10));
      INSERT INTO d.ranges (n) VALUES (3), (17), (25), (99);
  - {id: copy, type: io.kestra.plugin.gcp.bigquery.CopyPartitions, dataset: d, table: days, partitionType: DAY, from: "2024-01-02T00:00", to: "2024-01-31T00:00:00", destinationTable: d.some}
  - {id: sum, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH_ONE, sql: "SELECT SUM(n) AS s FROM d.some"}
  - {id: empty, type: io.kestra.plugin.gcp.bigquery.CopyPartitions, dataset: d, table: days, partitionType: DAY, from: "2023-01-02T00:00", to: "2023-01-31T00:00", destinationTable: d.none, skipEmpty: true}
  - {id: drop, type: io.kestra.plugin.gcp.bigquery.DeletePartitions, dataset: d, table: ranges, partitionType: RANGE, from: "10", to: "20"}
  - {id: left, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH, sql: "SELECT n FROM d.ranges ORDER BY n"}
  - {id: words, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH_ONE, sql: "SELECT w.analyze, lambda, `order` FROM d.words w WHERE analyze = 1"}
  - {id: info, type: io.kestra.plugin.gcp.bigquery.Query, fetchType: FETCH, sql: "SELECT table_name, column_name, data_type FROM d.INFORMATION_SCHEMA.COLUMNS WHERE is_partitioning_column = 'YES' ORDER BY 1"}
""",
            """
  - {id: copied, type: STRING, value: "{{ outputs.copy.partitions | join(',') }} {{ outputs.sum.row.s }}"}
  - {id: empty, type: STRING, value: "{{ outputs.empty.partitions | length }} {{ outputs.empty.jobId ?? 'no job' }}"}
  - {id: dropped, type: STRING, value: "{{ outputs.drop.partitions | join(',') }}"}
  - {id: left, type: STRING, value: "{{ outputs.left.rows | jq('map(.n)') | first }}"}
  - {id: words, type: STRING, value: "{{ outputs.words.row.analyze }} {{ outputs.words.row.lambda }} {{ outputs.words.row.order }}"}
  - {id: info, type: STRING, value: "{{ outputs.info.rows | jq('map([.table_name, .column_name, .data_type])') | first }}"}
""",
        )
        self.assertEqual(out["copied"], "20240102,20240103 6")
        self.assertEqual(out["empty"], "0 no job")
        self.assertEqual(out["dropped"], "10,20")
        self.assertEqual(json.loads(out["left"]), [3, 99])
        self.assertEqual(out["words"], "1 x 2")
        self.assertEqual(json.loads(out["info"]), [["days", "time_at", "TIMESTAMP"], ["ranges", "n", "INT64"], ["some", "time_at", "TIMESTAMP"]])

    def test_names_of_columns(self):
        query = """SELECT 1, 'x' AS s, COUNT(*), COUNT(*) n, t.a, t.a IS DISTINCT FROM 2, CASE WHEN a = 1 THEN NULL ELSE 3 END,
            (SELECT MAX(b) FROM UNNEST([1, 2]) b), NULL, t.a + 1 FROM (SELECT 1 AS a) t GROUP BY a"""
        doc = self.sql(query)
        self.assertEqual([f["name"] for f in doc["fields"]], ["f0_", "s", "f1_", "n", "a", "f2_", "f3_", "f4_", "f5_", "f6_"])
        self.assertEqual([c["v"] for c in doc["rows"][0]["f"]], ["1", "x", "1", "1", "1", "true", None, "2", None, "2"])
        self.assertEqual([f["name"] for f in self.sql("SELECT * EXCEPT (a), t.* FROM (SELECT 1 AS a, 2 AS b) t")["fields"]][0], "b")

    def test_a_script_is_a_job_for_each_statement(self):
        done = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}
  - id: script
    type: io.kestra.plugin.gcp.bigquery.Query
    sql: |
      CREATE TABLE d.a (n INT64);
      INSERT INTO d.a (n) VALUES (1);
      INSERT INTO d.nowhere (n) VALUES (2);
      INSERT INTO d.a (n) VALUES (3);
""",
            ok=False,
        )
        self.assertIn("d.nowhere", done.err.replace(":", ".").replace('"', ""))
        self.assertEqual(self.sql("SELECT n FROM d.a")["rows"], [{"f": [{"v": "1"}]}])  # what was done before the error stays done
        with LocalCloud(self, "--anonymous") as cloud:
            jobs = lambda query: json.loads(cloud.get("/bigquery/v2/projects/local-project/jobs" + query)[1])["jobs"]
            script = [j for j in jobs("") if j["statistics"]["query"].get("statementType") == "SCRIPT"][0]
            self.assertEqual(script["statistics"]["numChildJobs"], "3")
            children = jobs("?parentJobId=" + script["jobReference"]["jobId"])
            self.assertEqual([c["statistics"]["query"]["statementType"] for c in children if "errorResult" not in c["status"]], ["INSERT", "CREATE_TABLE"])
            self.assertEqual([c["configuration"]["query"]["query"].strip() for c in children][::-1], ["CREATE TABLE d.a (n INT64)", "INSERT INTO d.a (n) VALUES (1)", "INSERT INTO d.nowhere (n) VALUES (2)"])
            self.assertEqual([c["status"]["errorResult"]["reason"] for c in children if "errorResult" in c["status"]], ["notFound"])

    def test_bad_rows_are_counted(self):
        load = """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d, ifExists: SKIP}
  - {id: sh, type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}, outputFiles: [x.csv], commands: ["printf '1,a\\nx,b\\n3,c\\ny,d\\n5,e\\n' > x.csv"]}
  - {id: load, type: io.kestra.plugin.gcp.bigquery.Load, from: "{{ outputs.sh.outputFiles['x.csv'] }}", destinationTable: d.LIMIT, format: CSV, maxBadRecords: LIMIT, schema: {fields: [{name: n, type: INT64}, {name: s, type: STRING}]}}
"""
        out = self.run_tasks(load.replace("d.LIMIT", "d.two").replace("LIMIT", "2"), '  - {id: rows, type: STRING, value: "{{ outputs.load.rows }}"}\n')
        self.assertEqual(out["rows"], "3")
        done = self.run_tasks(load.replace("d.LIMIT", "d.one").replace("LIMIT", "1"), ok=False)
        self.assertIn("CSV table encountered too many errors, giving up. Rows: 2; errors: 2", done.err)
        done = self.run_tasks(load.replace("d.LIMIT", "d.none").replace("LIMIT", "0"), ok=False)
        self.assertIn("CSV table encountered too many errors", done.err)

    def test_a_bad_row_is_shown_with_its_file_and_line(self):
        flow = """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d, ifExists: SKIP}
  - {id: b, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt5, location: europe-west2, ifExists: SKIP}
  - {id: sh, type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}, outputFiles: [x.csv], commands: ["printf '1,a\\n2,b\\nx,c\\n' > x.csv"]}
  - {id: up, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{ outputs.sh.outputFiles['x.csv'] }}", to: "gs://bkt5/dir/x.csv"}
  - {id: load, type: io.kestra.plugin.gcp.bigquery.LoadFromGcs, from: ["gs://bkt5/dir/*.csv"], destinationTable: d.t, format: CSV, schema: {fields: [{name: n, type: INT64}, {name: s, type: STRING}]} MORE}
"""
        done = self.run_tasks(flow.replace("MORE", ""), ok=False)
        self.assertIn('Error when converting column "n". Could not convert string "x"', done.err)
        self.assertIn("line_number: 3 File: gs://bkt5/dir/x.csv (invalid at gs://bkt5/dir/x.csv)", done.err)
        two = flow.replace("x,c\\n'", "x,c\\ny,d\\n'").replace("MORE", ", maxBadRecords: 1")
        done = self.run_tasks(two, ok=False)
        self.assertIn("errors: 2; max bad: 1", done.err)
        self.assertIn("line_number: 3 File: gs://bkt5/dir/x.csv", done.err)

    def test_location_is_compared_before_anything_is_submitted(self):
        done = self.run_tasks(
            """
  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: far}
  - {id: b, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt3, location: us-east1}
  - {id: load, type: io.kestra.plugin.gcp.bigquery.LoadFromGcs, from: ["gs://bkt3/x.csv"], destinationTable: far.t, format: CSV}
""",
            ok=False,
        )
        self.assertIn("the dataset 'far' lies in europe-west2, but the bucket 'bkt3' in us-east1", done.err)
        self.assertFalse([r for r in self.ledger() if r["target"].endswith("/jobs")])

    def test_missing_object_and_taken_names(self):
        done = self.run_tasks("  - {id: b, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt4}\n  - {id: d, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://bkt4/none'}\n", ok=False)
        self.assertIn("gs://bkt4/none", done.err)
        done = self.run_tasks("  - {id: b, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: bkt4}\n", ok=False)
        self.assertIn("Bucket bkt4 already exists", done.err)

    def test_the_example_of_the_readme(self):
        readme = (ROOT / "README.md").read_text()
        shown = re.search(r"```yaml\n(.*?)```", readme, re.S).group(1)
        example = EXAMPLES / "hello_warehouse.yaml"
        self.assertEqual(shown, example.read_text())
        self.assertIn(f"build/sluice run {example.relative_to(ROOT)} --local", readme)
        done = self.ok(self.sluice("run", example, "--local"))
        self.assertIn("1000 rows loaded into local-project.taxi.green", done.err)

    def test_a_run_joins_the_local_cloud_that_serves(self):
        with LocalCloud(self):
            self.ok(self.sluice("run", EXAMPLES / "hello_warehouse.yaml", "--local"))
            self.assertEqual(self.sql("SELECT COUNT(*) FROM taxi.green")["rows"][0]["f"][0]["v"], "1000")
        self.assertEqual(self.sql("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 12000)) x ORDER BY x")["rows"][-1]["f"][0]["v"], "12000")

    def test_every_example_is_valid(self):
        for path in sorted(EXAMPLES.glob("*.yaml")):
            with self.subTest(path.name):
                self.ok(self.sluice("flow", "validate", path))

    def test_the_cloud_refuses_a_wrong_token_and_none(self):
        self.prepare()
        with LocalCloud(self) as cloud:
            for headers in ({"Authorization": "Bearer wrong"}, {}):
                status, body = cloud.get("/storage/v1/b/sluice-example-trips", headers)
                self.assertEqual((status, json.loads(body)["error"]["code"]), (401, 401))
        with LocalCloud(self, "--anonymous") as cloud:
            self.assertEqual(cloud.get("/storage/v1/b/sluice-example-trips")[0], 200)
            self.assertEqual(cloud.get("/storage/v1/b/sluice-example-trips", {"Authorization": "Bearer wrong"})[0], 401)


if __name__ == "__main__":
    unittest.main()
