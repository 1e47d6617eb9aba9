"""The main job is killed at every labelled point; --continue ends it with one job per statement and one object."""

import base64
import collections
import json
import os
import shutil
import unittest

from scripted import Scripted
from sluice import EXAMPLES, Case, LocalCloud

FLOW = EXAMPLES / "gcp_taxi.yaml"
ROWS = 500
LARGE = """
id: large
namespace: examples
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: [big.bin]
    commands:
      - head -c 20000000 /dev/zero | tr '\\0' 'x' > big.bin
  - id: upload
    type: io.kestra.plugin.gcp.gcs.Upload
    from: "{{ outputs.make.outputFiles['big.bin'] }}"
    to: "gs://{{ kv('BUCKET') }}/big.bin"
    projectId: local-project
    serviceAccount: "{{ secret('GCP_CREDS') }}"
"""


class Crash(Case):
    def labels(self, args):
        """Every label that an undisturbed run passes, with how often."""
        log = self.tmp / "labels"
        self.ok(self.sluice(*args, env={"SLUICE_FAULT_LOG": str(log)}))
        return collections.Counter(log.read_text().split())

    def fresh(self, template):
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(template, self.data)

    def finish(self, killed, args, n):
        """--continue where an execution was begun, a new run where the kill came before that."""
        if killed.rc == 0 and n > 1:
            return killed  # how often the engine writes depends on timing: this run passed the point less often
        self.assertIn(killed.rc, (-9, 137), killed)
        if killed.id is None:
            return self.ok(self.sluice(*args))
        done = self.sluice("run", "--continue", killed.id, "--local", "-q")
        if done.rc != 0 and "no execution" in done.err:
            return self.ok(self.sluice(*args))
        return self.ok(done)

    def jobs(self, cloud):
        status, body = cloud.get("/bigquery/v2/projects/local-project/jobs?projection=full&maxResults=1000&allUsers=true")
        self.assertEqual(status, 200, body)
        return json.loads(body).get("jobs", [])

    def points(self, counts):
        """(label, n): the first, a middle and the last passing of each; all of them with SLUICE_TEST_LONG=1."""
        for label, count in sorted(counts.items()):
            wanted = range(1, count + 1) if os.environ.get("SLUICE_TEST_LONG") else sorted({1, (count + 1) // 2, count})
            for n in wanted:
                yield label, n

    def test_taxi(self):
        self.prepare()
        template = self.tmp / "template"
        shutil.copytree(self.data, template)
        args = ["run", FLOW, "--local", "-i", f"rows={ROWS}"]
        counts = self.labels(args)
        for needed in ("upload.before_simple", "upload.after_simple", "bigquery.job.before_insert", "bigquery.job.after_insert", "bigquery.job.after_done", "task.before_checkpoint",
                       "task.after_checkpoint", "engine.before_write", "engine.after_write", "db.before_commit", "db.after_commit", "http.before_send", "http.after_reply", "local.job.before_run"):
            self.assertIn(needed, counts)
        for label, n in self.points(counts):
            with self.subTest(label=label, n=n):
                self.fresh(template)
                killed = self.sluice(*args, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                done = self.finish(killed, args, n)
                self.assertIn(f'"trips":{ROWS}', done.out)
                writes = [r for r in self.ledger() if r["method"] in ("POST", "PUT") and "/upload/storage/" in r["target"] and r["status"] == 200]
                self.assertLessEqual(len(writes), 1, "the object was written more than once")
                with LocalCloud(self, "--anonymous") as cloud:
                    status, body = cloud.get("/storage/v1/b/sluice-example-trips/o")
                    self.assertEqual(status, 200)
                    self.assertEqual(len(json.loads(body)["items"]), 1)
                    jobs = self.jobs(cloud)
                self.assertEqual([j["status"]["state"] for j in jobs], ["DONE"] * 4, "not one job per statement")
                self.assertFalse([j for j in jobs if "errorResult" in j["status"]])
                accepted = [r for r in self.ledger() if r["method"] == "POST" and r["target"].split("?")[0].endswith("/jobs") and r["status"] == 200]
                self.assertLessEqual(len(accepted), 4, "a statement was submitted as more than one job")
                rows = self.sql("SELECT count(*) AS n, count(DISTINCT trip_id) AS ids FROM `local-project.trips.green_tripdata`")["rows"][0]["f"]
                self.assertEqual([c["v"] for c in rows], [str(ROWS), str(ROWS)])

    def script(self, sql):
        flow = self.tmp / "script.yaml"
        task = {"id": "script", "type": "io.kestra.plugin.gcp.bigquery.Query", "projectId": "local-project", "serviceAccount": "{{ secret('GCP_CREDS') }}", "location": "europe-west2", "sql": sql, "fetchType": "FETCH_ONE"}
        flow.write_text(json.dumps({"id": "script", "namespace": "examples", "tasks": [task], "outputs": [{"id": "sum", "type": "INT", "value": "{{ outputs.script.row.f0_ }}"}]}))
        return ["run", flow, "--local"]

    def kill_everywhere(self, args, labels, total, children, handled=0):
        """At each of the labels, as often as an undisturbed run passes them; children: so many statements, of which these failed and were handled."""
        template = self.tmp / "template"
        shutil.copytree(self.data, template)
        passed = self.labels(args)
        for label in labels:
            self.assertGreater(passed[label], 0, label)
            for n in range(1, passed[label] + 1):
                with self.subTest(label=label, n=n):
                    self.fresh(template)
                    killed = self.sluice(*args, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                    self.assertIn(killed.rc, (-9, 137), killed)
                    self.assertIn(f'"sum":{total}', self.ok(self.sluice("run", "--continue", killed.id, "--local", "-q")).out)
                    with LocalCloud(self, "--anonymous") as cloud:
                        jobs = self.jobs(cloud)
                        made = json.loads(cloud.get("/bigquery/v2/projects/local-project/jobs?parentJobId=" + jobs[0]["jobReference"]["jobId"])[1])["jobs"]
                    self.assertEqual((len(jobs), [c["status"]["state"] for c in made]), (1, ["DONE"] * children))
                    self.assertEqual(len([c for c in made if "errorResult" in c["status"]]), handled)
        return passed

    def test_a_script_goes_on_behind_its_last_statement(self):
        self.prepare()
        args = self.script("CREATE TABLE trips.script (n INT64); INSERT INTO trips.script (n) VALUES (1); INSERT INTO trips.script (n) VALUES (2); SELECT SUM(n) FROM trips.script;")
        self.assertEqual(self.kill_everywhere(args, ["local.job.before_run"], 3, 4)["local.job.before_run"], 4)

    def test_an_export_finds_its_own_objects(self):
        """EXPORT DATA without overwrite: what a killed job has written is its own, what another one has is in the way."""
        self.prepare()
        export = "EXPORT DATA OPTIONS (uri='gs://sluice-example-trips/export/*.csv', format='CSV') AS SELECT 7 AS n;"
        args = self.script("CREATE TABLE trips.script AS SELECT 7 AS n;" + export + "SELECT SUM(n) FROM trips.script;")
        self.kill_everywhere(args, ["local.export.after_write"], 7, 3)
        self.assertIn("Already Exists", self.sluice(*self.script(export)).err)

    def test_a_script_goes_the_same_way_again(self):
        """Its condition would be another one after what it led to; and a transaction is there as a whole, or not."""
        self.prepare()
        args = self.script(
            "CREATE TABLE trips.script (n INT64); INSERT INTO trips.script VALUES (1);"
            "IF (SELECT COUNT(*) FROM trips.script) = 1 THEN INSERT INTO trips.script VALUES (10); ELSE INSERT INTO trips.script VALUES (1000); END IF;"
            "BEGIN TRANSACTION; INSERT INTO trips.script VALUES (100); UPDATE trips.script SET n = n + 1 WHERE n = 1; COMMIT TRANSACTION; SELECT SUM(n) FROM trips.script;"
        )
        passed = self.kill_everywhere(args, ["local.script.before_step", "local.script.before_commit", "local.script.after_commit"], 112, 9)
        self.assertEqual(passed["local.script.before_step"], 9)

    def test_a_script_reads_and_makes_the_same_again(self):
        """The rows of a FOR, the text of EXECUTE IMMEDIATE and an error that was handled are what they were, whatever the tables hold now."""
        self.prepare()
        args = self.script(
            "DECLARE most INT64; CREATE TABLE trips.script (n INT64); INSERT INTO trips.script VALUES (1), (2);"
            "FOR r IN (SELECT n FROM trips.script ORDER BY n) DO INSERT INTO trips.script VALUES (r.n * 10); END FOR;"
            "EXECUTE IMMEDIATE FORMAT('INSERT INTO trips.script VALUES (%d)', (SELECT COUNT(*) FROM trips.script) * 100);"
            "EXECUTE IMMEDIATE 'SELECT MAX(n) FROM trips.script' INTO most;"
            "BEGIN BEGIN TRANSACTION; DELETE FROM trips.script WHERE TRUE; SELECT 1 / 0; COMMIT TRANSACTION;"
            "EXCEPTION WHEN ERROR THEN ROLLBACK TRANSACTION; INSERT INTO trips.script VALUES (most + 1000); END;"
            "BEGIN IF (SELECT COUNT(*) FROM trips.script) = 6 THEN RAISE USING MESSAGE = 'six'; END IF; EXCEPTION WHEN ERROR THEN INSERT INTO trips.script VALUES (10000); END;"
            "SELECT SUM(n) FROM trips.script;"
        )
        passed = self.kill_everywhere(args, ["local.script.before_step", "local.script.after_handled"], 11833, 14, handled=2)
        self.assertEqual(passed["local.script.after_handled"], 2)

    def test_secrets_survive(self):
        """A SECRET input and an output with a secret in it are what they were, and readable nowhere."""
        with Scripted(lambda r: (200, {}, b"fine")) as s:
            flow = self.tmp / "secret.yaml"
            flow.write_text(
                f"""
id: f
namespace: n
inputs:
  - {{id: password, type: SECRET}}
tasks:
  - {{id: a, type: io.kestra.plugin.core.debug.Return, format: "{{{{ inputs.password }}}} and {{{{ secret('KEY') }}}}"}}
  - {{id: b, type: io.kestra.plugin.core.http.Request, uri: "{s.url}", headers: {{X-A: "{{{{ outputs.a.value }}}}", X-B: "{{{{ inputs.password }}}}"}}}}
  - {{id: c, type: io.kestra.plugin.core.log.Log, message: "it was {{{{ outputs.a.value }}}}"}}
"""
            )
            env = {"SECRET_KEY": base64.b64encode(b"canary-of-the-store").decode()}
            killed = self.sluice("run", flow, "-i", "password=canary-of-the-input", env={**env, "SLUICE_FAULT": "task.before_run:2:kill"})
            self.assertIn(killed.rc, (-9, 137), killed)
            self.assertEqual(s.requests, [])
            done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))  # without SECRET_KEY: a is over
            headers = s.requests[0].headers
            self.assertEqual((headers["x-a"], headers["x-b"]), ("canary-of-the-input and canary-of-the-store", "canary-of-the-input"))
        for text in [killed.out + killed.err, done.out + done.err, *(p.read_bytes().decode(errors="replace") for p in self.data.rglob("*") if p.is_file())]:
            self.assertNotIn("canary-of", text)

    def test_resumable_upload(self):
        self.prepare()
        template = self.tmp / "template"
        shutil.copytree(self.data, template)
        (self.tmp / "large.yaml").write_text(LARGE)
        args = ["run", self.tmp / "large.yaml", "--local"]
        counts = self.labels(args)
        for needed in ("upload.before_session", "upload.after_session", "upload.before_chunk", "upload.after_chunk"):
            self.assertIn(needed, counts)
        for label, n in self.points(counts):
            with self.subTest(label=label, n=n):
                self.fresh(template)
                killed = self.sluice(*args, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                self.finish(killed, args, n)
                with LocalCloud(self, "--anonymous") as cloud:
                    status, body = cloud.get("/storage/v1/b/sluice-example-trips/o/big.bin")
                    self.assertEqual(status, 200)
                    self.assertEqual(json.loads(body)["size"], "20000000")
                finished = [r for r in self.ledger() if r["method"] == "PUT" and r["status"] == 200 and "upload_id" in r["target"] and r["bytes"] > 0]
                self.assertLessEqual(len(finished), 1, "the object was written more than once")


if __name__ == "__main__":
    unittest.main()
