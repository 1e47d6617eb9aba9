"""The PostgreSQL tasks against Debian's PostgreSQL."""

import collections
import csv
import gzip
import io
import json
import os
import random
import shutil
import socket
import threading
import time
import unittest

from peers import POSTGRES, Postgres, missing
from sluice import Case

HEAD = """
id: pg
namespace: tests
pluginDefaults:
  - type: io.kestra.plugin.jdbc.postgresql
    values: {url: "URL", username: root, password: "secret pass'word"}
tasks:
"""
PG = "io.kestra.plugin.jdbc.postgresql."


def setUpModule():
    global server
    server = Postgres() if POSTGRES.exists() else None


def tearDownModule():
    if server:
        server.stop()


@unittest.skipUnless(POSTGRES.exists(), missing(POSTGRES))
class PostgresCase(Case):
    def setUp(self):
        super().setUp()
        server.psql("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")

    def run_flow(self, tasks, *args, rc=0, url=None, **kw):
        done = self.flow(HEAD.replace("URL", url or server.url) + tasks, "--output", "json", *args, **kw)
        self.assertEqual(done.rc, rc, done)
        return done

    def outputs(self, tasks, **kw):
        done = self.run_flow(tasks, **kw)
        return {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_text()

    def file(self, name, text):
        """A task that makes a stored file."""
        path = self.tmp / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"""
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {{type: io.kestra.plugin.core.runner.Process}}
    outputFiles: [{name}]
    commands: [cp {path} {name}]
"""


class Query(PostgresCase):
    def test_types(self):
        values = {
            "1::int2 a": 1, "-9007199254740993::int8 b": -9007199254740993, "1.5::float4 c": 1.5, "0.1::float8 d": 0.1, "'NaN'::float8 e": None, "12.50::numeric f": 12.5,
            "12345678901234567890.123456789::numeric g": "12345678901234567890.123456789", "true h": True, "'ä \"q\" \\ '::text i": 'ä "q" \\ ', "NULL::int j": None, "date '2024-02-29' k": "2024-02-29",
            "time '03:04:05.5' l": "03:04:05.500", "timestamp '2024-02-29 03:04:05.123456' m": "2024-02-29T03:04:05.123456", "timestamptz '2024-02-29 03:04:05+00' n": "2024-02-29T04:04:05+01:00[Europe/Paris]",
            "interval '1 year 2 mons -3 days 04:05:06' o": "P1Y2M-3DT4H5M6S", "'\\x00ff'::bytea p": "AP8=", "'{\"a\": [1, {\"b\": null}]}'::jsonb q": {"a": [1, {"b": None}]}, "'[1]'::json r": [1],
            "ARRAY[1, NULL, 3] s": [1, None, 3], "ARRAY['a,b', 'c\"d', 'NULL', NULL] t": ["a,b", 'c"d', "NULL", None], "ARRAY[[1,2],[3,4]] u": [[1, 2], [3, 4]], "'{}'::text[] v": [],
            "'6f2c1e4a-8c53-4a0e-9d0b-0a7b4f1c2d3e'::uuid w": "6f2c1e4a-8c53-4a0e-9d0b-0a7b4f1c2d3e", "'10.0.0.1'::inet x": "10.0.0.1", "int4range(1, 5) y": "[1,5)", "'infinity'::timestamp z": "infinity",
        }
        sql = "SELECT " + ", ".join(values)
        tasks = f"  - id: q\n    type: {PG}Query\n    fetchType: FETCH_ONE\n    timeZoneId: Europe/Paris\n    sql: |\n      {sql}\n"
        row = self.outputs(tasks)["q"]["row"]
        for (expression, expected), (name, got) in zip(values.items(), row.items()):
            with self.subTest(expression):
                self.assertEqual(name, expression.rsplit(" ", 1)[1])
                if name != "e":
                    self.assertEqual(got, expected)

    def test_fetch(self):
        base = f"type: {PG}Query, sql: 'SELECT g AS n, repeat(chr(97), 100) t FROM generate_series(1, 20000) g'"
        out = self.outputs(
            f"  - {{id: none, {base}}}\n  - {{id: store, {base}, fetchType: STORE}}\n  - {{id: old, {base}, store: true}}\n  - {{id: one, {base}, fetchOne: true}}\n"
            f"  - {{id: some, type: {PG}Query, sql: 'SELECT 1 a, 2 a, 3 b', fetch: true}}\n  - {{id: empty, type: {PG}Query, sql: 'SELECT 1 WHERE false', fetchType: FETCH}}\n"
        )
        self.assertEqual(out["none"], {})
        self.assertEqual((out["store"]["size"], out["old"]["size"]), (20000, 20000))
        lines = self.stored(out["store"]["uri"]).splitlines()
        self.assertEqual((len(lines), lines[41]), (20000, '{n:42,t:"' + "a" * 100 + '"}'))
        two = self.outputs(f"  - {{id: q, type: {PG}Queries, sql: 'SELECT 1 n; SELECT 2 n', fetchType: STORE}}\n")["q"]["outputs"]
        self.assertEqual([self.stored(o["uri"]) for o in two], ["{n:1}\n", "{n:2}\n"], "each result has a file of its own")
        self.assertEqual(out["one"]["row"], {"n": 1, "t": "a" * 100})
        self.assertEqual(out["some"], {"rows": [{"a": 2, "b": 3}], "size": 1})
        self.assertEqual(out["empty"], {"rows": [], "size": 0})

    def test_parameters(self):
        """Bound, never pasted; not in quotes, comments, casts and dollar quotes."""
        tasks = f"""
  - id: q
    type: {PG}Query
    fetchType: FETCH_ONE
    parameters: {{name: "x'; DROP TABLE t; --", n: 7, no: null, flag: true}}
    sql: |
      SELECT :name::text AS a, ':name' AS b, $$:name$$ AS c, :n::int + :n::int AS d, :no::text AS e, /* :name */ :flag::bool AS f, '2024-01-01 10:30'::timestamp AS g -- :name
"""
        row = self.outputs(tasks)["q"]["row"]
        self.assertEqual(row, {"a": "x'; DROP TABLE t; --", "b": ":name", "c": ":name", "d": 14, "e": None, "f": True, "g": "2024-01-01T10:30"})
        self.assertRegex(self.run_flow(f"  - {{id: q, type: {PG}Query, sql: 'SELECT :other', parameters: {{a: 1}}}}\n", rc=1).err, r"the parameter :other, which 'parameters' does not have")

    def test_queries(self):
        tasks = f"""
  - id: q
    type: {PG}Queries
    fetchType: FETCH
    sql: |
      -- a comment; with a semicolon
      CREATE TABLE t (a int, b text);
      INSERT INTO t VALUES (1, 'one; two'), (2, $x$three;four$x$);
      CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END; $$;
      SELECT * FROM t ORDER BY a; SELECT twice(21) AS n;
      DO $$ BEGIN PERFORM 1; END $$;
      ;
"""
        out = self.outputs(tasks)["q"]["outputs"]
        self.assertEqual(out, [{"size": 2, "rows": [{"a": 1, "b": "one; two"}, {"a": 2, "b": "three;four"}]}, {"size": 1, "rows": [{"n": 42}]}])

    def test_transaction(self):
        """All or nothing; with transaction: false, all before the failure."""
        sql = "CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1/0; INSERT INTO t VALUES (2)"
        done = self.run_flow(f"  - {{id: q, type: {PG}Queries, sql: '{sql}'}}\n", rc=1)
        self.assertRegex(done.err, r"division by zero \(SQLSTATE 22012\)")
        self.assertEqual(server.psql("SELECT to_regclass('t') IS NULL"), "t")
        self.run_flow(f"  - {{id: q, type: {PG}Queries, transaction: false, sql: '{sql}'}}\n", rc=1)
        self.assertEqual(server.psql("SELECT string_agg(a::text, ',') FROM t"), "1")

    def test_transactions_of_the_text(self):
        """BEGIN, COMMIT and ROLLBACK mean what they say, and what they commit happens once."""
        server.psql("CREATE TABLE t (a int)")
        rows = lambda: server.psql("SELECT string_agg(a::text, ',' ORDER BY a) FROM t")
        task = lambda sql, **p: f"  - {{id: q, type: {PG}Queries, sql: '{sql}'" + "".join(f", {k}: {v}" for k, v in p.items()) + "}\n"
        self.run_flow(task("BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT 1/0"), rc=1)
        self.assertEqual(rows(), "1")
        self.run_flow(task("INSERT INTO t VALUES (3); ROLLBACK; INSERT INTO t VALUES (4)"))
        self.assertEqual(rows(), "1,4")
        self.run_flow(task("BEGIN; INSERT INTO t VALUES (5); SAVEPOINT s; INSERT INTO t VALUES (6); ROLLBACK TO SAVEPOINT s; END; START TRANSACTION; INSERT INTO t VALUES (7); ROLLBACK; INSERT INTO t VALUES (8)", transaction="false"))
        self.assertEqual(rows(), "1,4,5,8")
        level = self.outputs(task("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT current_setting(''transaction_isolation'') AS level; COMMIT", fetchType="FETCH_ONE"))
        self.assertEqual(level["q"]["outputs"][0]["row"], {"level": "serializable"})
        self.assertIn("CHAIN", self.run_flow(task("BEGIN; COMMIT AND CHAIN"), rc=1).err)
        for transaction in ("true", "false"):
            for n in (1, 2):
                server.psql("TRUNCATE t")
                flow = task("BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (2); COMMIT", transaction=transaction)
                killed = self.run_flow(flow, env={"SLUICE_FAULT": f"sql.after_commit:{n}:kill"}, rc=-9)
                self.ok(self.sluice("run", "--continue", killed.id, "-q"))
                self.assertEqual(rows(), "1,2")

    def test_outside_of_a_transaction(self):
        self.run_flow(f"  - {{id: q, type: {PG}Queries, sql: 'CREATE TABLE t (a int); INSERT INTO t VALUES (1); VACUUM t; CREATE INDEX CONCURRENTLY i ON t (a); INSERT INTO t VALUES (2)'}}\n")
        self.assertEqual(server.psql("SELECT count(*) FROM t"), "2")

    def test_after_sql(self):
        server.psql("CREATE TABLE t AS SELECT 1 AS a")
        out = self.outputs(f"  - {{id: q, type: {PG}Query, sql: 'SELECT * FROM t', afterSQL: 'DELETE FROM t', fetchType: FETCH}}\n")
        self.assertEqual((out["q"]["rows"], server.psql("SELECT count(*) FROM t")), ([{"a": 1}], "0"))

    def test_errors(self):
        """One sentence that names the place."""
        cases = {
            "sql: 'SELECT 1; SELECT 2'": r"Query takes one statement, and 'sql' holds 2; use Queries",
            "sql: '-- nothing'": r"'sql' holds no statement",
            'sql: "SELECT 1,\\n  nope FROM generate_series(1, 2)"': r'column "nope" does not exist .*SQLSTATE 42703.*line 2, column 3 of the SQL',
            "sql: 'SELECT * FROM none'": r'relation "none" does not exist',
            "sql: 'COPY none FROM STDIN'": r'relation "none" does not exist',
            "sql: 'SELECT 1', password: wrong": r"cannot log in to the database at 127.0.0.1:\d+ as 'root': password authentication failed",
            "sql: 'SELECT 1', url: 'jdbc:mysql://x/y'": r"'url' must begin with jdbc:postgresql:",
            "sql: 'SELECT 1', url: 'jdbc:postgresql://127.0.0.1:99999/y'": r"port '99999'",
            "sql: 'SELECT 1', url: 'jdbc:postgresql://127.0.0.1:1/y'": r"cannot log in to the database at 127.0.0.1:1 .*refused",
        }
        for words, expected in cases.items():
            with self.subTest(words):
                done = self.run_flow(f"  - {{id: q, type: {PG}Query, {words}}}\n", rc=1)
                self.assertRegex(done.err, expected)
                self.assertNotIn("secret pass", done.err + done.out)

    def test_tls(self):
        pem = (server.folder / "server.crt").read_text().replace("\n", "\\n")
        out = self.outputs(f"  - {{id: q, type: {PG}Query, sql: 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()', fetchType: FETCH_ONE, sslMode: VERIFY_FULL, sslRootCert: \"{pem}\"}}\n")
        self.assertEqual(out["q"]["row"], {"ssl": True})
        done = self.run_flow(f"  - {{id: q, type: {PG}Query, sql: 'SELECT 1', ssl: true}}\n", rc=1)
        self.assertRegex(done.err, r"cannot log in .*certificate")

    def test_stopped(self):
        """A timeout cancels the statement on the server."""
        done = self.run_flow(f"  - {{id: q, type: {PG}Query, sql: 'SELECT pg_sleep(60)', timeout: PT1S}}\n", rc=1)
        self.assertIn("Timeout", done.err)
        self.assertEqual(server.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"), "0")

    def test_killed(self):
        """Killed around every COMMIT: each change happens once."""
        sql = "CREATE TABLE IF NOT EXISTS t (a serial); INSERT INTO t DEFAULT VALUES; SELECT count(*) AS n FROM t"
        for transaction in ("true", "false"):
            task = f"  - {{id: q, type: {PG}Queries, transaction: {transaction}, fetchType: FETCH, sql: '{sql}'}}\n"
            log = self.tmp / "labels"
            log.unlink(missing_ok=True)
            server.psql("DROP TABLE IF EXISTS t")
            self.run_flow(task, env={"SLUICE_FAULT_LOG": str(log)})
            counts = collections.Counter(line for line in log.read_text().split() if line.startswith(("sql.", "task.")))
            self.assertIn("sql.after_commit", counts)
            for label, count in sorted(counts.items()):
                for n in range(1, count + 1):
                    with self.subTest(transaction=transaction, label=label, n=n):
                        server.psql("DROP TABLE IF EXISTS t")
                        shutil.rmtree(self.data, ignore_errors=True)
                        killed = self.run_flow(task, env={"SLUICE_FAULT": f"{label}:{n}:kill"}, rc=-9)
                        done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
                        out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]
                        self.assertEqual(server.psql("SELECT count(*) FROM t"), "1")
                        self.assertEqual(out["outputs"], [{"size": 1, "rows": [{"n": 1}]}])

    def test_large_rows_with_changes(self):
        """Rows that do not fit into a checkpoint are kept in a file."""
        sql = "CREATE TABLE t AS SELECT g FROM generate_series(1, 20000) g; SELECT * FROM t ORDER BY g"
        killed = self.run_flow(f"  - {{id: q, type: {PG}Queries, fetchType: FETCH, sql: '{sql}'}}\n", env={"SLUICE_FAULT": "sql.after_commit:1:kill"}, rc=-9)
        done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
        out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["outputs"]
        self.assertEqual([r["g"] for r in out[0]["rows"]], list(range(1, 20001)))


class LostAnswer:
    """A proxy that passes the first message with `word` on to the server, waits, and cuts the connection before the answer."""

    def __init__(self, port, word, deliver):
        self.target, self.word, self.deliver, self.cuts = ("127.0.0.1", port), word, deliver, 0
        self.server, self.sockets = socket.create_server(("127.0.0.1", 0)), []
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            self.sockets += [client, upstream]
            for source, sink, watch in ((client, upstream, True), (upstream, client, False)):
                threading.Thread(target=self.copy, args=(source, sink, watch, client), daemon=True).start()

    def copy(self, source, sink, watch, client):
        try:
            while data := source.recv(65536):
                if watch and not self.cuts and self.word in data:
                    self.cuts = 1
                    if self.deliver:
                        sink.sendall(data)
                        time.sleep(0.5)
                    client.shutdown(socket.SHUT_RDWR)
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in [self.server, *self.sockets]:
            s.close()


class Connection(PostgresCase):
    """A connection that is lost at the worst moment."""

    def test_commit_whose_answer_is_lost(self):
        for deliver in (True, False):
            with self.subTest(deliver=deliver), LostAnswer(server.port, b"COMMIT", deliver) as proxy:
                server.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (a int)")
                task = f"  - {{id: q, type: {PG}Queries, sql: 'INSERT INTO t VALUES (1)', retry: {{type: constant, interval: PT0.1S, maxAttempts: 3}}}}\n"
                done = self.run_flow(task, url=f"jdbc:postgresql://127.0.0.1:{proxy.port}/postgres?sslmode=disable")
                self.assertEqual((proxy.cuts, server.psql("SELECT count(*) FROM t")), (1, "1"))
                self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["attempts"], 1 if deliver else 2)


