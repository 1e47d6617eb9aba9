"""The local cloud's Redshift: the public pipeline's steps with examples of our own, psql, COPY and what it refuses."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import unittest

from peers import POSTGRES, missing
from sluice import EXAMPLES, ROOT, LocalCloud, read_csv
from test_s3 import S3Case

RS = "io.kestra.plugin.jdbc.redshift."
PRODUCTS = [(str(i), f"Product {i}", "Ä, quoted" if i % 3 == 0 else "plain", f"brand {i % 4}") for i in range(1, 21)]
ORDERS = [(1000 + i, f"Customer {i}", f"c{i}@example.org", i % 25 + 1, i + 0.25, i % 5 + 1) for i in range(100)]
HEAD = f"""
pluginDefaults:
  - {{type: io.kestra.plugin.jdbc.redshift, values: {{url: "jdbc:redshift://cluster.example.org:5439/dev", username: of_aws, password: of_aws}}}}
  - {{type: io.kestra.plugin.aws, values: {{accessKeyId: of_aws, secretKeyId: of_aws, region: eu-central-1}}}}
  - {{type: io.sluice.aws, values: {{accessKeyId: of_aws, secretKeyId: of_aws, region: eu-central-1}}}}
"""
PIPELINE = (
    """
id: pipeline
namespace: tests
inputs:
  - {id: products, type: FILE}
  - {id: orders, type: FILE}
"""
    + HEAD
    + f"""
tasks:
  - {{id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: a-bucket}}
  - {{id: table, type: io.sluice.aws.dynamodb.CreateTable, tableName: products, partitionKey: {{name: id}}}}
  - {{id: read, type: io.kestra.plugin.serdes.csv.CsvToIon, from: "{{{{ inputs.products }}}}"}}
  - {{id: items, type: io.sluice.aws.dynamodb.BatchPutItem, tableName: products, from: "{{{{ outputs.read.uri }}}}"}}
  - {{id: upload, type: io.kestra.plugin.aws.s3.Upload, from: "{{{{ inputs.orders }}}}", bucket: a-bucket, key: input/orders.csv}}
  - id: tables
    type: {RS}Queries
    sql: |
      create table if not exists products (id varchar(5) distkey, name varchar(250), category varchar(100) encode zstd, brand varchar(100)) sortkey (id);
      create table if not exists orders (order_id int, customer_name varchar(200), customer_email varchar(200), product_id int, price float, quantity int) diststyle even compound sortkey (order_id, product_id);
  - {{id: copy_products, type: {RS}Query, sql: "copy products from 'dynamodb://products' credentials 'aws_access_key_id=x;aws_secret_access_key=y' readratio 50;"}}
  - {{id: copy_orders, type: {RS}Query, sql: "copy orders from 's3://a-bucket/input/orders.csv' credentials 'aws_access_key_id=x;aws_secret_access_key=y' ignoreheader 1 csv;"}}
  - id: join
    type: {RS}Query
    sql: select o.order_id, o.customer_name, p.id as product_id, p.name, p.category, o.price, o.quantity, o.price * o.quantity as total from orders o join products p on o.product_id = p.id order by o.order_id
    store: true
  - {{id: csv, type: io.kestra.plugin.serdes.csv.IonToCsv, from: "{{{{ outputs.join.uri }}}}"}}
  - {{id: out, type: io.kestra.plugin.aws.s3.Upload, from: "{{{{ outputs.csv.uri }}}}", bucket: a-bucket, key: output/joined.csv}}
  - {{id: back, type: io.kestra.plugin.aws.s3.Download, bucket: a-bucket, key: output/joined.csv}}
