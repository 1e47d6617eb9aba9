"""DuckDB and SQLite: types, files, results, transactions that happen once; SQLite's files are read by Python's own library."""

import collections
import fcntl
import json
import shutil
import sqlite3
import threading
import time
import unittest

from sluice import Case

DUCKDB, SQLITE = "io.kestra.plugin.jdbc.duckdb.", "io.kestra.plugin.jdbc.sqlite."


class Embedded(Case):
    def run_tasks(self, *tasks, rc=0, env=None, **kw):
        flow = "id: f\nnamespace: tests\ntasks:\n" + "".join("  - " + json.dumps(t, ensure_ascii=False) + "\n" for t in tasks)
        done = self.flow(flow, "--output", "json", env=env, **kw)
        self.assertEqual(done.rc, rc, done)
        return done

    def outputs(self, *tasks, **kw):
        done = self.run_tasks(*tasks, **kw)
        return {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}

    def one(self, type, sql, **more):
        return self.outputs({"id": "q", "type": type, "sql": sql, **more})["q"]

    def stored(self, uri):
        return self.data / "storage" / uri.removeprefix("kestra:///")

    def test_types_of_duckdb(self):
        values = {
            "1::TINYINT": 1, "-5": -5, "2::HUGEINT * 100000000000000000000": "200000000000000000000", "'-170141183460469231731687303715884105728'::HUGEINT": "-170141183460469231731687303715884105728",
            "18446744073709551615::UBIGINT": "18446744073709551615", "1.10::DECIMAL(5, 2)": 1.1, "-0.05::DECIMAL(4, 2)": -0.05, "12345678901234567.89::DECIMAL(30, 2)": "12345678901234567.89",
            "0.1::FLOAT": 0.1, "1e300": 1e300, "true": True, "NULL": None, "''": "", "'twelve bytes'": "twelve bytes", "'thirteen byte'": "thirteen byte", "'ä\u00df😀' || repeat('x', 20)": "ä\u00df😀" + "x" * 20,
            "DATE '1969-12-31'": "1969-12-31", "TIME '10:11:12.5'": "10:11:12.500", "TIMESTAMP '2024-07-02 03:04:05.678'": "2024-07-02T03:04:05.678+02:00[Europe/Paris]",
            "TIMESTAMP_S '1960-01-02 03:04:05'": "1960-01-02T03:04:05+01:00[Europe/Paris]", "'2024-01-02 03:04:05+02'::TIMESTAMPTZ": "2024-01-02T01:04:05Z", "INTERVAL '14 months 2 days 3 hours'": "P1Y2M2DT3H0M0S",
            "[1, NULL, 3]": [1, None, 3], "[[1], []]": [[1], []], "{'x': 1, 'y': {'z': [NULL]}}": {"x": 1, "y": {"z": [None]}}, "MAP {'a': 1, 'b': NULL}": {"a": 1, "b": None}, "[1, 2]::INT[2]": [1, 2],
            "'01234567-89ab-cdef-8123-456789abcdef'::UUID": "01234567-89ab-cdef-8123-456789abcdef", "'b'::ENUM('a', 'b')": "b", "'{\"a\": [1]}'::JSON": {"a": [1]}, "'\\xAA\\x00'::BLOB": "qgA=",
        }
        sql = "SELECT " + ", ".join(f"{expression} AS c{i}" for i, expression in enumerate(values))
        row = self.one(DUCKDB + "Query", sql, fetchType="FETCH_ONE", timeZoneId="Europe/Paris")["row"]
        for i, (expression, expected) in enumerate(values.items()):
            with self.subTest(expression):
                self.assertEqual(row[f"c{i}"], expected)
        done = self.run_tasks({"id": "q", "type": DUCKDB + "Query", "sql": "SELECT '101'::BIT AS strange", "fetchType": "FETCH"}, rc=1)
        self.assertRegex(done.err, r"cast it to VARCHAR \(column 'strange'\)")

    def test_file_in_another_process(self):
        """DuckDB lets one process in at a time; the lock taken here is the one it takes."""
        path = self.tmp / "held.db"
        task = {"id": "q", "type": DUCKDB + "Query", "url": f"jdbc:duckdb:{path}", "sql": "SELECT 7 AS n", "fetchType": "FETCH_ONE"}
        self.run_tasks(task)
        with open(path, "r+b") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)
            self.assertIn("Timeout after PT1S", self.run_tasks(task | {"timeout": "PT1S"}, rc=1).err)
            self.assertIn("held.db' is open in another process", self.run_tasks(task, rc=1).err)
            timer = threading.Timer(1, fcntl.lockf, (held, fcntl.LOCK_UN))
            timer.start()
            self.assertEqual(self.outputs(task)["q"]["row"], {"n": 7})
            timer.join()

    def test_files_of_duckdb(self):
        """As in Kestra's beginner's pipeline: a JSON file in, INSTALL without a network, the result stored; Parquet and CSV out."""
        sql = """INSTALL json; LOAD json;
            SELECT brand, round(avg(price), 2) AS avg_price FROM read_json_auto('{{ workingDir }}/products.json') GROUP BY brand ORDER BY avg_price DESC;
            COPY (SELECT * FROM 'products.json') TO '{{ outputFiles["p.parquet"] }}';
            COPY (SELECT * FROM '{{ outputFiles["p.parquet"] }}' WHERE price > :least) TO '{{ workingDir }}/dear.csv';
            SELECT count(*) AS n FROM 'dear.csv'"""
        products = json.dumps([{"brand": "a", "price": 1.5}, {"brand": "a", "price": 2}, {"brand": "b", "price": 7}])
        out = self.one(DUCKDB + "Queries", sql, inputFiles={"products.json": products}, outputFiles=["p.parquet", "dear.csv"], parameters={"least": 1.9}, fetchType="STORE")
        first, last = out["outputs"]
        self.assertEqual(self.stored(first["uri"]).read_text(), '{brand:"b",avg_price:7e0}\n{brand:"a",avg_price:1.75e0}\n')
        self.assertEqual(self.stored(last["uri"]).read_text(), "{n:2}\n", "each result has a file of its own")
        self.assertEqual(self.stored(out["outputFiles"]["p.parquet"]).read_bytes()[:4], b"PAR1")
        self.assertEqual(self.stored(out["outputFiles"]["dear.csv"]).read_text(), "brand,price\na,2.0\nb,7.0\n")

    def test_large_results_take_little_memory(self):
        flow = {"id": "q", "type": DUCKDB + "Query", "sql": "SELECT range AS n, repeat('x', 100) AS t FROM range(1000000)", "fetchType": "STORE", "memoryLimit": "100MB", "threads": 1}
        out = self.outputs(flow)["q"]
        self.assertEqual(out["size"], 1000000)
        with self.stored(out["uri"]).open() as f:
            total = sum(int(line[3 : line.index(",")]) for line in f)
        self.assertEqual(total, 999999 * 500000)

    def test_databases_go_from_task_to_task(self):
        for type, scheme, property in ((DUCKDB, "jdbc:duckdb:", "databaseUri"), (SQLITE, "jdbc:sqlite:", "sqliteFile")):
            with self.subTest(type):
                out = self.outputs(
                    {"id": "a", "type": type + "Queries", "url": scheme, "sql": "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL)", "outputDbFile": True},
                    {"id": "b", "type": type + "Query", "url": scheme, property: "{{ outputs.a.databaseUri }}", "sql": "SELECT * FROM t ORDER BY a", "fetchType": "FETCH"},
                )
                self.assertEqual(out["a"]["outputs"], [])
                self.assertEqual(out["b"]["rows"], [{"a": 1, "b": "x"}, {"a": 2, "b": None}])

    def test_sqlite(self):
        path = self.tmp / "new" / "s.db"
        sql = "CREATE TABLE t (i INTEGER, r REAL, t TEXT, b BLOB); INSERT INTO t VALUES (:i, 1.5, :t, x'00ff'), (9223372036854775807, NULL, 'ä', NULL); SELECT *, i AS i FROM t; SELECT 1 WHERE false"
        out = self.one(SQLITE + "Queries", sql, url=f"jdbc:sqlite:{path}", parameters={"i": -1, "t": "it's"}, fetchType="FETCH")["outputs"]
        self.assertEqual(out[0]["rows"], [{"i": -1, "r": 1.5, "t": "it's", "b": "AP8="}, {"i": 9223372036854775807, "r": None, "t": "ä", "b": None}])
        self.assertEqual((len(out), out[1]["rows"]), (2, []))
        with sqlite3.connect(path) as db:
            self.assertEqual(db.execute("SELECT count(*), max(b) FROM t").fetchone(), (2, b"\x00\xff"))
        db.close()
        out = self.one(SQLITE + "Queries", "PRAGMA user_version = 7; ATTACH ':memory:' AS m; CREATE TABLE m.x AS SELECT 1 AS a; SELECT a FROM m.x; PRAGMA user_version", url=f"jdbc:sqlite:{path}", fetchType="FETCH")
        self.assertEqual([o["rows"] for o in out["outputs"]][-2:], [[{"a": 1}], [{"user_version": 7}]])

    def test_transactions(self):
        for type, scheme in ((DUCKDB, "jdbc:duckdb:"), (SQLITE, "jdbc:sqlite:")):
            for transaction, left in ((True, 0), (False, 1)):
                with self.subTest(type, transaction=transaction):
                    url = f"{scheme}{self.tmp}/{type[-7:-1]}{transaction}.db"
                    self.one(type + "Query", "CREATE TABLE t (a INTEGER)", url=url)
                    task = {"id": "q", "type": type + "Queries", "url": url, "transaction": transaction, "sql": "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1)"}
                    done = self.run_tasks(task, rc=1)
                    self.assertRegex(done.err, r"nowhere.*statement 2 of 2")
                    self.assertEqual(self.one(type + "Query", "SELECT count(*) AS n FROM t", url=url, fetchType="FETCH_ONE")["row"], {"n": left})
                    self.one(type + "Query", "INSERT INTO t VALUES (5)", url=url, afterSQL="UPDATE t SET a = a + 1 WHERE a = 5")
                    self.assertEqual(self.one(type + "Query", "SELECT max(a) AS n FROM t", url=url, fetchType="FETCH_ONE")["row"], {"n": 6})

    def test_killed(self):
        """Killed around every COMMIT and checkpoint: in a file that stays each change happens once."""
        sql = "CREATE TABLE IF NOT EXISTS t (a INTEGER); INSERT INTO t VALUES (1); SELECT count(*) AS n FROM t"
        for type, scheme in ((DUCKDB, "jdbc:duckdb:"), (SQLITE, "jdbc:sqlite:")):
            for transaction in (True, False):
                path = self.tmp / "once.db"
                task = {"id": "q", "type": type + "Queries", "url": f"{scheme}{path}", "transaction": transaction, "fetchType": "FETCH", "sql": sql}
                log = self.tmp / "labels"
                log.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                self.run_tasks(task, env={"SLUICE_FAULT_LOG": str(log)})
                counts = collections.Counter(line for line in log.read_text().split() if line.startswith(("sql.", "task.")))
                self.assertIn("sql.after_commit", counts)
                for label, count in sorted(counts.items()):
                    for n in range(1, count + 1):
                        with self.subTest(type, transaction=transaction, label=label, n=n):
                            for old in self.tmp.glob("once.db*"):
                                old.unlink()
                            shutil.rmtree(self.data, ignore_errors=True)
                            killed = self.run_tasks(task, env={"SLUICE_FAULT": f"{label}:{n}:kill"}, rc=-9)
                            done = self.ok(self.sluice("run", "--continue", killed.id, "--output", "json"))
                            out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]
                            self.assertEqual(out["outputs"], [{"size": 1, "rows": [{"n": 1}]}])
                            self.assertEqual(self.one(type + "Query", "SELECT count(*) AS n FROM t", url=f"{scheme}{path}", fetchType="FETCH_ONE")["row"], {"n": 1})

    def test_stopped(self):
        for type, sql in ((DUCKDB, "SELECT count(*) FROM range(1000000000000) a"), (SQLITE, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")):
            with self.subTest(type):
                start = time.monotonic()
                done = self.run_tasks({"id": "q", "type": type + "Query", "url": "jdbc:sqlite:" if type == SQLITE else "jdbc:duckdb:", "sql": sql, "fetchType": "FETCH", "timeout": "PT1S"}, rc=1)
                self.assertIn("Timeout", done.err)
                self.assertLess(time.monotonic() - start, 20)

    def test_out_of_memory(self):
        task = {"id": "q", "type": DUCKDB + "Queries", "sql": "SET max_temp_directory_size = '1MB'; SELECT count(DISTINCT md5(range::TEXT)) FROM range(10000000)", "memoryLimit": "30MB", "threads": 1}
        done = self.run_tasks(task, rc=1)
        self.assertRegex(done.err, r"Out of Memory")

    def test_mistakes(self):
        for type, properties, said in (
            (DUCKDB, {"sql": "SELEC 1"}, r"Parser Error: syntax error at or near \"SELEC\""),
            (DUCKDB, {"sql": "SELECT 1; SELECT 2"}, "Query takes one statement, and 'sql' holds 2; use Queries"),
            (DUCKDB, {"sql": "-- nothing"}, "'sql' holds no statement"),
            (DUCKDB, {"sql": "SELECT 1", "url": "jdbc:duckdb:md:x"}, "MotherDuck"),
            (DUCKDB, {"sql": "SELECT 1", "url": "jdbc:duckdb:../x.db"}, "must be absolute"),
            (DUCKDB, {"sql": "SELECT 1", "url": "jdbc:postgresql://x"}, "must begin with jdbc:duckdb:"),
            (DUCKDB, {"sql": "SELECT 1", "memoryLimit": "much"}, r"setting 'memoryLimit'"),
            (DUCKDB, {"sql": "SELECT :a", "parameters": {"b": 1}}, "parameter :a, which 'parameters' does not have"),
            (SQLITE, {"sql": "SELECT * FROM nowhere", "url": "jdbc:sqlite:"}, "SQLite: no such table: nowhere"),
        ):
            with self.subTest(properties):
                self.assertRegex(self.run_tasks({"id": "q", "type": type + "Query", **properties}, rc=1).err, said)
        path = self.tmp / "not.db"
        path.write_text("this is no database, and long enough to be looked at as one" * 100)
        self.assertRegex(self.run_tasks({"id": "q", "type": SQLITE + "Query", "url": f"jdbc:sqlite:{path}", "sql": "SELECT * FROM t"}, rc=1).err, "not a database")
        self.assertRegex(self.run_tasks({"id": "q", "type": DUCKDB + "Query", "url": f"jdbc:duckdb:{path}", "sql": "SELECT 1"}, rc=1).err, "cannot be opened")

    def test_one_file_in_several_tasks_at_once(self):
        url = f"jdbc:duckdb:{self.tmp}/shared.duckdb"
        self.one(DUCKDB + "Query", "CREATE TABLE t (a INTEGER)", url=url)
        branches = [{"id": f"i{n}", "type": DUCKDB + "Query", "url": url, "sql": f"INSERT INTO t SELECT {n} FROM range(1000)"} for n in range(6)]
        self.run_tasks({"id": "p", "type": "io.kestra.plugin.core.flow.Parallel", "tasks": branches})
        self.assertEqual(self.one(DUCKDB + "Query", "SELECT count(*) AS n, sum(a)::INT AS s FROM t", url=url, fetchType="FETCH_ONE")["row"], {"n": 6000, "s": 15000})


if __name__ == "__main__":
    unittest.main()