class Redshift(PostgresCase):
    """Over the same protocol; no Redshift can be had here, so this shows the protocol's side only."""

    def redshift(self, task, rc=0, **kw):
        url = server.url.replace("jdbc:postgresql:", "jdbc:redshift:")
        done = self.flow(HEAD.replace("URL", url).replace("jdbc.postgresql", "jdbc.redshift") + task.replace("PG", "io.kestra.plugin.jdbc.redshift."), "--output", "json", **kw)
        self.assertEqual(done.rc, rc, done)
        return done

    def test_query(self):
        done = self.redshift("  - {id: q, type: PGQuery, sql: 'CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); SELECT a FROM t ORDER BY a; SELECT 7 AS a', fetchType: FETCH}\n")
        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"], {"size": 3, "rows": [{"a": 1}, {"a": 2}, {"a": 7}]})

    def test_queries(self):
        self.redshift("  - {id: q, type: PGQueries, sql: 'CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1/0'}\n", rc=1)
        self.assertEqual(server.psql("SELECT to_regclass('t') IS NULL"), "t")

    def test_doubt(self):
        """It cannot tell what became of a statement: an interruption is said, never repeated blindly; what may be repeated is."""
        insert = "  - {id: q, type: PGQuery, sql: 'INSERT INTO t VALUES (1)'}\n"
        server.psql("CREATE TABLE t (a int)")
        killed = self.redshift(insert, rc=-9, env={"SLUICE_FAULT": "task.after_checkpoint:1:kill"})
        done = self.sluice("run", "--continue", killed.id)
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"interrupted while this statement ran, and the database cannot tell whether it took effect: INSERT INTO t VALUES \(1\); look, and restart")
        killed = self.redshift(insert.replace("INSERT INTO t VALUES (1)", "CREATE TABLE IF NOT EXISTS u (a int)"), rc=-9, env={"SLUICE_FAULT": "task.after_checkpoint:1:kill"})
        self.ok(self.sluice("run", "--continue", killed.id))


