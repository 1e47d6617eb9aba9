"""Redshift without a password: the Data API (the local cloud's, and scripted answers for what it does not do), and credentials of IAM."""

import collections
import json
import shutil
import socket
import threading
import time
import unittest

from scripted import Scripted
from server import Server
from sluice import Case, LocalCloud

RS = "io.kestra.plugin.jdbc.redshift."
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-of-the-key", "AWS_REGION": "eu-central-1"}


def flow(*tasks):
    return "id: f\nnamespace: tests\ntasks:\n" + "".join("  - " + json.dumps(t, ensure_ascii=False) + "\n" for t in tasks)


class Base(Case):
    def play(self, *tasks, rc=0, args=(), env=None):
        done = self.flow(flow(*tasks), *args, "--output", "json", env={**KEYS, **(env or {})})
        self.assertEqual(done.rc, rc, done)
        return done

    def outputs(self, *tasks, **kw):
        done = self.play(*tasks, **kw)
        return {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}


class Local(Base):
    def play(self, *tasks, **kw):
        return super().play(*tasks, args=("--local",), **kw)

    def task(self, sql, kind="Query", **more):
        return {"id": "q", "type": RS + kind, "workgroupName": "work", "sql": sql, **more}

    def test_types(self):
        sql = "SELECT 1::int a, 2::bigint b, 1.5::float8 c, 1.10::decimal(5,2) d, true e, 'x' f, NULL::int g, date '2024-02-29' h, timestamp '2024-01-02 03:04:05' i"
        row = self.outputs(self.task(sql, fetchType="FETCH_ONE"))["q"]["row"]
        self.assertEqual(row, {"a": 1, "b": 2, "c": 1.5, "d": 1.1, "e": True, "f": "x", "g": None, "h": "2024-02-29", "i": "2024-01-02T03:04:05"})

    def test_statements(self):
        out = self.outputs(
            self.task("CREATE TABLE t (a int, b varchar(10)); INSERT INTO t VALUES (1, 'x'), (2, 'y'); SELECT * FROM t ORDER BY a; SELECT count(*) AS n FROM t", "Queries", fetchType="FETCH"),
            {**self.task("SELECT b FROM t WHERE a = :a AND b = :b", fetchType="FETCH", parameters={"a": 2, "b": "y"}), "id": "p"},
            {**self.task("SELECT a FROM t; SELECT a + 10 AS a FROM t", fetchType="STORE"), "id": "joined"},
        )
        self.assertEqual([o["rows"] for o in out["q"]["outputs"]], [[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [{"n": 2}]])
        self.assertEqual(out["p"]["rows"], [{"b": "y"}])
        self.assertEqual(out["joined"]["size"], 4)
        out = self.outputs(self.task("INSERT INTO t VALUES (3, 'z'); SELECT count(*) AS n FROM t; SELECT max(a) AS n FROM t", "Queries", transaction=False, fetchType="FETCH"))
        self.assertEqual([o["rows"] for o in out["q"]["outputs"]], [[{"n": 3}], [{"n": 3}]])

    def test_pages(self):
        out = self.outputs(self.task("SELECT range AS n FROM range(2500) ORDER BY 1", fetchType="FETCH"))["q"]
        self.assertEqual([r["n"] for r in out["rows"]], list(range(2500)))

    def test_failures(self):
        done = self.play(self.task("CREATE TABLE u (a int); INSERT INTO u VALUES (1); SELECT * FROM nowhere", "Queries"), rc=1)
        self.assertRegex(done.err, r"nowhere.*statement 3 of 3")
        done = self.play(self.task("SELECT count(*) FROM u"), rc=1)
        self.assertRegex(done.err, "does not exist")
        done = self.play(self.task("CREATE TABLE u (a int); SELECT * FROM nowhere; SELECT 1", "Queries", transaction=False), rc=1)
        self.assertRegex(done.err, r"nowhere.*statement 2 of 3")
        self.assertEqual(self.outputs(self.task("SELECT count(*) AS n FROM u", fetchType="FETCH_ONE"))["q"]["row"], {"n": 0})
        for more, said in (
            ({"clusterIdentifier": "c"}, "exclude one another"),
            ({"url": "jdbc:redshift://x/y"}, "exclude one another"),
            ({"sql": "-- nothing"}, "holds no statement"),
            ({"sql": "SELECT :a; SELECT 1", "parameters": {"a": 1}, "id": "q"}, "with one statement only"),
            ({"sql": "SELECT :a", "parameters": {"a": None}}, "is null, which the Data API cannot say"),
            ({"sql": "SELECT :a", "parameters": {"b": 1}}, "parameter :a, which"),
            ({"sql": "; ".join(["SELECT 1"] * 41)}, "takes 40 at once"),
        ):
            with self.subTest(said):
                self.assertRegex(self.play({**self.task("SELECT 1"), **more}, rc=1).err, said)

    def test_copy_says_where(self):
        path = self.tmp / "bad.csv"
        path.write_text("1,x\nnot a number,y\n")
        text = flow({"id": "b", "type": "io.kestra.plugin.aws.s3.CreateBucket", "bucket": "a-bucket"}, {"id": "u", "type": "io.kestra.plugin.aws.s3.Upload", "bucket": "a-bucket", "key": "bad.csv", "from": "{{ inputs.file }}"},
                    {"id": "t", **{k: v for k, v in self.task("CREATE TABLE c (a int, b varchar(10))").items() if k != "id"}},
                    {"id": "c", "type": "io.sluice.redshift.CopyFromS3", "workgroupName": "work", "table": "c", "from": "s3://a-bucket/bad.csv", "iamRole": "arn:aws:iam::1:role/r"})
        done = self.flow(text.replace("tasks:", "inputs: [{id: file, type: FILE}]\ntasks:"), "--local", "-i", f"file=@{path}", env=KEYS)
        self.assertEqual(done.rc, 1)
        self.assertRegex(done.err, r"load_error.*s3://a-bucket/bad.csv, line 2, column a")

    def test_killed(self):
        """Killed around submitting and asking: the statement runs once, and its rows are there."""
        sql = "CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1); SELECT count(*) AS n FROM t"
        task = self.task(sql, "Queries", fetchType="FETCH")
        log = self.tmp / "labels"
        self.play(task, env={"SLUICE_FAULT_LOG": str(log)})
        counts = collections.Counter(line for line in log.read_text().split() if line.startswith(("redshift.", "task.")))
        self.assertIn("redshift.data.after_submit", counts)
        for label in sorted(counts):
            with self.subTest(label):
                shutil.rmtree(self.data, ignore_errors=True)
                killed = self.play(task, env={"SLUICE_FAULT": f"{label}:1:kill"}, rc=-9)
                done = self.ok(self.sluice("run", "--continue", killed.id, "--local", "--output", "json", env=KEYS))
                out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]
                self.assertEqual(out["outputs"], [{"size": 1, "rows": [{"n": 1}]}])

    def test_stopped(self):
        """A timeout cancels the statement."""
        start = time.monotonic()
        done = self.play(self.task("SELECT count(*) FROM range(1000000000000) a", timeout="PT2S"), rc=1)
        self.assertIn("Timeout", done.err)
        self.assertLess(time.monotonic() - start, 30)


