"""A hundred canary values go through every task; none appears in logs, outputs, errors, the data folder or /proc."""

import base64
import json
import os
import pathlib
import re
import subprocess
import time
import unittest

from scripted import Scripted
from sluice import PROGRAM, Case

GCP = "io.kestra.plugin.gcp."
HEAD = """
id: f
namespace: n
inputs:
  - {id: typed, type: SECRET}
pluginDefaults:
  - type: io.kestra.plugin.gcp
    values: {projectId: local-project, location: europe-west2, serviceAccount: "{{ secret('GCP_CREDS') }}"}
tasks:
"""
SHELL = "type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}"


class Secrets(Case):
    def setUp(self):
        super().setUp()
        self.canary = [f"canary-{i:03}-{os.urandom(6).hex()}" for i in range(100)]
        for i, value in enumerate(self.canary[:3]):
            self.ok(self.sluice("secret", "set", "-n", "n", f"S{i}", "-", stdin=value))
        self.given = {f"SECRET_S{i}": base64.b64encode(value.encode()).decode() for i, value in enumerate(self.canary) if i >= 3}
        self.texts = " ".join("{{ secret('S%d') }}" % i for i in range(100))

    def forms(self):
        for value in self.canary:
            yield value
            yield base64.b64encode(value.encode()).decode().rstrip("=")
            yield value.encode().hex()

    def nowhere(self, *texts, folder=True):
        """The local cloud below the data folder is the other side: what is sent there on purpose may be there."""
        for text in texts:
            for form in self.forms():
                self.assertNotIn(form, text)
        for path in self.data.rglob("*") if folder else []:
            if path.is_file() and "local" not in path.relative_to(self.data).parts:
                body = path.read_bytes()
                for form in self.forms():
                    self.assertNotIn(form.encode(), body, path)

    def run_tasks(self, tasks, rc, *args):
        path = self.tmp / "secret-flow.yaml"
        path.write_text(HEAD + tasks)
        done = self.sluice("run", path, "-i", "typed=" + self.canary[50], *args, env=self.given)
        self.assertEqual(done.rc, rc, done)
        return done

    def test_core_tasks(self):
        with Scripted(lambda r: (200, {}, " ".join(self.canary).encode())) as s:
            done = self.run_tasks(
                f"""
  - {{id: log, type: io.kestra.plugin.core.log.Log, message: "{self.texts} {{{{ inputs.typed }}}}"}}
  - {{id: ret, type: io.kestra.plugin.core.debug.Return, format: "{self.texts}"}}
  - {{id: again, type: io.kestra.plugin.core.log.Log, message: "{{{{ outputs.ret.value }}}}"}}
  - {{id: sh, {SHELL}, env: {{A: "{self.texts}"}}, commands: ['echo "$A"; echo "$A" >&2; echo "$A" | base64 -w0; echo "::{{\\"outputs\\": {{\\"x\\": \\"$A\\"}}}}::"']}}
  - {{id: inline, {SHELL}, commands: ['echo {{{{ secret("S7") }}}}']}}
  - {{id: http, type: io.kestra.plugin.core.http.Request, uri: "{s.url}/echo?q={{{{ secret('S6') }}}}", headers: {{X-Key: "{{{{ secret('S5') }}}}"}}, options: {{auth: {{type: BASIC, username: u, password: "{{{{ secret('S8') }}}}"}}}}}}
  - {{id: down, type: io.kestra.plugin.core.http.Download, uri: "{s.url}/{{{{ secret('S9') }}}}"}}
  - {{id: purge, type: io.kestra.plugin.core.storage.PurgeCurrentExecutionFiles}}
  - {{id: set, type: io.kestra.plugin.core.kv.Set, key: stored, value: "{{{{ secret('S10') }}}}", kvType: STRING}}
  - {{id: get, type: io.kestra.plugin.core.kv.Get, key: stored}}
  - {{id: keys, type: io.kestra.plugin.core.kv.GetKeys, prefix: "{{{{ secret('S11') }}}}"}}
  - {{id: del, type: io.kestra.plugin.core.kv.Delete, key: "{{{{ secret('S12') }}}}"}}
  - {{id: label, type: io.kestra.plugin.core.execution.Labels, labels: {{l: "{{{{ secret('S13') }}}}"}}}}
  - {{id: sleep, type: io.kestra.plugin.core.flow.Sleep, duration: "PT0S", description: "{{{{ secret('S14') }}}}"}}
  - {{id: fail, type: io.kestra.plugin.core.execution.Fail, errorMessage: "{self.texts}"}}
""",
                1,
                "--output",
                "json",
            )
            self.assertEqual(s.requests[0].headers["x-key"], self.canary[5], "the secret did not reach the server: the test shows nothing")
            self.assertEqual(s.requests[0].query["q"], self.canary[6])
        states = {t["id"]: t["state"] for t in json.loads(done.out)["taskRuns"]}
        self.assertEqual({k for k, v in states.items() if v != "SUCCESS"}, {"fail"}, states)
        self.nowhere(done.out, done.err)

    def test_cloud_tasks(self):
        one = {k: "{{ secret('S%d') }}" % k for k in range(20, 60)}
        tasks = f"""
  - {{id: bucket, type: {GCP}gcs.CreateBucket, name: bkt1, labels: {{l: "{one[20]}"}}}}
  - {{id: upbucket, type: {GCP}gcs.UpdateBucket, name: bkt1, labels: {{l: "{one[21]}"}}}}
  - {{id: files, {SHELL}, outputFiles: [a.csv], commands: ["printf 'n,s\\n1,x\\n' > a.csv"]}}
  - {{id: up, type: {GCP}gcs.Upload, from: "{{{{ outputs.files.outputFiles['a.csv'] }}}}", to: "gs://bkt1/dir/{one[22]}.csv", contentDisposition: "{one[23]}"}}
  - {{id: list, type: {GCP}gcs.List, from: "gs://bkt1/dir/"}}
  - {{id: down, type: {GCP}gcs.Download, from: "gs://bkt1/dir/{one[22]}.csv"}}
  - {{id: downs, type: {GCP}gcs.Downloads, from: "gs://bkt1/dir/", action: NONE}}
  - {{id: copy, type: {GCP}gcs.Copy, from: "gs://bkt1/dir/{one[22]}.csv", to: "gs://bkt1/copy/{one[24]}.csv"}}
  - {{id: compose, type: {GCP}gcs.Compose, list: {{from: "gs://bkt1/dir/"}}, to: "gs://bkt1/composed/{one[25]}"}}
  - {{id: delete, type: {GCP}gcs.Delete, uri: "gs://bkt1/none/{one[26]}"}}
  - {{id: iam, type: {GCP}gcs.CreateBucketIamPolicy, name: bkt1, member: "user:{one[27]}@example.com", role: roles/storage.objectViewer}}
  - {{id: ds, type: {GCP}bigquery.CreateDataset, name: d, description: "{one[28]}"}}
  - {{id: upds, type: {GCP}bigquery.UpdateDataset, name: d, description: "{one[29]}"}}
  - {{id: table, type: {GCP}bigquery.CreateTable, dataset: d, table: t, description: "{one[30]}", tableDefinition: {{type: TABLE, schema: {{fields: [{{name: n, type: INT64}}, {{name: s, type: STRING}}]}}}}}}
  - {{id: uptable, type: {GCP}bigquery.UpdateTable, dataset: d, table: t, description: "{one[31]}"}}
  - {{id: about, type: {GCP}bigquery.TableMetadata, dataset: d, table: t}}
  - {{id: query, type: {GCP}bigquery.Query, fetchType: FETCH, sql: "SELECT '{one[32]}' AS s"}}
  - {{id: store, type: {GCP}bigquery.Query, fetchType: STORE, labels: {{l: "{one[33]}"}}, sql: "SELECT 1 AS s"}}
  - {{id: load, type: {GCP}bigquery.LoadFromGcs, from: ["gs://bkt1/dir/{one[22]}.csv"], destinationTable: d.t, format: CSV, csvOptions: {{skipLeadingRows: 1}}}}
  - {{id: load2, type: {GCP}bigquery.Load, from: "{{{{ outputs.down.uri }}}}", destinationTable: d.t, format: CSV, csvOptions: {{skipLeadingRows: 1}}}}
  - {{id: extract, type: {GCP}bigquery.ExtractToGcs, sourceTable: d.t, destinationUris: ["gs://bkt1/out/{one[34]}.csv"], labels: {{l: "{one[35]}"}}}}
  - {{id: tcopy, type: {GCP}bigquery.Copy, sourceTables: [d.t], destinationTable: d.u, labels: {{l: "{one[36]}"}}}}
  - {{id: days, type: {GCP}bigquery.Query, sql: "CREATE TABLE d.p (x DATE) PARTITION BY x"}}
  - {{id: pcopy, type: {GCP}bigquery.CopyPartitions, dataset: d, table: p, partitionType: DAY, from: "2024-01-01T00:00", to: "2024-01-02T00:00", destinationTable: d.q, skipEmpty: true, labels: {{l: "{one[37]}"}}}}
  - {{id: pdel, type: {GCP}bigquery.DeletePartitions, dataset: d, table: p, partitionType: DAY, from: "2024-01-01T00:00", to: "2024-01-02T00:00"}}
  - {{id: tdel, type: {GCP}bigquery.DeleteTable, dataset: d, table: u}}
  - {{id: dels, type: {GCP}gcs.DeleteList, from: "gs://bkt1/out/"}}
  - {{id: dsdel, type: {GCP}bigquery.DeleteDataset, name: d, deleteContents: true}}
  - {{id: bdel, type: {GCP}gcs.DeleteBucket, name: bkt1, force: true}}
"""
        done = self.run_tasks(tasks, 0, "--local", "--output", "json", "--trace")
        self.assertRegex(done.err, r"http.* POST http://127\.0\.0\.1:\d+/bigquery/v2/projects/local-project/jobs -> 200", "the trace shows the requests")
        key = json.loads((self.data / "local" / "service-account.json").read_text())["private_key"]
        self.nowhere(done.out, done.err)
        for text in (done.out, done.err, *(p.read_text(errors="replace") for p in self.data.rglob("*") if p.is_file() and "local" not in p.relative_to(self.data).parts)):
            self.assertNotIn(key.splitlines()[5], text)
        # Failing, each says what it was about, and not what must not be said.
        for task in (f'{GCP}gcs.Download, from: "gs://nowhere/{one[40]}"', f'{GCP}bigquery.Query, sql: "SELEC {one[41]}"', f'{GCP}gcs.Upload, from: "{one[42]}", to: "gs://bkt1/x"',
                     f'{GCP}bigquery.LoadFromGcs, from: ["gs://nowhere/{one[43]}"], destinationTable: "nowhere.{one[44]}", format: CSV', f'{GCP}gcs.CreateBucket, name: "{one[45]}!"'):
            with self.subTest(task):
                done = self.run_tasks(f"  - {{id: t, type: {task}}}\n", 1, "--local")
                self.nowhere(done.out, done.err)

    def test_processes(self):
        """While a script with secrets in it runs: neither the environment nor the command line of ours shows one."""
        path = self.tmp / "secret-flow.yaml"
        path.write_text(HEAD + f"  - {{id: sh, {SHELL}, commands: ['true {{{{ secret(\"S3\") }}}} {{{{ secret(\"S1\") }}}}; touch {self.tmp}/there; sleep 60']}}\n")
        p = subprocess.Popen([PROGRAM, "run", str(path), "-q", "--input-json", "/dev/stdin"], env=self.env(self.given), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdin.write(json.dumps({"typed": self.canary[50]}))
        p.stdin.close()
        p.stdin = None
        try:
            for _ in range(400):
                if (self.tmp / "there").exists():
                    break
                time.sleep(0.05)
            self.assertTrue((self.tmp / "there").exists())
            tree = self.descendants(p.pid)
            self.assertGreaterEqual(len(tree), 3, "the process, its supervisor and the shell")
            for pid in tree:
                for name in ("environ", "cmdline"):
                    self.nowhere(pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"), folder=False)
        finally:
            p.terminate()
            out, err = p.communicate(timeout=30)
        self.nowhere(out, err)

    def descendants(self, pid):
        parents = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                found = re.match(r"(\d+) \(.*\) \S (\d+)", stat.read_text())
            except OSError:
                continue
            parents.setdefault(int(found.group(2)), []).append(int(found.group(1)))
        todo, seen = [pid], []
        while todo:
            seen.append(todo.pop())
            todo += parents.get(seen[-1], [])
        return seen


if __name__ == "__main__":
    unittest.main()