class Copy(PostgresCase):
    def rows(self, n=5000):
        return [[str(i), f'name "{i}", with\nlines', "" if i % 7 == 0 else f"{i / 8}", "2024-02-29 01:02:03"] for i in range(n)]

    def csv(self, rows):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([["Id", "Name", "Amount", "At"], *rows])
        return out.getvalue()

    def test_both_ways(self):
        rows = self.rows()
        server.psql("CREATE TABLE t (id int, name text, amount double precision, at timestamp, extra text)")
        tasks = self.file("in.csv", self.csv(rows)) + f"""
  - {{id: copy, type: {PG}CopyIn, from: "{{{{ outputs.make.outputFiles['in.csv'] }}}}", table: t, columns: [Id, Name, Amount, At], format: CSV, header: true}}
  - {{id: out, type: {PG}CopyOut, sql: "SELECT id, name, amount, at FROM t ORDER BY id;", format: CSV, header: true}}
  - {{id: table, type: {PG}CopyOut, table: t, columns: [id, name], delimiter: "|", nullString: "-"}}
"""
        out = self.outputs(tasks)
        self.assertEqual(out["copy"], {"rowCount": len(rows)})
        self.assertEqual(server.psql("SELECT count(*), sum(amount), count(amount) FROM t"), f"{len(rows)}|{sum(float(r[2]) for r in rows if r[2])}|{sum(1 for r in rows if r[2])}")
        back = list(csv.reader(io.StringIO(self.stored(out["out"]["uri"]))))
        self.assertEqual(back[0], ["id", "name", "amount", "at"])
        self.assertEqual([(r[0], r[1]) for r in back[1:]], [(r[0], r[1]) for r in rows])
        self.assertEqual(out["table"]["rowCount"], len(rows))

    def test_packed(self):
        """gzip is unpacked on the way; a file that is cut is an error, and nothing of it stays."""
        packed = gzip.compress(self.csv(self.rows()).encode())
        server.psql("CREATE TABLE t (id int, name text, amount double precision, at timestamp)")
        task = lambda name: f"  - {{id: copy, type: {PG}CopyIn, from: 'file://{self.tmp}/{name}', table: t, format: CSV, header: true}}\n"
        for name, content, rows in (("whole.csv.gz", packed, 5000), ("short.csv", b"x", 0), ("empty.csv", b"", 0)):
            (self.tmp / name).write_bytes(content)
            self.assertEqual(self.outputs(task(name))["copy"], {"rowCount": rows})
        (self.tmp / "cut.csv.gz").write_bytes(packed[:-1000])
        self.assertRegex(self.run_flow(task("cut.csv.gz"), rc=1).err, r"the gzip file ends too early.*copying file://.*cut.csv.gz into t")
        self.assertEqual(server.psql("SELECT count(*), sum(id) FROM t"), f"5000|{sum(range(5000))}")

    def test_bad_row(self):
        """File, line, column and value; nothing of the file stays."""
        rows = self.rows(3000)
        rows[2500][2] = "n/a"
        server.psql("CREATE TABLE t (id int, name text, amount double precision, at timestamp)")
        tasks = self.file("in.csv", self.csv(rows)) + f"""  - {{id: copy, type: {PG}CopyIn, from: "{{{{ outputs.make.outputFiles['in.csv'] }}}}", table: t, format: CSV, header: true}}\n"""
        done = self.run_flow(tasks, rc=1)
        self.assertRegex(done.err, r'invalid input syntax for type double precision: "n/a".*COPY t, line 5003, column amount: "n/a".*copying kestra://.*in.csv into t')
        self.assertEqual(server.psql("SELECT count(*) FROM t"), "0")

    def test_killed(self):
        """No half file, and none twice."""
        rows = self.rows(2000)
        tasks = self.file("in.csv", self.csv(rows)) + f"""  - {{id: copy, type: {PG}CopyIn, from: "{{{{ outputs.make.outputFiles['in.csv'] }}}}", table: t, format: CSV, header: true}}\n"""
        for label in ("sql.before_commit:1", "sql.after_commit:1"):
            with self.subTest(label):
                server.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (id int, name text, amount double precision, at timestamp)")
                killed = self.run_flow(tasks, env={"SLUICE_FAULT": f"{label}:kill"}, rc=-9)
                done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
                self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][1]["outputs"], {"rowCount": 2000})
                self.assertEqual(server.psql("SELECT count(*), count(DISTINCT id) FROM t"), "2000|2000")