class Answers(Base):
    """A Data API that says what it is told to."""

    def api(self, **say):
        state = collections.Counter()
        seen = []

        def answer(r):
            op = r.headers["x-amz-target"].removeprefix("RedshiftData.")
            body = r.json()
            seen.append((op, body))
            state[op] += 1
            self.assertIn("/redshift-data/aws4_request", r.headers["authorization"])
            if op in say:
                return say[op](body, state[op])
            if op == "ExecuteStatement":
                return 200, {}, {"Id": "s1"}
            if op == "DescribeStatement":
                return 200, {}, {"Id": "s1", "Status": ["SUBMITTED", "PICKED", "STARTED", "FINISHED"][min(state[op], 4) - 1], "HasResultSet": True, "ResultRows": 3}
            page = {"ColumnMetadata": [{"name": "n", "label": "n", "typeName": "int4"}, {"name": "d", "label": "d", "typeName": "numeric"}, {"name": "s", "label": "s", "typeName": "super"}]}
            n = int(body.get("NextToken", "1"))
            return 200, {}, {**page, "Records": [[{"longValue": n}, {"stringValue": "1.50"}, {"stringValue": "[1, 2]"}]], **({"NextToken": str(n + 1)} if n < 3 else {})}

        return Scripted(answer), seen

    def run_it(self, api, rc=0, **more):
        task = {"id": "q", "type": RS + "Query", "clusterIdentifier": "c1", "database": "d", "dbUser": "u", "sql": "SELECT 1", "fetchType": "FETCH", **more}
        return self.play(task, rc=rc, env={"AWS_ENDPOINT_URL_REDSHIFT_DATA": api.url})

    def test_waits_and_pages(self):
        api, seen = self.api()
        with api:
            done = self.run_it(api)
            out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]
            self.assertEqual(out["rows"], [{"n": n, "d": 1.5, "s": [1, 2]} for n in (1, 2, 3)])
            self.assertEqual([op for op, _ in seen], ["ExecuteStatement"] + ["DescribeStatement"] * 4 + ["GetStatementResult"] * 3)
            first = seen[0][1]
            self.assertLessEqual(len(first.pop("ClientToken")), 64)
            self.assertEqual(first, {"Sql": "SELECT 1", "ClusterIdentifier": "c1", "Database": "d", "DbUser": "u"})

    def test_too_many_statements_at_once(self):
        api, seen = self.api(ExecuteStatement=lambda body, n: (400, {}, {"__type": "ActiveStatementsExceededException", "message": "too many"}) if n < 3 else (200, {}, {"Id": "s1"}))
        with api:
            self.run_it(api)
            tokens = {body["ClientToken"] for op, body in seen if op == "ExecuteStatement"}
            self.assertEqual(len(tokens), 1, "the same statement is meant")

    def test_same_token_after_a_crash(self):
        api, seen = self.api()
        with api:
            task = {"id": "q", "type": RS + "Query", "workgroupName": "w", "sql": "SELECT 1"}
            env = {"AWS_ENDPOINT_URL_REDSHIFT_DATA": api.url}
            killed = self.play(task, env={**env, "SLUICE_FAULT": "redshift.data.after_submit:1:kill"}, rc=-9)
            self.ok(self.sluice("run", "--continue", killed.id, env={**KEYS, **env}))
            tokens = [body["ClientToken"] for op, body in seen if op == "ExecuteStatement"]
            self.assertEqual((len(tokens), len(set(tokens))), (2, 1))

    def test_timeout_cancels(self):
        api, seen = self.api(DescribeStatement=lambda body, n: (200, {}, {"Id": "s1", "Status": "STARTED"}), CancelStatement=lambda body, n: (200, {}, {"Status": True}))
        with api:
            self.assertIn("Timeout", self.run_it(api, rc=1, timeout="PT1S").err)
            self.assertEqual(seen[-1], ("CancelStatement", {"Id": "s1"}))

    def test_trigger(self):
        """A look may have to wait, too."""
        api, _ = self.api()
        with api, Server(self, env={**KEYS, "AWS_ENDPOINT_URL_REDSHIFT_DATA": api.url}) as server:
            server.flow("id: t\nnamespace: tests\ntasks:\n  - {id: a, type: io.kestra.plugin.core.debug.Return, format: '{{ trigger.rows | length }}'}\ntriggers:\n  - " + json.dumps({"id": "look", "type": RS + "Trigger", "interval": "PT1H", "workgroupName": "work", "sql": "SELECT 1"}) + "\n")
            for _ in range(200):
                found = server.search()["results"]
                if found:
                    break
                time.sleep(0.1)
            done = server.until(found[0]["id"], "SUCCESS")
            self.assertEqual(done["taskRunList"][0]["outputs"]["value"], "3")

    def external(self, rc=0, file="id,name,price,at,zoned\n1,a,1.50,2024-01-02 03:04:05,2024-01-02T03:04:05Z\n-2,a longer name than sixteen,100,,\n", **more):
        api, seen = self.api(DescribeStatement=lambda body, n: (200, {}, {"Id": "s1", "Status": "FINISHED", "HasResultSet": False}))
        path = self.tmp / "in.csv"
        path.write_text(file)
        task = {"id": "e", "type": "io.sluice.redshift.CreateExternalTable", "workgroupName": "work", "schema": "ext", "table": "trips", "location": "s3://b/trips/", **more}
        with api:
            done = self.flow(flow(task).replace("tasks:", "inputs: [{id: file, type: FILE}]\ntasks:"), "-i", f"file=@{path}", "--output", "json", env={**KEYS, "AWS_ENDPOINT_URL_REDSHIFT_DATA": api.url})
        self.assertEqual(done.rc, rc, done)
        return done.err if rc else [body["Sql"] for op, body in seen if op == "ExecuteStatement"]

    def test_external_table(self):
        """No Redshift can be had: the SQL is what can be shown."""
        table = 'CREATE EXTERNAL TABLE "ext"."trips" (\n  "id" integer,\n  "name" varchar(32),\n  "price" decimal(5,2),\n  "at" timestamp,\n  "zoned" varchar(64)\n)'
        self.assertEqual(self.external(**{"from": "{{ inputs.file }}"}), [table + "\nROW FORMAT DELIMITED FIELDS TERMINATED BY ','\nSTORED AS TEXTFILE\nLOCATION 's3://b/trips/'\nTABLE PROPERTIES ('skip.header.line.count'='1')"])
        got = self.external(columns=[{"name": "a", "type": "int"}], partitionedBy=[{"name": "month", "type": "char(7)"}], format="PARQUET", ifExists="REPLACE", createSchemaFrom="spectrum", iamRole="default")
        self.assertEqual(got, [
            'CREATE EXTERNAL SCHEMA IF NOT EXISTS "ext" FROM DATA CATALOG DATABASE \'spectrum\' IAM_ROLE default CREATE EXTERNAL DATABASE IF NOT EXISTS',
            'DROP TABLE IF EXISTS "ext"."trips"',
            'CREATE EXTERNAL TABLE "ext"."trips" (\n  "a" int\n)\nPARTITIONED BY (\n  "month" char(7)\n)\nSTORED AS PARQUET\nLOCATION \'s3://b/trips/\'',
        ])
        got = self.external(file="a;b\n1;x\n", serde="OPENCSV", skipHeaderLines=2, **{"from": "{{ inputs.file }}"})[0]
        self.assertIn('"a" varchar(65535),\n  "b" varchar(65535)', got)
        self.assertIn("OpenCSVSerde'\nWITH SERDEPROPERTIES ('separatorChar'=';', 'quoteChar'='\"', 'escapeChar'='\\\\')", got)
        self.assertIn("'skip.header.line.count'='2'", got)
        for more, said in (({}, "needs either 'columns', or"), ({"columns": [{"name": "a", "type": "int; DROP"}]}, "number 1 is not"), ({"columns": [{"name": "a"}]}, "number 1 is not"), ({"location": "gs://b/"}, "'location' must be s3://"),
                           ({"columns": [{"name": "a", "type": "int"}], "createSchemaFrom": "x"}, "needs 'iamRole'"), ({"from": "{{ inputs.file }}", "format": "ORC"}, "give 'columns'")):
            self.assertIn(said, self.external(rc=1, **more))

    def test_bad_ends(self):
        status = lambda **s: lambda body, n: (200, {}, {"Id": "s1", "HasResultSet": False, **s})
        for describe, said in (
            (status(Status="ABORTED", Error="by the administrator"), "the statement was cancelled in Redshift: by the administrator"),
            (status(Status="FAILED", Error="ERROR: no such thing"), "ERROR: no such thing"),
            (lambda body, n: (400, {}, {"__type": "ResourceNotFoundException", "message": "Query does not exist"}), "does not know the statement s1 any more"),
            (lambda body, n: (400, {}, {"__type": "AccessDeniedException", "message": "not you"}), "AccessDeniedException.*not you"),
        ):
            api, _ = self.api(DescribeStatement=describe)
            with self.subTest(said), api:
                self.assertRegex(self.run_it(api, rc=1).err, said)


