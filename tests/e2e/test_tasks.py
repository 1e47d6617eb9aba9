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

    def test_every_example_is_valid(self):
        for path in sorted(EXAMPLES.glob("*.yaml")):
            with self.subTest(path.name):
                self.ok(self.sluice("flow", "validate", path))

    def test_the_cloud_refuses_a_wrong_token(self):
        self.prepare()
        with LocalCloud(self) as cloud:
            status, _ = cloud.get("/storage/v1/b/sluice-example-trips", {"Authorization": "Bearer wrong"})
            self.assertEqual(status, 401)


if __name__ == "__main__":
    unittest.main()
