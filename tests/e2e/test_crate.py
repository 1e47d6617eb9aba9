"""CrateDB over HTTP and over the PostgreSQL protocol, against a peer made from what a real one was recorded to say."""

import gzip
import json
import unittest

from crate import Crate
from scripted import Scripted
from sluice import EXAMPLES, Case

CRATE, PG = "io.sluice.cratedb.", "io.kestra.plugin.jdbc.postgresql."


class CrateDb(Case):
    def setUp(self):
        super().setUp()
        self.crate = Crate()
        self.addCleanup(self.crate.__exit__)
        self.login = {"url": self.crate.url, "password": "secret"}

    def play(self, *tasks, rc=0, file=None, env=None):
        flow = "id: f\nnamespace: tests\n" + ("inputs: [{id: file, type: FILE}]\n" if file else "") + "tasks:\n" + "".join("  - " + json.dumps(t, ensure_ascii=False) + "\n" for t in tasks)
        args = []
        if file:
            path = self.tmp / "in.ion"
            path.write_text(file)
            args = ["-i", f"file=@{path}"]
        done = self.flow(flow, *args, "--output", "json", env=env)
        self.assertEqual(done.rc, rc, done)
        return done

    def query(self, sql, rc=0, env=None, **more):
        done = self.play({"id": "q", "type": CRATE + "Query", **self.login, "sql": sql, **more}, rc=rc, env=env)
        return done if rc else json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]

    def bulk(self, file, rc=0, env=None, **more):
        done = self.play({"id": "b", "type": CRATE + "Bulk", **self.login, "from": "{{ inputs.file }}", "table": "doc.t", **more}, rc=rc, file=file, env=env)
        return done if rc else json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]

    def test_query(self):
        out = self.query(
            "CREATE TABLE doc.t (id INTEGER PRIMARY KEY, name TEXT, ts TIMESTAMP WITH TIME ZONE, local TIMESTAMP, ok BOOLEAN, o OBJECT);"
            "INSERT INTO doc.t VALUES (1, :name, 1709168523456, -1, true, '{\"k\": [1]}'), (2, NULL, NULL, NULL, NULL, NULL); REFRESH TABLE doc.t; SELECT * FROM doc.t ORDER BY id",
            parameters={"name": "it's"},
            fetchType="FETCH",
        )
        self.assertEqual(out["rows"], [{"id": 1, "name": "it's", "ts": "2024-02-29T01:02:03.456Z", "local": "1969-12-31T23:59:59.999", "ok": True, "o": {"k": [1]}}, {"id": 2, "name": None, "ts": None, "local": None, "ok": None, "o": None}])
        self.assertEqual(out["rowCount"], 2)
        self.assertEqual(self.query("SELECT name FROM doc.t WHERE id = ?", args=[1], fetchType="FETCH_ONE")["row"], {"name": "it's"})

    def test_refusals(self):
        self.query("CREATE TABLE doc.t (id INTEGER PRIMARY KEY); INSERT INTO doc.t VALUES (1)")
        for sql, said in (("SELECT * FROM doc.missing", r"Relation 'doc.missing' unknown\] \(HTTP 404\)"), ("SELECT nope FROM doc.t", "Column nope unknown"), ("INSERT INTO doc.t VALUES (1)", r"same primary key exists already\] \(HTTP 409\)"),
                          ("SELECT 1; MERGE INTO x", r"mismatched input 'MERGE' \(HTTP 400\).*statement 2 of 2"), ("-- nothing", "holds no statement"), ("SELECT :a", None)):
            with self.subTest(sql):
                done = self.query(sql, rc=1, **({"parameters": {"b": 1}} if said is None else {}))
                self.assertRegex(done.err, said or "parameter :a, which 'parameters' does not have")
        self.login["password"] = "wrong"
        self.assertRegex(self.query("SELECT 1", rc=1).err, "Invalid authentication")
        self.login["url"] = "crate://x"
        self.assertRegex(self.query("SELECT 1", rc=1).err, "'url' must be http://host:4200")

    def test_the_password_shows_nowhere(self):
        self.login["password"] = "canary-4711"
        task = {"id": "q", "type": CRATE + "Query", **self.login, "sql": "SELECT 'canary-4711' AS n", "fetchType": "FETCH"}
        done = self.flow("id: f\nnamespace: tests\ntasks:\n  - " + json.dumps(task).replace('"canary-4711", "sql"', '"{{ secret(\'P\') }}", "sql"').replace("SELECT 'canary-4711'", "SELECT 1") + "\n", "--trace", env={"SECRET_P": "Y2FuYXJ5LTQ3MTE="})
        self.assertEqual(done.rc, 1, done)
        everything = done.out + done.err + self.sluice("execution", "logs", done.id).out
        for form in ("canary-4711", "Y2FuYXJ5LTQ3MTE", "Y3JhdGU6Y2FuYXJ5LTQ3MTE"):  # crate:canary-4711 as the header has it
            self.assertNotIn(form, everything)
        self.assertIn("Invalid authentication", everything)

    def test_copy_that_loses_rows(self):
        """Status 200, and nothing there: the header's case differs. Over both protocols that is an error here."""
        path = self.tmp / "taxi.csv.gz"
        path.write_bytes(gzip.compress(b"VendorID,fare\n" + b"1,2.5\n" * 199))
        self.query("CREATE TABLE doc.taxi (vendorid INTEGER, fare DOUBLE PRECISION)")
        copy = f"COPY doc.taxi FROM 'file://{path}' WITH (format='csv', compression='gzip', header=true)"
        wanted = r"CrateDB has loaded 0 rows of file://\S+taxi.csv.gz and refused 199: Column VendorID unknown \(199 rows, lines 2, 3, 4, 5, 6, …\); names in the header must be those of the columns, in the same case"
        self.assertRegex(self.query(copy, rc=1).err, wanted)
        self.assertRegex(self.query(copy + " RETURN SUMMARY;", rc=1).err, wanted)
        wire = {"id": "w", "type": PG + "Queries", "url": f"jdbc:postgresql://127.0.0.1:{self.crate.port}/", "username": "crate", "sql": copy + "; SELECT count(*) AS n FROM doc.taxi", "fetchType": "FETCH"}
        self.assertRegex(self.play(wire, rc=1).err, wanted)
        path.write_bytes(gzip.compress(b"vendorid,fare\n" + b"1,2.5\n" * 199))
        self.assertEqual(self.query(copy)["rowCount"], 199)
        done = self.play(wire)
        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["outputs"], [{"size": 1, "rows": [{"n": 398}]}])

    def test_wire(self):
        """No ROLLBACK, no transaction: neither is sent. Errors come without their stack trace."""
        url = f"jdbc:postgresql://127.0.0.1:{self.crate.port}/"
        task = {"id": "w", "type": PG + "Queries", "url": url, "username": "crate", "sql": "CREATE TABLE doc.w (id INTEGER PRIMARY KEY, o OBJECT); INSERT INTO doc.w VALUES (1, '{\"a\": 1}'); SELECT * FROM doc.w WHERE id = :id; INSERT INTO doc.w VALUES (1, NULL)", "parameters": {"id": 1}, "fetchType": "FETCH"}
        done = self.play(task, rc=1)
        self.assertRegex(done.err, "same primary key exists already")
        self.assertNotIn("stack trace", done.err)
        self.assertEqual(self.crate.rows("SELECT count(*) FROM doc.w"), [(1,)])
        self.assertFalse([s for s in self.crate.statements if s.upper().startswith(("ROLLBACK", "SAVEPOINT"))])

    def test_bulk(self):
        self.query("CREATE TABLE doc.t (id INTEGER PRIMARY KEY, name TEXT, at TEXT, o OBJECT)")
        file = "".join(f'{{id:{i},name:"n{i}",at:2024-01-02T03:04:05Z,o:{{k:[{i}]}}}}\n' for i in range(1, 1001))
        self.assertEqual(self.bulk(file, chunk=300), {"rowCount": 1000, "changedCount": 1000})
        self.assertEqual(self.crate.rows("SELECT count(*), sum(id), max(at), max(o) FROM doc.t"), [(1000, 500500, "2024-01-02T03:04:05Z", '{"k": [9]}')])
        self.assertEqual(len([r for r in self.crate.http.requests if b"bulk_args" in r.body]), 4)
        done = self.bulk(file.replace("n5", "m5"), rc=1)
        self.assertRegex(done.err, r"CrateDB refused 1000 of 1000 rows, the first is record 1 of the file: .*same primary key.*; the others are there")
        self.assertEqual(self.bulk(file, onConflict="IGNORE"), {"rowCount": 1000, "changedCount": 0})
        self.assertEqual(self.bulk('{id:1,name:"new"}\n{id:2000,name:"more"}\n', onConflict="UPDATE", keys=["id"])["changedCount"], 2)
        self.assertEqual(self.crate.rows("SELECT name FROM doc.t WHERE id IN (1, 2000) ORDER BY id"), [("new",), ("more",)])
        self.assertEqual(self.bulk("[7,x]\n", columns=["id", "name"], replace=True)["rowCount"], 1)
        self.assertEqual(self.crate.rows("SELECT id, name FROM doc.t"), [(7, "x")])
        self.assertEqual(self.crate.statements[-1], "REFRESH TABLE doc.t")
        for more, said in (({"onConflict": "UPDATE"}, "needs 'keys'"), ({"chunk": 0}, "'chunk' must be from 1"), ({"table": "doc.none"}, "Relation 'doc.none' unknown")):
            self.assertRegex(self.bulk("{id:1}\n", rc=1, **more).err, said)

    def test_killed(self):
        """Between a request and its answer nobody can tell; where the rows may be sent again they are."""
        file = "".join(f"{{id:{i}}}\n" for i in range(1, 101))
        for label in ("cratedb.before_bulk", "cratedb.after_bulk"):
            for n in (1, 3):
                for how in ("ERROR", "IGNORE"):
                    with self.subTest(label=label, n=n, how=how):
                        self.query("DROP TABLE IF EXISTS doc.t; CREATE TABLE doc.t (id INTEGER PRIMARY KEY)")
                        killed = self.bulk(file, chunk=25, onConflict=how, rc=-9, env={"SLUICE_FAULT": f"{label}:{n}:kill"})
                        done = self.sluice("run", "--continue", killed.id)
                        if how == "ERROR":
                            self.assertRegex(done.err, f"interrupted while rows behind record {25 * (n - 1)} were sent")
                        else:
                            self.ok(done)
                            self.assertEqual(self.crate.rows("SELECT count(*), sum(id) FROM doc.t"), [(100, 5050)])
        killed = self.query("INSERT INTO doc.t VALUES (500)", rc=-9, env={"SLUICE_FAULT": "cratedb.after_call:1:kill"})
        self.assertRegex(self.sluice("run", "--continue", killed.id).err, r"CrateDB cannot tell whether it took effect: INSERT INTO doc.t")
        killed = self.query("INSERT INTO doc.t VALUES (500) ON CONFLICT DO NOTHING; INSERT INTO doc.t VALUES (501)", rc=-9, env={"SLUICE_FAULT": "cratedb.after_call:1:kill"})
        self.ok(self.sluice("run", "--continue", killed.id))
        self.assertEqual(self.crate.rows("SELECT count(*) FROM doc.t WHERE id IN (500, 501)"), [(2,)])

    def test_example(self):
        """Packed CSV over HTTP, rows without passengers dropped, the table replaced; twice is the same."""
        rows = "".join(f"{i},{i % 4},{i / 2}\n" for i in range(400))
        packed = gzip.compress(b"VendorID,passenger_count,fare_amount\n" + rows.encode())
        with Scripted(lambda r: (200, {"Content-Type": "application/gzip"}, packed)) as site:
            for _ in range(2):
                self.ok(self.sluice("run", EXAMPLES / "crate_trips.yaml", "-i", f"source={site.url}/trips.csv.gz", "-i", f"crate={self.crate.url}", "-i", "password=secret"))
        self.assertEqual(self.crate.rows("SELECT count(*), sum(fare_amount), min(passenger_count) FROM trip_data"), [(300, sum(i / 2 for i in range(400) if i % 4), 1)])


if __name__ == "__main__":
    unittest.main()