class Iam(Base):
    """Redshift's own face of the local cloud lets in whoever has its password: that is what the scripted IAM gives out."""

    def iam(self, password, port, refuse=None):
        def answer(r):
            if "x-amz-target" in r.headers:
                self.assertEqual(r.headers["x-amz-target"], "RedshiftServerless.GetCredentials")
                self.assertIn("/redshift-serverless/aws4_request", r.headers["authorization"])
                return 200, {}, {"dbUser": "IAMR:role", "dbPassword": password, "expiration": 0}
            form = r.form()
            self.assertIn("/eu-west-1/redshift/aws4_request", r.headers["authorization"])
            if refuse:
                return 400, {}, refuse
            name = form["Action"]
            inner = f"<DbUser>IAM:{form.get('DbUser', 'who')}</DbUser><DbPassword>{password}</DbPassword><Expiration>2030-01-01T00:00:00Z</Expiration>"
            if name == "DescribeClusters":
                inner = f"<Clusters><Cluster><Endpoint><Address>127.0.0.1</Address><Port>{port}</Port></Endpoint></Cluster></Clusters>"
            return 200, {}, f'<{name}Response xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><{name}Result>{inner}</{name}Result></{name}Response>'.encode()

        return Scripted(answer)

    def select(self, iam, url, rc=0, **more):
        task = {"id": "q", "type": RS + "Query", "url": url, "sql": "SELECT 42 AS n", "fetchType": "FETCH_ONE", **more}
        return self.play(task, rc=rc, env={"AWS_ENDPOINT_URL": iam.url})

    def test_login(self):
        other = type(self)("test_login")
        other.setUp()
        self.addCleanup(other.doCleanups)
        with LocalCloud(other) as cloud:
            env = dict(line.removeprefix("export ").split("=", 1) for line in other.ok(other.sluice("local", "env")).out.splitlines() if line.startswith("export "))
            port, password = env["REDSHIFT_PORT"], env["REDSHIFT_PASSWORD"].strip("'\"")
            with self.iam(password, port) as iam:
                for url, more, actions in (
                    ("jdbc:redshift:iam://my-cluster:eu-west-1/dev?DbUser=ann&AutoCreate=true&DbGroups=a,b&sslmode=disable", {}, ["DescribeClusters", "GetClusterCredentials"]),
                    (f"jdbc:redshift:iam://127.0.0.1:{port}/dev?ClusterID=my-cluster&Region=eu-west-1&sslmode=disable", {}, ["GetClusterCredentialsWithIAM"]),
                    (f"jdbc:redshift:iam://127.0.0.1:{port}/dev?ClusterID=my-cluster&Region=eu-west-1&ssl=false", {"username": "bob"}, ["GetClusterCredentials"]),
                    (f"jdbc:redshift:iam://127.0.0.1:{port}/dev?serverlessWorkGroup=w1&Region=eu-west-1&sslmode=disable", {}, [None]),
                ):
                    with self.subTest(url):
                        iam.requests.clear()
                        done = self.select(iam, url, **more)
                        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["row"], {"n": 42})
                        self.assertEqual([None if "x-amz-target" in r.headers else r.form()["Action"] for r in iam.requests], actions)
                        self.assertNotIn(password, done.err + done.out)
                first = [r.form() for r in iam.requests if "x-amz-target" not in r.headers]
                self.assertEqual(first, [])
                # A password of IAM goes over TLS unless the URL says otherwise: one that has none gets no password.
                done = self.select(iam, f"jdbc:redshift:iam://127.0.0.1:{port}/dev?ClusterID=c&Region=eu-west-1")
                self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["row"], {"n": 42})
                with socket.create_server(("127.0.0.1", 0)) as plain:
                    said = []

                    def refuse():
                        client, _ = plain.accept()
                        with client:
                            said.append(client.recv(100))
                            client.sendall(b"N")
                            said.append(client.recv(100))

                    threading.Thread(target=refuse, daemon=True).start()
                    done = self.select(iam, f"jdbc:redshift:iam://127.0.0.1:{plain.getsockname()[1]}/dev?ClusterID=c&Region=eu-west-1", rc=1)
                self.assertRegex(done.err, "does not support SSL")
                self.assertEqual(said, [b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b""])

    def test_refusals(self):
        error = b'<ErrorResponse xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><Error><Type>Sender</Type><Code>ClusterNotFound</Code><Message>Cluster my-cluster not found.</Message></Error></ErrorResponse>'
        with self.iam("p", 1, refuse=error) as iam:
            done = self.select(iam, "jdbc:redshift:iam://my-cluster:eu-west-1/dev", rc=1)
            self.assertRegex(done.err, r"no credentials for the cluster 'my-cluster' \(DescribeClusters: HTTP 400, ClusterNotFound: Cluster my-cluster not found")
            for url, said in (("jdbc:redshift:iam:my-cluster", "must be jdbc:redshift:iam://"), ("jdbc:redshift:iam://db.example.org:5439/dev", "names no cluster or workgroup")):
                self.assertRegex(self.select(iam, url, rc=1).err, said)
        done = self.play({"id": "q", "type": RS + "Query", "sql": "SELECT 1"}, rc=1)
        self.assertRegex(done.err, "needs 'url', or 'clusterIdentifier' or 'workgroupName'")


if __name__ == "__main__":
    unittest.main()