class Load(PostgresCase):
    """io.sluice.postgres.Load, against what psql's \\copy makes of the same file."""

    TYPES = "a bigint, b numeric, c double precision, d date, e timestamp, f boolean, g text, h timestamptz, i integer"

    def load(self, name="in.csv", rc=0, **more):
        task = {"id": "load", "type": "io.sluice.postgres.Load", "url": server.url, "username": "root", "password": "secret pass'word", "from": f"file://{self.tmp}/{name}", **more}
        done = self.run_flow("  - " + json.dumps(task) + "\n", rc=rc)
        return done.err if rc else {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}["load"]

    def write(self, header, rows, name="in.csv"):
        with open(self.tmp / name, "w", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([header, *rows])

    def samples(self, n, seed=1):
        r = random.Random(seed)
        null = lambda v: "" if r.random() < 0.1 else v
        for k in range(n):
            yield [
                null(r.choice([0, -1, 1, 2**62, -(2**62), r.randrange(10**9)])),
                null(r.choice(["0", "0.0", "-0.001", "9999", "10000", "10000.0001", "0.00010", "123456789012345678.123456789", f"{r.uniform(-1e6, 1e6):.{r.randrange(8)}f}"])),
                null(r.choice(["1e10", "-2.5E-3", "0.1", "3.0", str(r.uniform(-1e300, 1e300)), "1.7976931348623157e308"])),
                null(r.choice(["1999-12-31", "2000-01-01", "0001-01-01", "9999-12-31", "2024-02-29"])),
                null(r.choice(["1999-12-31 23:59:59.999999", "2000-01-01T00:00", "2024-02-29 12:34:56", "1969-07-20 20:17:40.5"])),
                null(r.choice(["true", "false"])),
                null(r.choice(["plain", 'a "quoted"\nline', "\u00e4\u00f6, x", "x" * 5000, "NULL", " "])),
                null(r.choice(["2024-01-01T00:00:00Z", "2024-06-01 12:00:00+02:00", "1999-01-01 00:00:00-05"])),
                null(r.randrange(-(2**31), 2**31)),
            ]

    def test_same_as_copy(self):
        names = list("abcdefghi")
        self.write(names, self.samples(5000))
        out = self.load(table="made")
        self.assertEqual(out, {"rowCount": 5000, "inserted": 5000, "updated": 0, "created": True})
        types = server.psql("SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0")
        self.assertEqual(types, "bigint,numeric,double precision,date,timestamp without time zone,boolean,text,timestamp with time zone,bigint")
        for table, columns in (("typed", self.TYPES), ("odd", "a numeric(30,5), b real, c text, d timestamp, e varchar(30), f char(5), g json, h timestamptz, i money, extra int DEFAULT 7")):
            with self.subTest(table):
                if table == "odd":
                    self.write(names, [[x[0], "1.5", x[2], x[3], x[4], x[5], '{"k": [1]}', x[7], "12.50"] for x in self.samples(500, 2)])
                server.psql(f"CREATE TABLE {table} ({columns}); CREATE TABLE {table}_copy (LIKE {table} INCLUDING DEFAULTS)")
                self.assertEqual(self.load(table=table)["created"], False)
                server.psql(f"\\copy {table}_copy ({', '.join(names)}) FROM '{self.tmp}/in.csv' WITH (FORMAT csv, HEADER true)")
                # As texts: json knows no equality.
                count, differ = server.psql(f"SELECT count(*), (SELECT count(*) FROM (SELECT x::text FROM {table} x EXCEPT ALL SELECT x::text FROM {table}_copy x) y) FROM {table}").split("|")
                self.assertEqual((int(count), differ), (5000 if table == "typed" else 500, "0"))

    def test_merge(self):
        self.write(["Id", "Name", "n"], [[k, f"name {k}", k] for k in range(100)])
        self.assertEqual(self.load(table="t", keys=["Id"]), {"rowCount": 100, "inserted": 100, "updated": 0, "created": True})
        self.assertEqual(self.load(table="t", keys=["Id"]), {"rowCount": 100, "inserted": 0, "updated": 100, "created": False})
        self.write(["n", "Id"], [[-k, k] for k in range(50, 150)])
        self.assertEqual(self.load(table="t", keys=["id"], mode="MERGE"), {"rowCount": 100, "inserted": 50, "updated": 50, "created": False})
        self.assertEqual(server.psql('SELECT count(*), sum(n), count("Name") FROM t'), f"150|{sum(range(50)) - sum(range(50, 150))}|100")
        self.write(["Id", "n"], [[1, 1], [2, 1], [1, 2]])
        self.assertIn("several rows with the key '1' (\"Id\")", self.load(table="t", keys=["Id"], rc=1))
        self.assertIn("has no column 'x', which is one of 'keys'", self.load(table="t", keys=["x"], rc=1))
        self.assertIn("mode MERGE needs 'keys'", self.load(table="t", mode="MERGE", rc=1))
        server.psql("ALTER TABLE t DROP CONSTRAINT t_pkey")
        self.assertEqual(self.load(table="t", keys=["Id", "n"]), {"rowCount": 3, "inserted": 2, "updated": 0, "created": False})  # 1|1 was there

    def test_append_and_replace(self):
        self.write(["a", "b"], [[1, "x"], [2, "-"]])
        for mode, count in (("APPEND", 2), ("APPEND", 4), ("REPLACE", 2)):
            self.assertEqual(self.load(table="public.t", mode=mode, nullString="-")["inserted"], 2)
            self.assertEqual(server.psql("SELECT count(*), count(b) FROM t"), f"{count}|{count // 2}")
        (self.tmp / "bare.tsv").write_text("7\tz\n8\ty\n")
        self.assertEqual(self.load("bare.tsv", table="t", header="FALSE")["rowCount"], 2)
        (self.tmp / "packed.csv.gz").write_bytes(gzip.compress("a;b\n9;\u00e4\n".encode("utf-16")))
        self.assertEqual(self.load("packed.csv.gz", table="t")["rowCount"], 1)
        self.assertEqual(server.psql("SELECT string_agg(a || coalesce(b, '?'), ' ' ORDER BY a) FROM t"), "1x 2? 7z 8y 9\u00e4")

    def test_refused(self):
        """File, line, column and value; nothing of the file stays."""
        server.psql("CREATE TABLE t (a smallint, b numeric, c date, d varchar(3), e uuid)")
        good = [1, "1.5", "2024-01-01", "abc", "12345678-1234-1234-1234-123456789abc"]
        for column, value, said in (
            (0, "40000", r"line 52 of the file, column 'a': '40000' is no smallint"), (0, "x", r"column 'a': 'x' is no smallint"), (1, "1.5.2", r"column 'b': '1.5.2' is no numeric"), (2, "2024-02-30", r"column 'c': '2024-02-30' is no date"),
            (3, "abcd", r"value too long for type character varying\(3\)"), (4, "12345", r"column 'e': '12345' is no uuid"),
        ):
            with self.subTest(column=column, value=value):
                rows = [list(good) for _ in range(100)]
                rows[50][column] = value
                self.write("abcde", rows)
                self.assertRegex(self.load(table="t", rc=1), said)
                self.assertEqual(server.psql("SELECT count(*) FROM t"), "0")
        (self.tmp / "in.csv").write_text("a,b\n1,2\n3\n")
        self.assertRegex(self.load(table="t", rc=1), r"line 3 of the file: ")
        for before, line in (('1,"x\ny\n"\n', 8), ('1,"x ""\ny"" z\n"\n', 8), ("\n1,2\n", 6)):  # with doubled quotes, and blank lines: records that are read one by one
            (self.tmp / "in.csv").write_text("n,t\n" + before * 2 + "no,2\n3,4\n")
            server.psql("DROP TABLE IF EXISTS lines; CREATE TABLE lines (n integer, t text)")
            self.assertRegex(self.load(table="lines", rc=1), rf"line {line} of the file, column 'n': 'no' is no integer")
        (self.tmp / "in.csv").write_text("a,nope\n1,2\n")
        self.assertIn("the table t has no column 'nope', which the file has", self.load(table="t", rc=1))
        self.assertIn("there is no table none (and 'createTable' is false)", self.load(table="none", createTable=False, rc=1))

    def test_killed(self):
        self.write(["id", "n"], [[k, k] for k in range(3000)])
        task = {"id": "load", "type": "io.sluice.postgres.Load", "url": server.url, "username": "root", "password": "secret pass'word", "from": f"file://{self.tmp}/in.csv", "table": "t"}
        for label in ("sql.before_commit:1", "sql.after_commit:1"):
            with self.subTest(label):
                server.psql("DROP TABLE IF EXISTS t")
                killed = self.run_flow("  - " + json.dumps(task) + "\n", env={"SLUICE_FAULT": f"{label}:kill"}, rc=-9)
                done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
                self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"], {"rowCount": 3000, "inserted": 3000, "updated": 0, "created": True})
                self.assertEqual(server.psql("SELECT count(*), count(DISTINCT id) FROM t"), "3000|3000")


class Batch(PostgresCase):
    def records(self, n):
        return "".join(f'{{id:{i},name:"n{i}",tags:["a","b,{i}"],doc:{{k:{i}}},at:2024-02-29T00:00:00.000Z,none:null}}\n' for i in range(n))

    TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text, tags text[], doc jsonb, at timestamptz, \"none\" int)"

    def test_forms(self):
        server.psql(self.TABLE + "; CREATE TABLE u (name text, id int)")
        tasks = self.file("rows.ion", self.records(2500)) + f"""
  - {{id: table, type: {PG}Batch, from: "{{{{ outputs.make.outputFiles['rows.ion'] }}}}", table: t}}
  - {{id: sql, type: {PG}Batch, from: "{{{{ outputs.make.outputFiles['rows.ion'] }}}}", sql: "INSERT INTO u SELECT ?, ?::int WHERE '?' <> ''", columns: [name, id], chunk: 400}}
"""
        out = self.outputs(tasks)
        self.assertEqual(out["table"], {"rowCount": 2500, "updatedCount": 2500})
        self.assertEqual(out["sql"], {"rowCount": 2500, "updatedCount": 2500})
        self.assertEqual(server.psql("SELECT tags[2], doc->>'k', at, \"none\" IS NULL FROM t WHERE id = 7"), "b,7|7|2024-02-29 00:00:00+00|t")
        self.assertEqual(server.psql("SELECT count(*), min(name), max(id) FROM u"), "2500|n0|2499")

    def test_bad_record(self):
        server.psql(self.TABLE)
        tasks = self.file("rows.ion", self.records(1500).replace("{id:1200,", "{id:7,")) + f"""  - {{id: b, type: {PG}Batch, from: "{{{{ outputs.make.outputFiles['rows.ion'] }}}}", table: t}}\n"""
        done = self.run_flow(tasks, rc=1)
        self.assertRegex(done.err, r'duplicate key value violates unique constraint.*record 1201 of kestra://')
        self.assertEqual(server.psql("SELECT count(*) FROM t"), "1000", "the chunk before is committed")

    def test_killed(self):
        server.psql("CREATE TABLE t (id int)")
        tasks = self.file("rows.ion", "".join(f"{{id:{i}}}\n" for i in range(2500))) + f"""  - {{id: b, type: {PG}Batch, from: "{{{{ outputs.make.outputFiles['rows.ion'] }}}}", table: t}}\n"""
        for label in ("sql.before_commit:2", "sql.after_commit:1", "sql.after_commit:3"):
            with self.subTest(label):
                server.psql("TRUNCATE t")
                killed = self.run_flow(tasks, env={"SLUICE_FAULT": f"{label}:kill"}, rc=-9)
                done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
                self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][1]["outputs"], {"rowCount": 2500, "updatedCount": 2500})
                self.assertEqual(server.psql("SELECT count(*), count(DISTINCT id) FROM t"), "2500|2500")


if __name__ == "__main__":
    unittest.main()