"""
)


def csv_text(header, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


class Redshift(S3Case):
    def play(self, tasks, rc=0, **kw):
        done = self.flow("id: f\nnamespace: tests\n" + HEAD + "tasks:\n" + tasks, "--local", "--output", "json", **kw)
        self.assertEqual(done.rc, rc, done)
        return done if rc else self.outputs(done)

    def query(self, sql, rc=0, kind="Query", **properties):
        task = {"id": "q", "type": RS + kind, "sql": sql, **properties}
        done = self.play("  - " + json.dumps(task) + "\n", rc=rc)
        return done if rc else done["q"]

    def upload(self, **files):
        """Objects in a-bucket."""
        folder = self.tmp / "objects"
        folder.mkdir(exist_ok=True)
        tasks = "  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: a-bucket, allowFailure: true}\n"
        names = {}
        for i, (key, data) in enumerate(files.items()):
            (folder / f"f{i}").write_bytes(data if isinstance(data, bytes) else data.encode())
            names[f"f{i}"] = key
        shell = "\n".join(f"      - cp {folder}/{n} {n}" for n in names)
        tasks += f"  - id: make\n    type: io.kestra.plugin.scripts.shell.Commands\n    taskRunner: {{type: io.kestra.plugin.core.runner.Process}}\n    outputFiles: ['f*']\n    commands:\n{shell}\n"
        for n, key in names.items():
            tasks += f"  - {{id: up_{n}, type: io.kestra.plugin.aws.s3.Upload, from: \"{{{{ outputs.make.outputFiles['{n}'] }}}}\", bucket: a-bucket, key: {json.dumps(key)}}}\n"
        self.ok(self.flow("id: f\nnamespace: tests\n" + HEAD + "tasks:\n" + tasks, "--local", "-q"))

    def test_pipeline(self):
        (self.tmp / "products.csv").write_text(csv_text(["id", "name", "category", "brand"], PRODUCTS))
        (self.tmp / "orders.csv").write_text(csv_text(["order_id", "customer_name", "customer_email", "product_id", "price", "quantity"], ORDERS))
        done = self.flow(PIPELINE, "--local", "--output", "json", "-i", f"products=@{self.tmp}/products.csv", "-i", f"orders=@{self.tmp}/orders.csv")
        out = self.outputs(self.ok(done))
        got = list(csv.DictReader(io.StringIO(self.stored(out["back"]["uri"]).read_text())))
        products = {p[0]: p for p in PRODUCTS}
        want = [
            {"order_id": str(o[0]), "customer_name": o[1], "product_id": str(o[3]), "name": products[str(o[3])][1], "category": products[str(o[3])][2], "price": o[4], "quantity": str(o[5]), "total": o[4] * o[5]}
            for o in ORDERS
            if str(o[3]) in products
        ]
        self.assertEqual([{**r, "price": float(r["price"]), "total": float(r["total"])} for r in got], want)

    def test_example(self):
        """The example of the README: every column of every row; twice adds nothing, two months add up."""
        months = ("2019-01", "2019-02")
        with LocalCloud(self) as cloud:
            files = {m: read_csv(cloud.get(f"/sample-data/trips/green_tripdata_{m}.csv?rows=500")[1]) for m in months}
        runs = [self.outputs(self.ok(self.sluice("run", EXAMPLES / "aws_trips.yaml", "--local", "--output", "json", "-i", "rows=500", "-i", f"month={m}"))) for m in (months[0], months[0], months[1])]
        paid = {m: sum(float(r["total_amount"]) for r in files[m]) for m in months}
        self.assertEqual([(r["total"]["row"]["trips"], r["total"]["row"]["paid"]) for r in runs], [(500, round(paid[months[0]], 2))] * 2 + [(1000, round(paid[months[0]] + paid[months[1]], 2))])
        names = list(files[months[0]][0])
        got = self.query(f"SELECT {', '.join(names)} FROM trips", fetchType="FETCH")["rows"]

        def plain(v):
            if v is None or v == "":
                return ""
            try:
                return repr(float(v))
            except ValueError:
                return str(v).replace("T", " ").ljust(19, "0") if ":" in str(v) else v

        same = lambda rows, names: sorted([plain(r[n]).replace(" ", "T")[:16] for n in names] for r in rows)
        self.assertEqual(same(got, [n.lower() for n in names]), same(files[months[0]] + files[months[1]], names))

    def test_lake_example(self):
        """Parts over an external table and by a manifest, beside the files themselves; twice is the same."""
        months = ("2019-01", "2019-02", "2019-03")
        with LocalCloud(self) as cloud:
            files = {m: read_csv(cloud.get(f"/sample-data/trips/green_tripdata_{m}.csv?rows=700")[1]) for m in months}
        paid = sum(float(r["total_amount"]) for f in files.values() for r in f)
        for _ in range(2):
            out = self.outputs(self.ok(self.sluice("run", EXAMPLES / "aws_spectrum.yaml", "--local", "--output", "json", "-i", "rows=700")))
            self.assertEqual(out["total"]["row"], {"lake": 2100, "loaded": 700, "paid": round(paid, 2)})

    def test_types_and_functions(self):
        row = self.query("SELECT 1::smallint a, 2::bigint b, 1.5::float c, true d, NULL::int e, DATE '2024-02-29' f, TIMESTAMP '2024-02-29 01:02:03' g, 12.50::decimal(10,2) h, nvl(NULL, 'x') i, len('abc') j, '{\"k\": [1]}' k", fetchType="FETCH_ONE")["row"]
        self.assertEqual(row, {"a": 1, "b": 2, "c": 1.5, "d": True, "e": None, "f": "2024-02-29", "g": "2024-02-29T01:02:03", "h": 12.5, "i": "x", "j": 3, "k": '{"k": [1]}'})
        row = self.query("SELECT :n::int + 1 AS n, :t AS t", fetchType="FETCH_ONE", parameters={"n": 41, "t": "it's"})["row"]
        self.assertEqual(row, {"n": 42, "t": "it's"})

    def test_names_of_columns(self):
        """Columns without a name are called as Redshift calls them, so that `row.count` is there; in tables and views, too."""
        named = {
            "count(*)": "count", "MAX(a)": "max", "'x'": "?column?", "a": "a", "t.a": "a", "a::int": "a", "CAST(a AS int)": "a", "a::varchar(1)": "a", "(a)": "a", "1::int": "int4", "1::decimal(5,2)": "numeric", "a || 'x'": "?column?", "NOT true": "?column?",
            "CASE WHEN true THEN 1 END": "case", "CASE WHEN true THEN '' ELSE a END": "a", "CASE WHEN true THEN 1 ELSE 2 END": "case", "coalesce(a, '1')": "coalesce", "nvl(a, '1')": "coalesce", "lower(a)": "lower", "sum(2) OVER (PARTITION BY a)": "sum",
            "listagg(a, ',') WITHIN GROUP (ORDER BY a)": "listagg", "EXTRACT(year FROM sysdate)": "date_part", "sysdate": "timestamp", "DATE '2024-01-01'": "date", "count(*) n": "n", "count(*) AS \"N\"": "n", "-1": "?column?", "(SELECT 1 AS x)": "?column?",
            "a IS NULL": "?column?", "a::double precision": "a", "1 one": "one", "approximate count(distinct a)": "count", "decode(a, '1', 2)": "case", "current_date": "date", "trunc(1.5)": "trunc", "dateadd(day, 1, '2024-01-01')": "dateadd", "NULL": "?column?",
        }
        batches = []  # names are different in each
        for item, name in named.items():
            batch = next((b for b in batches if name not in b.values()), None)
            if batch is None:
                batches.append(batch := {})
            batch[item] = name
        for batch in batches:
            row = self.query(f"SELECT {', '.join(batch)} FROM (SELECT '1' AS a) t GROUP BY a", fetchType="FETCH_ONE")["row"]
            self.assertEqual(list(row), list(batch.values()))
        self.query("CREATE TABLE Folded (Id int, \"Name\" varchar(5)); ALTER TABLE folded ADD Added int", kind="Queries")
        names = self.query("SELECT table_name, column_name FROM svv_columns WHERE table_name = 'folded' ORDER BY ordinal_position", fetchType="FETCH")["rows"]
        self.assertEqual([(r["table_name"], r["column_name"]) for r in names], [("folded", "id"), ("folded", "name"), ("folded", "added")])
        self.query("CREATE TABLE Made AS SELECT count(*), max(A) FROM (SELECT 3 AS a) t; CREATE VIEW seen AS SELECT count + 1 AS n, upper('x') FROM made", kind="Queries")
        self.assertEqual(self.query("SELECT MAX, COUNT, s.* FROM made, seen s", fetchType="FETCH_ONE")["row"], {"max": 3, "count": 1, "n": 2, "upper": "X"})

    def test_results_of_any_size(self):
        """Over TLS, where what was received may wait inside of OpenSSL while the socket has nothing more."""
        self.query("CREATE TABLE s AS SELECT i, repeat('x', 50) AS t FROM generate_series(1, 1000) AS g(i)")
        counts = list(range(100, 1000, 3))
        out = self.query("; ".join(f"SELECT i, t FROM s WHERE i <= {n} ORDER BY i" for n in counts), kind="Queries", fetchType="FETCH")["outputs"]
        self.assertEqual([[r["i"] for r in o["rows"]] for o in out], [list(range(1, n + 1)) for n in counts])

    def test_transactions(self):
        self.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)")
        done = self.query("INSERT INTO t VALUES (3); SELECT * FROM nowhere", rc=1, kind="Queries")
        self.assertRegex(done.err, r"(?s)nowhere does not exist.*SQLSTATE 42P01")
        self.assertEqual(self.query("SELECT count(*) AS n FROM t", fetchType="FETCH_ONE")["row"], {"n": 2})

    def test_copy(self):
        self.query("CREATE TABLE t (id int, name varchar(20), ts timestamp)")


        self.upload(**{"in/a.csv": 'id,name,ts\n1,"a, ""b""",2024-02-29 01:02:03\n2,,\n', "in/b.csv": "id,name,ts\n3,c,2024-03-01\n", "packed/x.gz": gzip.compress(b"4|d|\\N\n5|e|2024-01-01\n"),
                      "list.json": json.dumps({"entries": [{"url": "s3://a-bucket/in/b.csv", "mandatory": True}, {"url": "s3://a-bucket/none", "mandatory": False}]})})
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        self.query(f"COPY t FROM 's3://a-bucket/in/' {role} CSV IGNOREHEADER 1; COPY t FROM 's3://a-bucket/packed/' {role} GZIP; COPY t (name, id) FROM 's3://a-bucket/list.json' {role} FORMAT AS CSV MANIFEST IGNOREHEADER 1 MAXERROR 5")
        rows = self.query("SELECT id, name, ts FROM t ORDER BY id", fetchType="FETCH")["rows"]
        self.assertEqual([(r["id"], r["name"], r["ts"]) for r in rows], [(1, 'a, "b"', "2024-02-29T01:02:03"), (2, "", None), (3, "c", "2024-03-01T00:00"), (4, "d", None), (5, "e", "2024-01-01T00:00")])

    def test_copy_formats(self):
        """JSON by names and by paths, packed too, with bad values told or left out; Parquet as UNLOAD writes it."""
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        lines = '{"id": 1, "name": "a", "ts": "2024-02-29 01:02:03", "more": true}\n{"id": "2", "name": {"x": [1]}}\n'
        self.upload(**{"j/1.json": lines, "p/1.json": '{"a": {"b": [7]}, "c d": "e"} {"a": {"b": []}}', "p/paths.jsonpaths": json.dumps({"jsonpaths": ["$['a']['b'][0]", "$['c d']"]}), "z/1.gz": gzip.compress(lines.encode()),
                       "bad.json": '{"id": 5}\n{"id": "x", "name": "y"}\n'})
        self.query("CREATE TABLE t (id int, name varchar(20), ts timestamp)")
        self.query(f"COPY t FROM 's3://a-bucket/j/' {role} JSON 'auto'; COPY t (id, name) FROM 's3://a-bucket/p/1' {role} FORMAT AS JSON 's3://a-bucket/p/paths.jsonpaths'; COPY t FROM 's3://a-bucket/z/' {role} JSON AS 'auto' GZIP", kind="Queries")
        table = lambda name="t": [(r["id"], r["name"], r["ts"]) for r in self.query(f"SELECT id, name, ts FROM {name} ORDER BY id, name", fetchType="FETCH")["rows"]]
        one, two = (1, "a", "2024-02-29T01:02:03"), (2, '{"x":[1]}', None)
        self.assertCountEqual(table(), [one, one, two, two, (7, "e", None), (None, None, None)])
        done = self.query(f"COPY t FROM 's3://a-bucket/bad.json' {role} JSON 'auto'", rc=1)
        self.assertRegex(done.err, r"Load into table 't' failed.*file s3://a-bucket/bad.json, line 2, column id \(int4\), value 'x': Invalid digit, Value 'x', Pos 0, Type: Integer")
        self.query(f"COPY t FROM 's3://a-bucket/bad.json' {role} JSON 'auto' MAXERROR 2")
        self.assertIn((5, None, None), table())
        self.query(f"UNLOAD ('SELECT * FROM t WHERE id < 3') TO 's3://a-bucket/q/' {role} FORMAT PARQUET; CREATE TABLE u (id int, name varchar(20), ts timestamp); COPY u FROM 's3://a-bucket/q/' {role} FORMAT AS PARQUET", kind="Queries")
        self.assertCountEqual(table("u"), [one, one, two, two])
        connection = "url: 'jdbc:redshift://x/dev', username: u, password: p"
        task = f"  - {{id: c, type: io.sluice.redshift.CopyFromS3, {connection}, table: u, from: 's3://a-bucket/%s', format: %s, iamRole: 'arn:aws:iam::0:role/r', mode: REPLACE}}\n"
        head = "id: f\nnamespace: tests\ntasks:\n"
        for prefix, kind, rows in (("j/", "JSON", [one, two]), ("q/", "PARQUET", [one, one, two, two])):
            self.ok(self.flow(head + task % (prefix, kind), "--local", "-q"))
            self.assertCountEqual(table("u"), rows)

    def test_copy_blanks(self):
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        self.upload(**{"b.txt": "1|   \n2| x \n", "b.json": '{"id": 3, "name": "  "} {"id": 4, "name": ""}'})
        self.query(f"CREATE TABLE t (id int, name varchar(20)); COPY t FROM 's3://a-bucket/b.txt' {role}; COPY t FROM 's3://a-bucket/b.txt' {role} BLANKSASNULL; COPY t FROM 's3://a-bucket/b.json' {role} JSON 'auto' BLANKSASNULL", kind="Queries")
        rows = self.query("SELECT id, name FROM t ORDER BY id, name", fetchType="FETCH")["rows"]
        self.assertCountEqual([(r["id"], r["name"]) for r in rows], [(1, "   "), (1, None), (2, " x "), (2, " x "), (3, None), (4, "")])

    def test_copy_places(self):
        """Places that a decimal has no room for are cut, or rounded where that is asked for."""
        self.upload(**{"d.csv": "1.999,5\n-0.005,1e1\n", "d.json": '{"a": 2.559, "b": 1} {"a": "9999.999"}'})
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        self.query(f"CREATE TABLE t (a decimal(6,2), b decimal(4,0)); COPY t FROM 's3://a-bucket/d.csv' {role} CSV; COPY t FROM 's3://a-bucket/d.csv' {role} CSV ROUNDEC; COPY t FROM 's3://a-bucket/d.json' {role} JSON 'auto'", kind="Queries")
        rows = self.query("SELECT a, b FROM t", fetchType="FETCH")["rows"]
        self.assertCountEqual([(r["a"], r["b"]) for r in rows], [(1.99, 5), (0, 10), (2, 5), (-0.01, 10), (2.55, 1), (9999.99, None)])

    def test_copy_by_schema(self):
        """The table that is named, whatever others are called; and the session's own."""
        self.upload(**{"two.txt": "1|a\n2|b\n"})
        role = "IAM_ROLE 'arn:aws:iam::000000000000:role/r'"
        self.query(
            "CREATE TABLE t (id int, name varchar(20)); CREATE SCHEMA other; CREATE TABLE other.t (name varchar(20), x int, y int); CREATE TABLE other.u (a int, b varchar(9));"
            f"COPY public.t FROM 's3://a-bucket/two.txt' {role}; COPY dev.public.t (id, name) FROM 's3://a-bucket/two.txt' {role}; COPY other.u FROM 's3://a-bucket/two.txt' {role};"
            f"CREATE TABLE #stage (id int, name varchar(20)); COPY #stage FROM 's3://a-bucket/two.txt' {role}; INSERT INTO t SELECT id + 10, name FROM #stage",
            kind="Queries",
        )
        self.assertEqual(self.query("SELECT COUNT(*) AS n, SUM(id) AS s, (SELECT COUNT(*) FROM other.u) AS u, (SELECT COUNT(*) FROM other.t) AS o FROM public.t", fetchType="FETCH_ONE")["row"], {"n": 6, "s": 29, "u": 2, "o": 0})
        self.assertRegex(self.query(f"COPY public.none FROM 's3://a-bucket/two.txt' {role}", rc=1).err, r'relation "public.none" does not exist')

    def test_ready_tasks(self):
        """CopyFromS3 and Merge write the SQL, show it, and keep the secret to themselves."""
        self.query("CREATE TABLE t (id int, name varchar(20), n int); CREATE TABLE s (id int, name varchar(20), n int); INSERT INTO t VALUES (1, 'old', 1), (9, 'kept', 9)")
        self.upload(**{"in/a.csv": "id;name;n\n1;new;10\n2;two;20\n"})
        connection = "url: 'jdbc:redshift://x/dev', username: u, password: p"
        copy = f"  - {{id: c, type: io.sluice.redshift.CopyFromS3, {connection}, table: s, from: 's3://a-bucket/in/', delimiter: ';', ignoreHeader: 1, accessKeyId: k, secretKeyId: canary-4711, mode: REPLACE}}\n"
        merge = f"  - {{id: m, type: io.sluice.redshift.Merge, {connection}, table: t, from: s, keys: [id], columns: [id, name, n]}}\n"
        head = "id: f\nnamespace: tests\ntasks:\n"
        done = self.ok(self.flow(head + copy + copy.replace("id: c", "id: again") + merge, "--local", "--output", "json"))
        self.assertNotIn("canary-4711", done.out + done.err)
        self.assertIn("SECRET_ACCESS_KEY '***'", self.outputs(done)["c"]["sql"])
        rows = lambda: [(r["id"], r["name"], r["n"]) for r in self.query("SELECT id, name, n FROM t ORDER BY id", fetchType="FETCH")["rows"]]
        self.assertEqual(rows(), [(1, "new", 10), (2, "two", 20), (9, "kept", 9)])
        self.query("UPDATE s SET name = 'ignored'; INSERT INTO s VALUES (3, 'three', 30)")
        self.ok(self.flow(head + merge.replace("columns:", "ifMatched: IGNORE, clearStaging: true, columns:"), "--local", "-q"))
        self.assertEqual(rows(), [(1, "new", 10), (2, "two", 20), (3, "three", 30), (9, "kept", 9)])
        self.assertEqual(self.query("SELECT count(*) AS n FROM s", fetchType="FETCH_ONE")["row"], {"n": 0})
        for bad, said in ((copy.replace("accessKeyId: k, ", ""), "either 'iamRole', or"), (copy.replace("s3://", "gs://"), "'from' must be s3://"), (merge.replace("columns: [id, name, n]", "columns: [id]"), "nothing to update"), (merge.replace("keys: [id]", "keys: [x]"), "must hold all of 'keys'")):
            self.assertIn(said, self.flow(head + bad, "--local").err)

    def test_copy_refused(self):
        self.query("CREATE TABLE t (id int, name varchar(20))")
        self.upload(**{"bad.csv": "1,a\nx,b\n3,c\n"})
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        done = self.query(f"COPY t FROM 's3://a-bucket/bad.csv' {role} CSV", rc=1)
        self.assertRegex(done.err, r"Load into table 't' failed.*file s3://a-bucket/bad.csv, line 2, column id \(int4\), value 'x': Invalid digit, Value 'x', Pos 0, Type: Integer")
        self.assertEqual(self.query("SELECT count(*) AS n FROM t", fetchType="FETCH_ONE")["row"], {"n": 0}, "all or nothing")
        done = self.query(f"COPY t FROM 's3://a-bucket/bad.csv' {role} CSV; SELECT 1", rc=1, kind="Queries")
        self.assertRegex(done.err, r"Load into table 't' failed.*file s3://a-bucket/bad.csv, line 2", "the reason outlives the transaction")
        self.assertIn("Load into table 't' failed", self.query(f"COPY t FROM 's3://a-bucket/bad.csv' {role} CSV MAXERROR 1", rc=1).err, "as many as that are too many")
        self.query(f"COPY t FROM 's3://a-bucket/bad.csv' {role} CSV MAXERROR 2")
        self.assertEqual(self.query("SELECT count(*) AS n FROM t", fetchType="FETCH_ONE")["row"], {"n": 2})
        for sql, said in {
            "COPY t FROM 's3://a-bucket/bad.csv' CSV": r"COPY needs credentials",
            f"COPY t FROM 's3://a-bucket/none' {role} CSV": r"prefix 'none' does not exist in the bucket 'a-bucket'",
            f"COPY none FROM 's3://a-bucket/bad.csv' {role} CSV": r'relation "none" does not exist',
            f"COPY t FROM 'dynamodb://x' {role}": r"needs READRATIO",
            f"COPY t FROM 's3://a-bucket/bad.csv' {role} FORMAT AS PARQUET": r"s3://a-bucket/bad.csv",
            f"COPY t FROM 's3://a-bucket/bad.csv' {role} FORMAT AS ORC": r"does not know the option ORC",
            f"COPY t FROM 's3://a-bucket/bad.csv' {role} PARQUET GZIP": r"takes no options for text",
            f"COPY t FROM 's3://a-bucket/bad.csv' {role} JSON 'auto'": r"Malformed JSON in file \"s3://a-bucket/bad.csv\"",
            f"COPY t FROM 's3://a-bucket/bad.csv' {role} JSON 'auto ignorecase'": r"knows JSON 'auto' and",
            "UNLOAD ('select 1') TO 's3://a-bucket/x'": r"UNLOAD needs credentials",
            "UNLOAD ('select 1') TO 's3://none/x' " + role: r"specified bucket does not exist \(none\)",
            "UNLOAD ('select nope') TO 's3://a-bucket/x' " + role: r"nope",
            "UNLOAD ('select 1') TO 's3://a-bucket/x' MAXFILESIZE 5 " + role: r"does not know the option MAXFILESIZE of UNLOAD",
            "CREATE EXTERNAL TABLE x (a int)": r'near "\("',
            "SELECT nope FROM t": r"SQLSTATE 42703",
            "SELEC 1": r"SQLSTATE 42601",
        }.items():
            with self.subTest(sql):
                self.assertRegex(self.query(sql, rc=1).err, said)

    def test_copy_bad_rows(self):
        """Each kind of row that is not taken: its line, column, value, and the reason and code that Redshift gives; and what makes it fit."""
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        rows = ['1,"fine\nover lines",ab,2024-01-01,1.5,t', "2,éééxx,ab,2024-01-01,1,t", "", '3,"two\n""lines"" that are long",ab,2024-01-01,1,t', "4,x,é,2024-01-01,1,t", "5,x,ab,2024-01-99,1,t", "6,x,ab,,1..5,t", "7,x,ab,,,no bool", "x8,x,ab,,,", ",x,ab,,,", "9,x,ab"]
        rows += ["10,x,ab,,,,more", "11,trailing       ,ab,,,f"]
        self.upload(
            **{
                "bad.csv": "head\n" + "\n".join(rows) + "\n",
                "bad.gz": gzip.compress("1|abc\n2|é too long here\n".encode()),
                "fit.txt": "1|abc  \n2|éééxx  \n3\n4|\\N\n",
                "bad.json": '{"id": 1, "name": "fits"}\n{"id": 2, "name": "does not fit at all"}\n{"name": "x"}\n',
            }
        )
        self.query("CREATE TABLE t (id int NOT NULL, name varchar(7), c char(2), d date, n decimal(6,2), b boolean); CREATE TABLE u (id int NOT NULL, name varchar(6))", kind="Queries")
        copy = f"COPY t FROM 's3://a-bucket/bad.csv' {role} CSV IGNOREHEADER 1"
        self.assertRegex(self.query(copy, rc=1).err, r"Load into table 't' failed.*file s3://a-bucket/bad.csv, line 2, column name \(varchar\), value 'fine(?s:.)over lines': String length exceeds DDL length")
        self.query("ALTER TABLE t ALTER COLUMN name TYPE varchar(15)")
        self.query(copy + " MAXERROR 100")
        told = self.query("SELECT line_number AS l, trim(colname) AS c, trim(raw_field_value) AS v, err_code AS e, trim(err_reason) AS r, col_length AS n, raw_line AS raw FROM stl_load_errors WHERE line_number > 2 ORDER BY line_number", fetchType="FETCH")["rows"]
        self.assertEqual(
            [(r["l"], r["c"], r["v"], r["e"]) for r in told],
            [(6, "name", 'two\n"lines" that are long', 1204), (8, "c", "é", 1215), (9, "d", "2024-01-99", 1205), (10, "n", "1..5", 1207), (11, "b", "no bool", 1210), (12, "id", "x8", 1207), (13, "id", "", 1213), (14, "c", "ab", 1214), (15, "", "", 1202)],
        )
        self.assertEqual((told[0]["r"], told[0]["n"], told[0]["raw"], told[5]["r"]), ("String length exceeds DDL length", "15", rows[3], "Invalid digit, Value 'x', Pos 0, Type: Integer"))
        self.assertEqual([r["id"] for r in self.query("SELECT id FROM t ORDER BY id", fetchType="FETCH")["rows"]], [1, 2, 11])
        for what, said in (
            (f"'s3://a-bucket/bad.gz' {role} GZIP", r"bad.gz, line 2, column name \(varchar\), value 'é too long here': String length exceeds DDL length"),
            (f"'s3://a-bucket/bad.json' {role} JSON 'auto'", r"bad.json, line 2, column name \(varchar\), value 'does not fit at all': String length"),
            (f"'s3://a-bucket/fit.txt' {role}", r"fit.txt, line 2, column name \(varchar\), value 'éééxx': String length"),
        ):
            self.assertRegex(self.query(f"COPY u FROM {what}", rc=1).err, said)
        self.assertEqual(self.query("SELECT count(*) AS n FROM u", fetchType="FETCH_ONE")["row"], {"n": 0})
        self.query(f"COPY u FROM 's3://a-bucket/fit.txt' {role} TRUNCATECOLUMNS FILLRECORD; COPY u FROM 's3://a-bucket/bad.gz' {role} GZIP TRUNCATECOLUMNS; COPY u FROM 's3://a-bucket/bad.json' {role} JSON 'auto' TRUNCATECOLUMNS TRIMBLANKS MAXERROR 2", kind="Queries")
        rows = self.query("SELECT id, name FROM u", fetchType="FETCH")["rows"]
        self.assertCountEqual([(r["id"], r["name"]) for r in rows], [(1, "abc  "), (2, "ééé"), (3, None), (4, None), (1, "abc"), (2, "é too"), (1, "fits"), (2, "does n")])

    def test_copy_too_wide(self):
        """What cannot be told by its line: a column of Parquet, an item of DynamoDB; and statements that write."""
        role = "IAM_ROLE 'arn:aws:iam::0:role/r'"
        self.query("CREATE TABLE t (id varchar(5), name varchar(8)); CREATE TABLE wide (id varchar(9), name varchar(30)); INSERT INTO wide VALUES ('1', 'a'), ('2', 'more than eight')", kind="Queries")
        self.upload(x="y")
        self.query(f"UNLOAD ('SELECT * FROM wide') TO 's3://a-bucket/p/' {role} FORMAT PARQUET")
        self.assertRegex(self.query(f"COPY t FROM 's3://a-bucket/p/' {role} FORMAT PARQUET", rc=1).err, r"The length of the data column name is longer than the length defined in the table. Table: 8, Data: 15, File name: s3://a-bucket/p/")
        for sql in (
            "INSERT INTO t SELECT * FROM wide",
            "UPDATE wide SET name = repeat('x', 31)",
            "MERGE INTO t USING wide ON t.id = wide.id WHEN MATCHED THEN UPDATE SET name = wide.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (wide.id, wide.name)",
        ):
            self.assertRegex(self.query(sql, rc=1).err, r"value too long for type character varying\((8|30)\) .*SQLSTATE 22001")
        self.play("""
  - {id: table, type: io.sluice.aws.dynamodb.CreateTable, tableName: products, partitionKey: {name: id}}
  - {id: one, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: products, item: {id: "1", name: fits}}
  - {id: two, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: products, item: {id: "2", name: does not fit}}
""")
        copy = f"COPY t FROM 'dynamodb://products' {role} READRATIO 50"
        self.assertRegex(self.query(copy, rc=1).err, r"file dynamodb://products, line \d, column name \(varchar\), value 'does not fit': String length exceeds DDL length")
        self.query(f"{copy} MAXERROR 2; {copy} TRUNCATECOLUMNS", kind="Queries")
        self.assertCountEqual([r["name"] for r in self.query("SELECT name FROM t", fetchType="FETCH")["rows"]], ["fits", "fits", "does not"])

    def objects(self, prefix):
        done = self.ok(self.flow("id: f\nnamespace: tests\n" + HEAD + f"tasks:\n  - {{id: d, type: io.kestra.plugin.aws.s3.Downloads, bucket: a-bucket, prefix: {prefix}, action: NONE}}\n", "--local", "--output", "json"))
        files = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["outputFiles"]
        return {k: (self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes() for k, uri in files.items()}

    def test_identity(self):
        """Values of their own for each table, over a rebuilt one too; COPY leaves them out unless it is told otherwise."""
        create = "CREATE TABLE t (id bigint IDENTITY(10, 5) distkey, name varchar(20), n int GENERATED BY DEFAULT AS IDENTITY(-3, -1))"
        role = "IAM_ROLE 'arn:aws:iam::0:role/r' CSV"
        self.upload(**{"names.csv": "c\nd\n", "all.csv": "1,e,2\n"})
        for _ in range(2):
            self.query(f"DROP TABLE IF EXISTS t; {create}; GRANT SELECT ON t TO GROUP readers; INSERT INTO t (name) VALUES ('a'), ('b'); ANALYZE t", kind="Queries")
            self.query(f"COPY t FROM 's3://a-bucket/names.csv' {role}; COPY t FROM 's3://a-bucket/all.csv' {role} EXPLICIT_IDS; REVOKE ALL ON t FROM readers", kind="Queries")
            self.assertEqual(self.rows("SELECT * FROM t ORDER BY name"), [[10, "a", -3], [15, "b", -4], [20, "c", -5], [25, "d", -6], [1, "e", 2]])
        self.assertRegex(self.query(f"COPY t (id, name) FROM 's3://a-bucket/names.csv' {role}", rc=1).err, 'cannot fill the IDENTITY column "id" without EXPLICIT_IDS')
        self.assertRegex(self.query("CREATE TABLE u (id int IDENTITY(1))", rc=1).err, "IDENTITY needs a seed and a step")

    SCHEMA = "CREATE EXTERNAL SCHEMA IF NOT EXISTS lake FROM DATA CATALOG DATABASE 'spectrum' IAM_ROLE 'arn:aws:iam::0:role/r' CREATE EXTERNAL DATABASE IF NOT EXISTS; "

    def rows(self, sql):
        return [list(r.values()) for r in self.query(sql, fetchType="FETCH")["rows"]]

    def test_external_table(self):
        """The task makes it of a CSV; objects that come and go are seen; it joins, fills tables, and goes."""
        trips = "id,name,price,at\n1,a,1.50,2024-01-02 03:04:05\n2,\"it's, b\",,\n"
        self.upload(**{"trips/a.csv": trips, "trips/_hidden": "x,y\n", "other/c.csv": "9,z\n"})
        path = self.tmp / "in.csv"
        path.write_text(trips.replace('"it\'s, b"', "b"))
        flow = (
            "id: f\nnamespace: tests\ninputs: [{id: file, type: FILE}]\n" + HEAD + "tasks:\n  - {id: e, type: io.sluice.redshift.CreateExternalTable, url: 'jdbc:redshift://x/dev', username: u, password: p, schema: lake, table: trips, "
            "location: 's3://a-bucket/trips/', from: '{{ inputs.file }}', createSchemaFrom: spectrum, iamRole: default, ifExists: REPLACE}\n"
        )
        for _ in range(2):
            self.ok(self.flow(flow, "--local", "-i", f"file=@{path}"))
        # DELIMITED knows no quotes, as there: the comma cuts, and what is no price is null.
        self.assertEqual(self.rows("SELECT * FROM lake.trips ORDER BY id"), [[1, "a", 1.5, "2024-01-02T03:04:05"], [2, "\"it's", None, None]])
        self.upload(**{"trips/b.csv": "id,name,price,at\n3,c,7,\n\\N,d,x,2024-05-06\n5\n"})
        self.assertEqual(self.rows("SELECT id, name, price, t.at::date FROM lake.trips t WHERE t.id IS NULL OR t.id > 2 ORDER BY name NULLS LAST"), [[3, "c", 7.0, None], [None, "d", None, "2024-05-06"], [5, None, None, None]])
        self.query("CREATE VIEW late AS SELECT count(*) AS n FROM lake.trips WITH NO SCHEMA BINDING; CREATE TABLE own AS SELECT id, name FROM lake.trips WHERE id < 3; INSERT INTO own SELECT id, name FROM lake.trips WHERE id = 3", kind="Queries")
        self.assertEqual(self.rows("SELECT n FROM late"), [[5]])
        self.assertEqual(self.rows("SELECT o.id, t.price FROM own o JOIN lake.trips t ON o.id = t.id ORDER BY 1"), [[1, 1.5], [2, None], [3, 7.0]])
        self.ok(self.flow("id: f\nnamespace: tests\n" + HEAD + "tasks:\n  - {id: d, type: io.kestra.plugin.aws.s3.DeleteList, bucket: a-bucket, prefix: trips/}\n", "--local", "-q"))
        self.assertEqual(self.rows("SELECT count(*) FROM lake.trips"), [[0]])
        self.assertEqual(self.rows("SELECT schemaname, tablename, location FROM svv_external_tables"), [["lake", "trips", "s3://a-bucket/trips/"]])
        self.assertEqual(self.rows("SELECT columnname, external_type, columnnum FROM svv_external_columns ORDER BY columnnum")[:2], [["id", "integer", 1], ["name", "varchar(16)", 2]])
        self.query("DROP VIEW late; DROP TABLE lake.trips; DROP SCHEMA lake DROP EXTERNAL DATABASE", kind="Queries", transaction=False)
        self.assertEqual(self.rows("SELECT count(*) FROM svv_external_tables"), [[0]])
        self.assertRegex(self.query("SELECT * FROM lake.trips", rc=1).err, "42P01|lake")

    def test_external_formats(self):
        """Packed text, quotes, tabs, a manifest, Parquet, folders as columns."""
        table = "CREATE EXTERNAL TABLE lake.{} ({}) {} LOCATION 's3://a-bucket/{}'{}; "
        csv_row = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar'=';', 'quoteChar'='\"', 'escapeChar'='\\\\') STORED AS TEXTFILE"
        self.upload(**{
            "gz/a.csv.gz": gzip.compress(b"h\n1\n2\n"), "gz/b.csv.gz": gzip.compress(b"h\n3\n"), "quoted/a": '"x;y";"say \\"hi\\""\nplain;\n', "tabs/a.tsv": "1\tone\n2\ttwo\n",
            "list/m": json.dumps({"entries": [{"url": "s3://a-bucket/tabs/a.tsv", "mandatory": True}]}), "mixed/a.gz": gzip.compress(b"1\n"), "mixed/b": "2\n",
            "year/2023/a": "1,a\n", "year/2024/a": "2,b\n3,c\n",
        })  # fmt: skip
        self.query(
            self.SCHEMA
            + table.format("gz", "n int", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE", "gz/", " TABLE PROPERTIES ('skip.header.line.count'='1', 'numRows'='3')")
            + table.format("quoted", "a varchar(20), b varchar(20)", csv_row, "quoted/", "")
            + table.format("tabs", "n bigint, t varchar(10)", "ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' LINES TERMINATED BY '\\n' STORED AS TEXTFILE", "tabs/a.tsv", "")
            + table.format("listed", "n bigint, t varchar(10)", "ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\011' STORED AS TEXTFILE", "list/m", "")
            + table.format("parted", "n int, t char(1)", "PARTITIONED BY (year int, kind varchar(5)) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE", "year/", "")
            + table.format("mixed", "n int", "STORED AS TEXTFILE", "none/", "")
            + table.format("pq", "id bigint, name varchar(10), x double precision", "STORED AS PARQUET", "pq/", ""),
            kind="Queries", transaction=False,
        )  # fmt: skip
        self.assertEqual(self.rows("SELECT sum(n), count(*) FROM lake.gz"), [[6, 3]])
        self.assertEqual(self.rows("SELECT * FROM lake.quoted ORDER BY a"), [["plain", ""], ["x;y", 'say "hi"']])
        self.assertEqual(self.rows("SELECT * FROM lake.tabs ORDER BY n"), [[1, "one"], [2, "two"]])
        self.assertEqual(self.rows("SELECT * FROM lake.listed ORDER BY n"), [[1, "one"], [2, "two"]])
        self.assertEqual(self.rows("SELECT * FROM lake.parted"), [])
        self.query("ALTER TABLE lake.parted ADD PARTITION (year=2023, kind='a') LOCATION 's3://a-bucket/year/2023/' PARTITION (year='2024', kind='b') LOCATION 's3://a-bucket/year/2024/'; "
                   "ALTER TABLE lake.parted ADD IF NOT EXISTS PARTITION (year=2023, kind='a') LOCATION 's3://a-bucket/year/2023/'", kind="Queries", transaction=False)  # fmt: skip
        self.assertEqual(self.rows("SELECT n, t, year, kind FROM lake.parted WHERE year > 2022 ORDER BY n"), [[1, "a", 2023, "a"], [2, "b", 2024, "b"], [3, "c", 2024, "b"]])
        self.query("ALTER TABLE lake.parted DROP PARTITION (year=2023, kind='a')")
        self.assertEqual(self.rows("SELECT count(*) FROM lake.parted"), [[2]])
        self.assertEqual(self.rows('SELECT tablename, "values" FROM svv_external_partitions'), [["parted", '["2024","b"]']])
        self.assertEqual(self.rows("SELECT count(*) FROM lake.pq"), [[0]])
        parquet = (
            "  - {id: rows, type: io.kestra.plugin.jdbc.duckdb.Query, sql: \"COPY (SELECT range AS id, 'n' || range AS name, range / 2 AS x FROM range(5)) TO '{{ workingDir }}/o.parquet' (FORMAT parquet)\", outputFiles: [o.parquet]}\n"
            "  - {id: up, type: io.kestra.plugin.aws.s3.Upload, from: \"{{ outputs.rows.outputFiles['o.parquet'] }}\", bucket: a-bucket, key: pq/o.parquet}\n"
        )
        self.ok(self.flow("id: f\nnamespace: tests\n" + HEAD + "tasks:\n" + parquet, "--local", "-q"))
        self.assertEqual(self.rows("SELECT count(*), max(name), sum(x) FROM lake.pq"), [[5, "n4", 5.0]])
        self.query("ALTER TABLE lake.parted ADD PARTITION (year=1, kind='x') LOCATION 's3://a-bucket/mixed/'")
        self.assertRegex(self.query("SELECT * FROM lake.parted", rc=1).err, r"all packed \(.gz\), or none")

    def test_external_refused(self):
        good = "CREATE EXTERNAL TABLE lake.t (a int) STORED AS TEXTFILE LOCATION 's3://b/x/'"
        self.query(self.SCHEMA + good, kind="Queries", transaction=False)
        for sql, said in {
            "CREATE EXTERNAL SCHEMA lake FROM DATA CATALOG DATABASE 'x' IAM_ROLE default": "schema \"lake\" already exists",
            "CREATE EXTERNAL SCHEMA two FROM DATA CATALOG DATABASE 'x'": "IAM_ROLE is expected",
            good: 'relation "t" already exists',
            good.replace("lake.t", "none.t"): 'schema "none" does not exist, or is no external schema',
            good.replace("TEXTFILE", "ORC").replace("lake.t", "lake.u"): "TEXTFILE and PARQUET, not 'ORC'",
            good.replace("a int", "a").replace("lake.t", "lake.u"): "a column's name and type is expected",
            good.replace("LOCATION 's3://b/x/'", "").replace("lake.t", "lake.u"): "LOCATION is expected",
            "DROP SCHEMA lake": "other objects depend on it",
            "INSERT INTO lake.t VALUES (1)": "t",
            "ALTER TABLE lake.t DROP PARTITION (x=1)": "PARTITION must give each",
        }.items():
            with self.subTest(sql):
                self.assertRegex(self.query(sql, rc=1).err, said)
        self.query("DROP SCHEMA lake CASCADE")

    def test_unload(self):
        """Rows go out, and come back as they were; what is there is not written over unless that is asked for."""
        self.query("CREATE TABLE t (id int, name varchar(40), since timestamp); INSERT INTO t VALUES (1, 'plain', '2024-01-02 03:04:05'), (2, 'it''s, \"quoted\"', NULL), (3, NULL, NULL)")
        self.upload(**{"x": "x"})
        connection = "url: 'jdbc:redshift://x/dev', username: u, password: p"
        unload = f"  - {{id: u, type: io.sluice.redshift.Unload, {connection}, query: \"SELECT * FROM t WHERE name IS NULL OR name <> 'no' ORDER BY id\", to: 's3://a-bucket/out/', header: true, manifest: true, accessKeyId: k, secretKeyId: canary-4711}}\n"
        head = "id: f\nnamespace: tests\ntasks:\n"
        done = self.ok(self.flow(head + unload, "--local", "--output", "json"))
        self.assertNotIn("canary-4711", done.out + done.err)
        self.assertIn("UNLOAD ('SELECT * FROM t WHERE name IS NULL OR name <> ''no'' ORDER BY id')", self.outputs(done)["u"]["sql"])
        files = self.objects("out/")
        self.assertEqual(files["out/0000_part_00"].decode(), 'id,name,since\n1,plain,2024-01-02 03:04:05\n2,"it\'s, ""quoted""",\n3,,\n')
        self.assertEqual(json.loads(files["out/manifest"]), {"entries": [{"url": "s3://a-bucket/out/0000_part_00", "meta": {"content_length": len(files["out/0000_part_00"]), "record_count": 3}}]})
        self.assertRegex(self.flow(head + unload, "--local").err, "unload destination on S3 is not empty")
        self.ok(self.flow(head + unload.replace("header:", "ifExists: OVERWRITE, header:"), "--local"))
        self.query("CREATE TABLE back AS SELECT * FROM t WHERE false; COPY back FROM 's3://a-bucket/out/manifest' IAM_ROLE 'r' CSV IGNOREHEADER 1 MANIFEST EMPTYASNULL")
        rows = lambda table: self.query(f"SELECT * FROM {table} ORDER BY id", fetchType="FETCH")["rows"]
        self.assertEqual(rows("back"), rows("t"))
        self.query("UNLOAD ('SELECT id, name FROM t WHERE id = 1') TO 's3://a-bucket/out/' IAM_ROLE 'r' GZIP CLEANPATH PARALLEL OFF DELIMITER AS ';' EXTENSION 'txt.gz'")
        self.assertEqual({k: gzip.decompress(v) for k, v in self.objects("out/").items()}, {"out/000.txt.gz": b"1;plain\n"})
        self.query("UNLOAD ('SELECT id FROM t') TO 's3://a-bucket/pq/' IAM_ROLE 'r' FORMAT AS PARQUET")
        self.assertEqual([(k, v[:4]) for k, v in self.objects("pq/").items()], [("pq/0000_part_00.parquet", b"PAR1")])
        for bad, said in ((unload.replace("accessKeyId: k, ", ""), "either 'iamRole', or"), (unload.replace("to: 's3://", "to: 'gs://"), "'to' must be s3://"), (unload.replace("header: true", "header: true, format: PARQUET"), "are for the formats CSV and TEXT"), (unload.replace("header: true", "maxFileSize: '1; DROP'"), "'maxFileSize' must be a size")):
            self.assertIn(said, self.flow(head + bad, "--local").err)

    def test_unload_interrupted(self):
        """With OVERWRITE it may run again; else nobody can tell how far it came."""
        self.query("CREATE TABLE t AS SELECT 1 AS a")
        self.upload(**{"x": "x"})
        task = "  - {id: u, type: io.sluice.redshift.Unload, url: 'jdbc:redshift://x/dev', username: u, password: p, query: SELECT * FROM t, to: 's3://a-bucket/out/', iamRole: r, ifExists: HOW}\n"
        for how, rc in (("OVERWRITE", 0), ("ERROR", 1)):
            killed = self.flow("id: f\nnamespace: tests\ntasks:\n" + task.replace("HOW", how), "--local", env={"SLUICE_FAULT": "task.after_checkpoint:1:kill"})
            done = self.sluice("run", "--continue", killed.id, "--local")
            self.assertEqual(done.rc, rc, done)
        self.assertRegex(done.err, "interrupted while this statement ran")

    def other_certificate(self):
        path = self.tmp / "other.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", self.tmp / "other.key", "-out", path], check=True, capture_output=True)
        return path

    @unittest.skipUnless((POSTGRES / "psql").exists(), missing(POSTGRES))
    def test_options_of_the_connection(self):
        """search_path as psycopg's users give it; RESET goes back to that."""
        with LocalCloud(self):
            env = dict(re.findall(r"export (\w+)='?([^'\n]*)'?", self.ok(self.sluice("local", "env")).out))
            command = [POSTGRES / "psql", "-h", env["REDSHIFT_HOST"], "-p", env["REDSHIFT_PORT"], "-U", env["REDSHIFT_USER"], "-d", env["REDSHIFT_DATABASE"], "-XqAt", "-v", "ON_ERROR_STOP=1"]

            def psql(sql, options=""):
                done = subprocess.run(command, input=sql, capture_output=True, text=True, env={**os.environ, "PGPASSWORD": env["REDSHIFT_PASSWORD"], "PGOPTIONS": options}, timeout=60)
                return (done.stdout + done.stderr).split("\n")[:-1]

            psql("CREATE SCHEMA other; CREATE TABLE other.t AS SELECT 'other' AS a; CREATE TABLE t AS SELECT 'public' AS a")
            ask = "SELECT a FROM t; SET search_path TO public; SELECT a FROM t; RESET ALL; RESET statement_timeout; SELECT a FROM t; SHOW search_path;"
            self.assertEqual(psql(ask), ["public", "public", "public", "$user, public"])
            for options in ("-c search_path=other,public", "--search_path=other,public --statement_timeout=5"):
                self.assertEqual(psql(ask, options), ["other", "public", "other", "other, public"])
            self.assertEqual(psql("SELECT a FROM t;", "-c search_path=not_there_yet,public"), ["public"])

    @unittest.skipUnless((POSTGRES / "psql").exists(), missing(POSTGRES))
    def test_statements(self):
        """The tables in tests/data/redshift, through psql."""
        lines = [line for line in (ROOT / "tests" / "data" / "redshift" / "statements.cases").read_text().splitlines() if line and not line.startswith("#")]
        with LocalCloud(self):
            env = dict(re.findall(r"export (\w+)='?([^'\n]*)'?", self.ok(self.sluice("local", "env")).out))
            command = [POSTGRES / "psql", "-h", env["REDSHIFT_HOST"], "-p", env["REDSHIFT_PORT"], "-U", env["REDSHIFT_USER"], "-d", env["REDSHIFT_DATABASE"], "-XqAt", "-F", "|"]
            text = "".join(f"\\echo @@{n}\n{line.rpartition(' =>')[0]};\n" for n, line in enumerate(lines))
            done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PGPASSWORD": env["REDSHIFT_PASSWORD"]}, timeout=120)
        parts = re.split(r"@@(\d+)\n", done.stdout)
        said = {int(parts[k]): parts[k + 1] for k in range(1, len(parts), 2)}
        for n, line in enumerate(lines):
            statement, _, expected = line.rpartition(" =>")
            with self.subTest(statement):
                if expected.startswith(" ! "):
                    self.assertIn(expected[3:], said[n])
                else:
                    self.assertEqual(said[n].split("\n")[0], expected.removeprefix(" "))

    @unittest.skipUnless((POSTGRES / "psql").exists(), missing(POSTGRES))
    def test_psql(self):
        with LocalCloud(self):
            env = dict(line.removeprefix("export ").split("=", 1) for line in self.ok(self.sluice("local", "env")).out.splitlines())
            base = [POSTGRES / "psql", "-h", env["REDSHIFT_HOST"], "-p", env["REDSHIFT_PORT"], "-U", env["REDSHIFT_USER"], "-d", env["REDSHIFT_DATABASE"], "-At", "-v", "ON_ERROR_STOP=1"]

            def psql(*args, password=env["REDSHIFT_PASSWORD"], stdin=None):
                return subprocess.run([*base, *args], env={**os.environ, "PGPASSWORD": password}, input=stdin, capture_output=True, text=True, timeout=60)

            done = psql(stdin="CREATE TABLE t (a int, b varchar(max));\nBEGIN;\nINSERT INTO t VALUES (1, 'x'), (2, NULL);\nSELECT a, b FROM t ORDER BY a; SELECT count(*) FROM t;\nROLLBACK;\nSELECT count(*) FROM t;\n")
            self.assertEqual((done.returncode, done.stdout.splitlines()), (0, ["CREATE", "BEGIN", "INSERT 0 2", "1|x", "2|", "2", "ROLLBACK", "0"]), done.stderr)
            done = psql("-c", "CREATE TABLE u (a int); INSERT INTO u VALUES (1); SELECT * FROM nowhere")
            self.assertIn("nowhere", done.stderr)
            self.assertIn("u does not exist", psql("-c", "SELECT * FROM u").stderr, "statements of one message are one transaction")
            done = psql("-c", "CREATE TABLE u (a int); INSERT INTO u VALUES (1); COMMIT; INSERT INTO u VALUES (2); BEGIN; INSERT INTO u VALUES (3); ROLLBACK; INSERT INTO u VALUES (4); SELECT * FROM nowhere")
            self.assertEqual(psql("-c", "SELECT a FROM u; BEGIN; INSERT INTO u VALUES (5); COMMIT; SELECT max(a) FROM u").stdout.split()[-1], "5")
            self.assertEqual(psql("-c", "SELECT a FROM u ORDER BY a").stdout.split(), ["1", "5"])
            done = psql("-c", "SELECT 1/0 +")
            self.assertEqual(done.returncode, 1)
            self.assertIn("ERROR:", done.stderr)
            schema = "CREATE EXTERNAL SCHEMA lake FROM DATA CATALOG DATABASE 'x' IAM_ROLE default;\n"
            done = psql(stdin=schema + "BEGIN;\nCREATE EXTERNAL TABLE lake.t (a int) STORED AS TEXTFILE LOCATION 's3://b/x/';\n")
            self.assertEqual(done.stdout.splitlines(), ["CREATE EXTERNAL SCHEMA", "BEGIN"])
            self.assertIn("CREATE EXTERNAL TABLE cannot run inside a transaction block", done.stderr)
            os.environ.update(PGSSLMODE="verify-full", PGSSLROOTCERT=env["REDSHIFT_CA"])
            self.addCleanup(lambda: [os.environ.pop(k, None) for k in ("PGSSLMODE", "PGSSLROOTCERT")])
            done = psql("-c", "SELECT repeat('x', 3000000)")
            self.assertEqual((done.returncode, len(done.stdout)), (0, 3_000_001), done.stderr)
            self.assertIn("TLSv1.3", psql("-c", "\\conninfo").stdout)
            os.environ["PGSSLROOTCERT"] = str(self.other_certificate())
            self.assertIn("certificate verify failed", psql("-c", "SELECT 1").stderr)
            os.environ["PGSSLMODE"] = "disable"
            self.assertEqual(psql("-c", "SELECT 1").stdout, "1\n")
            done = psql("-c", "SELECT 1", password="wrong")
            self.assertEqual(done.returncode, 2)
            self.assertIn("password authentication failed", done.stderr)


if __name__ == "__main__":
    unittest.main()
