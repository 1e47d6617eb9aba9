"""The public flows of a data engineering course, unmodified: 01 to 09 (02 to 05 and the CrateDB flow but for the hosts), and the AWS
pipeline (but for hosts, names and the bucket). They lie beside a checkout (PUBLIC_FLOWS names
their folder), never in it. wget is a stand-in on the PATH that answers from files: nothing leaves the machine."""

import csv
import gzip
import io
import json
import os
import pathlib
import sys
import time
import unittest

from containers import Podman
from peers import POSTGRES, Postgres, missing
from scripted import Scripted
from server import Server
from sluice import ROOT, Case, LocalCloud, checksum, read_csv
from test_main_job import from_csv, from_warehouse

FLOWS = pathlib.Path(os.environ.get("PUBLIC_FLOWS", ROOT.parent / "shared" / "flows"))
DATA = FLOWS.parent / "data"
WGET = """#!{python}
import pathlib, sys
assert sys.argv[1] == "-qO-", sys.argv
sys.stdout.buffer.write((pathlib.Path({site!r}) / sys.argv[2].rsplit("/", 1)[1]).read_bytes())
"""

PIP = """import pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1])
target.mkdir()
assert sys.argv[-2:] == ["requests", "kestra"], sys.argv
(target / "requests.py").write_text("class get:\\n    def __init__(self, url):\\n        self.url = url\\n    def json(self):\\n        return {'pull_count': 4711}\\n")
"""


@unittest.skipUnless((FLOWS / "08_gcp_taxi.yaml").exists(), "SKIPPED: the public flows are not here; PUBLIC_FLOWS names their folder")
class PublicFlows(Case):
    def setUp(self):
        super().setUp()
        self.site = self.tmp / "site"
        self.site.mkdir()
        (self.tmp / "bin").mkdir()
        wget = self.tmp / "bin" / "wget"
        wget.write_text(WGET.format(python=sys.executable, site=str(self.site)))
        wget.chmod(0o755)
        self.path = {"PATH": f"{self.tmp}/bin:{os.environ['PATH']}"}

    def months(self, *files, rows=2000):
        with LocalCloud(self) as cloud:
            for name in files:
                status, body = cloud.get(f"/sample-data/trips/{name}?rows={rows}")
                self.assertEqual(status, 200)
                (self.site / (name + ".gz")).write_bytes(gzip.compress(body))

    def run_file(self, name, *args):
        return self.ok(self.sluice("run", FLOWS / name, "--local", "-q", *args, env=self.path))

    def merged(self, taxi):
        answer = self.sql(f"SELECT * FROM `{taxi}_tripdata`".replace("`", "`" + self.dataset() + ".", 1))
        names = [f["name"] for f in answer["fields"]]
        return [dict(zip(names, (cell["v"] for cell in row["f"]))) for row in answer["rows"]]

    def dataset(self):
        return self.sql("SELECT CONCAT(catalog_name, '.', schema_name) FROM INFORMATION_SCHEMA.SCHEMATA")["rows"][0]["f"][0]["v"]

    def same(self, got, *files):
        want = [r for name in files for r in read_csv(gzip.decompress((self.site / (name + ".gz")).read_bytes()))]
        self.assertEqual(len(got), len(want))
        for column in want[0]:
            self.assertEqual(checksum([[from_warehouse(column, r[column])] for r in got]), checksum([[from_csv(column, r[column])] for r in want]), column)
        whole = lambda convert, r: [convert(c, r[c]) for c in want[0]]
        self.assertEqual(checksum(whole(from_warehouse, r) for r in got), checksum(whole(from_csv, r) for r in want))

    def test_hello_world(self):
        self.run_file("01_hello_world.yaml")

    def test_gcp_taxi(self):
        files = ["green_tripdata_2019-01.csv", "green_tripdata_2019-02.csv"]
        self.months(*files, "yellow_tripdata_2020-03.csv")
        self.run_file("06_gcp_kv.yaml")
        kv = {key: value for key, value in (("GCP_PROJECT_ID", "local-project"), ("GCP_LOCATION", "europe-west2"), ("GCP_BUCKET_NAME", "a-bucket-of-mine"), ("GCP_DATASET", "zoomcamp"))}
        for key, value in kv.items():
            self.ok(self.sluice("kv", "set", "-n", "zoomcamp", key, value))
        self.run_file("07_gcp_setup.yaml")
        self.run_file("08_gcp_taxi.yaml")
        self.same(self.merged("green"), files[0])
        self.run_file("08_gcp_taxi.yaml")  # twice adds nothing
        self.same(self.merged("green"), files[0])
        self.run_file("08_gcp_taxi.yaml", "-i", "month=02")  # two months add up
        self.same(self.merged("green"), *files)
        self.run_file("08_gcp_taxi.yaml", "-i", "taxi=yellow", "-i", "year=2020", "-i", "month=03")
        self.same(self.merged("yellow"), "yellow_tripdata_2020-03.csv")
        self.assertEqual({r["filename"] for r in self.merged("green")}, set(files))

    @unittest.skipUnless((DATA / "products.csv").exists(), "SKIPPED: products.csv and orders.csv are not beside the flows")
    def test_aws_pipeline(self):
        """Products to DynamoDB row by row, orders to S3, both into Redshift, joined, back to S3; but for hosts, names and the bucket."""
        pages = {"/" + name: (DATA / name).read_bytes() for name in ("products.csv", "orders.csv")}
        with Scripted(lambda r: (200, {"Content-Type": "text/csv"}, pages["/" + r.path.rsplit("/", 1)[1]])) as site, Server(self, "--local") as s:
            for name in ("aws_product_upload", "aws_data_preparation", "aws_aws_data_pipeline"):
                text = (FLOWS / f"{name}.yaml").read_text().replace("https://huggingface.co", site.url).replace("namespace: prod", "namespace: dev").replace("smantri-test-bucket", "kestra-bucket")
                s.flow(text.replace("<redshift-cluster>", "cluster").replace("<access-key>", "a").replace("<secret-key>", "s"))
            s.flow("id: setup\nnamespace: dev\ntasks:\n  - {id: b, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: kestra-bucket}\n  - {id: t, type: io.sluice.aws.dynamodb.CreateTable, tableName: products, partitionKey: {name: id}}\n")
            s.flow("id: back\nnamespace: dev\ntasks:\n  - {id: d, type: io.kestra.plugin.aws.s3.Download, bucket: kestra-bucket, key: kestra/output/detailed_orders.csv}\n")
            for flow in ("setup", "data_preparation", "aws_data_pipeline", "back"):
                done = s.run("dev", flow)
                self.assertEqual(done["state"]["current"], "SUCCESS", self.trouble(s))
            uri = done["taskRunList"][0]["outputs"]["uri"]
            got = read_csv((self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes())
        products = {p["product_id"]: p for p in read_csv(pages["/products.csv"])}
        want = [(o["order_id"], o["customer_name"], products[o["product_id"]]["product_name"], products[o["product_id"]]["brand"], float(o["total"])) for o in read_csv(pages["/orders.csv"]) if o["product_id"] in products]
        self.assertEqual(sorted((r["order_id"], r["customer_name"], r["product_name"], r["product_brand"], float(r["total"])) for r in got), sorted(want))
        self.assertEqual((len(products), len(want)), (20, 100))

    def test_containers(self):
        """02 and 03: scripts in images of Python (made here, with stand-ins for the packages of 02), the result queried in DuckDB."""
        podman = Podman()
        if podman.reason:
            self.skipTest("SKIPPED: " + podman.reason)
        self.addCleanup(podman.close)
        image = podman.python()
        podman.load("docker.io/library/python:3.11-alpine", image)
        podman.load("docker.io/library/python:slim", image)
        products = [{"id": i, "brand": f"b{i % 3}", "price": i + 0.25, "other": "x"} for i in range(30)]
        with Scripted(lambda r: (200, {}, {"products": products, "total": 30})) as site:
            path = self.tmp / "03.yaml"
            path.write_text((FLOWS / "03_getting_started_data_pipeline.yaml").read_text().replace("https://dummyjson.com", site.url))
            done = self.ok(self.sluice("run", path, "--output", "json", env={"DOCKER_HOST": podman.host}))
        out = json.loads(done.out.splitlines()[0])["taskRuns"][-1]["outputs"]["outputs"]
        brands = {b: [p["price"] for p in products if p["brand"] == b] for b in ("b2", "b1", "b0")}
        want = "".join(f'{{brand:"{b}",avg_price:{sum(v) / len(v)}e0}}\n' for b, v in brands.items())
        self.assertEqual((self.data / "storage" / out[0]["uri"].removeprefix("kestra:///")).read_text(), want)
        # 02 installs packages, which needs the network: pip's place is taken by a module that puts a stand-in for requests there.
        text = (FLOWS / "02_python.yaml").read_text().replace("    script: |", "    inputFiles:\n      pip.py: |\n" + "".join(f"        {line}\n" for line in PIP.splitlines()) + "    script: |")
        path = self.tmp / "02.yaml"
        path.write_text(text)
        done = self.ok(self.sluice("run", path, "--output", "json", env={"DOCKER_HOST": podman.host}))
        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["vars"], {"downloads": 4711})

    def trouble(self, server):
        """What went wrong anywhere, for messages."""
        return [server.get(f"/logs/{x['id']}/download?minLevel=WARN").body.decode()[-1000:] for x in server.search()["results"] if x["state"]["current"] != "SUCCESS"]

    def postgres(self, name, server):
        """The flow with another host."""
        path = self.tmp / name
        path.write_text((FLOWS / name).read_text().replace("pgdatabase:5432", f"127.0.0.1:{server.port}"))
        return path

    def same_rows(self, server, taxi, *files):
        """Every column of every row, in any order."""

        def plain(v):
            try:
                return repr(float(v))
            except ValueError:
                return v

        want = [r for name in files for r in read_csv(gzip.decompress((self.site / (name + ".gz")).read_bytes()))]
        columns = list(want[0])
        got = csv.reader(io.StringIO(server.psql(f"COPY (SELECT {', '.join(columns)} FROM {taxi}_tripdata) TO STDOUT WITH (FORMAT CSV)", "ny_taxi")))
        self.assertEqual(sorted([plain(v) for v in r] for r in got), sorted([plain(v) for v in r.values()] for r in want))

    @unittest.skipUnless(POSTGRES.exists(), missing(POSTGRES))
    def test_postgres_taxi(self):
        """04, and 05 backfilled while the server is killed: counts and values equal an independent reading; twice adds nothing."""
        green = [f"green_tripdata_2019-0{m}.csv" for m in range(1, 6)]
        self.months(*green, "yellow_tripdata_2019-01.csv", rows=1000)
        pg = Postgres("root")
        self.addCleanup(pg.stop)
        pg.psql("CREATE DATABASE ny_taxi")
        flow = self.postgres("04_postgres_taxi.yaml", pg)
        for args in ((), (), ("-i", "taxi=green")):
            self.ok(self.sluice("run", flow, "-q", *args, env=self.path))
        self.same_rows(pg, "yellow", "yellow_tripdata_2019-01.csv")
        self.same_rows(pg, "green", green[0])
        with Server(self, env=self.path) as s:
            s.flow(self.postgres("05_postgres_taxi_scheduled.yaml", pg).read_text())
            backfill = {"start": "2019-01-01T00:00:00Z", "end": "2019-05-30T00:00:00Z", "inputs": {"taxi": "green"}}
            a = s.call("PUT", "/triggers", {"namespace": "zoomcamp", "flowId": "05_postgres_taxi_scheduled", "triggerId": "green_schedule", "backfill": backfill})
            self.assertEqual(a.status, 200, a)
            kills = 0
            while any("backfill" in t for t in s.get("/triggers/zoomcamp/05_postgres_taxi_scheduled").json["results"]) or s.search(flowId="05_postgres_taxi_scheduled", state="RUNNING")["results"]:
                time.sleep(0.4)
                if kills < 4:
                    s.kill()
                    s.start()
                    kills += 1
            rows = s.search(flowId="05_postgres_taxi_scheduled")["results"]
            self.assertEqual([x["state"]["current"] for x in rows], ["SUCCESS"] * 5)
        self.same_rows(pg, "green", *green)

    @unittest.skipUnless(POSTGRES.exists(), missing(POSTGRES))
    def test_cratedb_copy(self):
        """Rows from one cluster to another. No CrateDB can be had: two PostgreSQLs stand in, with an aggregate max_by."""
        columns = "vendorid int, pickup timestamp, dropoff timestamptz, passenger_count int, trip_distance double precision, ratecodeid int, flag text, pu int, dolocation int, payment_type int, fare_amount numeric(10,2), extra real, tags text[], doc jsonb, day date, ok boolean, id bigint"
        text = (FLOWS / "cratedb_kestra.yaml").read_text().replace("my_super_secret_password", "a-password")
        servers = []
        for host in ("cratedb-kestra.aks1.westeurope.azure.cratedb.net:5432", "cratedb-kestra2.aks1.eastus2.azure.cratedb.net:5432"):
            pg = Postgres("a-password")
            self.addCleanup(pg.stop)
            servers.append(pg)
            self.assertIn(host, text)
            text = text.replace(host, f"127.0.0.1:{pg.port}")
            pg.psql("CREATE ROLE admin LOGIN SUPERUSER PASSWORD 'a-password'")
            pg.psql("CREATE DATABASE admin")
            pg.psql(f"CREATE SCHEMA doc; CREATE TABLE doc.nyc_taxi ({columns})", "admin")
            pg.psql("CREATE FUNCTION later(numeric[], int, numeric) RETURNS numeric[] LANGUAGE sql AS 'SELECT CASE WHEN $1 IS NULL OR $3 >= $1[2] THEN ARRAY[$2, $3] ELSE $1 END';"
                    "CREATE FUNCTION first_of(numeric[]) RETURNS int LANGUAGE sql AS 'SELECT $1[1]::int'; CREATE AGGREGATE max_by(int, numeric) (SFUNC = later, STYPE = numeric[], FINALFUNC = first_of)", "admin")
        servers[0].psql("INSERT INTO doc.nyc_taxi SELECT g, timestamp '2024-01-01' + g * interval '1 minute', timestamptz '2024-01-01 12:00+02' + g * interval '1 s', g % 7, g / 3.0, NULL, 'a ''q'' \"d\" ' || g, g, g, 1, g % 97, 0.5, ARRAY['x', 'y,' || g], jsonb_build_object('k', g), date '2024-02-29', g % 2 = 0, 9007199254740993 FROM generate_series(1, 900) g", "admin")
        path = self.tmp / "crate.yaml"
        path.write_text(text)
        self.ok(self.sluice("run", path, "-q"))
        rows = [pg.psql("SELECT * FROM doc.nyc_taxi ORDER BY vendorid", "admin") for pg in servers]
        self.assertEqual(len(rows[0].splitlines()), 900)
        self.assertEqual(rows[0], rows[1])

    def test_eighteen_months_of_both_taxis_on_schedule(self):
        """09, backfilled on a server over 18 months, green and yellow at the same time, killed on the way."""
        months = [f"{y}-{m:02d}" for y in (2019, 2020) for m in range(1, 13)][:18]
        files = {taxi: [f"{taxi}_tripdata_{m}.csv" for m in months] for taxi in ("green", "yellow")}
        self.months(*files["green"], *files["yellow"], rows=200)
        with Server(self, "--local", env=self.path) as s:
            for key, value in (("GCP_PROJECT_ID", "local-project"), ("GCP_LOCATION", "europe-west2"), ("GCP_BUCKET_NAME", "a-bucket-of-mine"), ("GCP_DATASET", "zoomcamp")):
                self.assertEqual(s.call("PUT", f"/namespaces/zoomcamp/kv/{key}", value, "text/plain").status, 200)
            for name in ("07_gcp_setup", "09_gcp_taxi_scheduled"):
                s.flow((FLOWS / f"{name}.yaml").read_text())
            self.assertEqual(s.run("zoomcamp", "07_gcp_setup")["state"]["current"], "SUCCESS")
            for taxi in ("green", "yellow"):
                a = s.call("PUT", "/triggers", {"namespace": "zoomcamp", "flowId": "09_gcp_taxi_scheduled", "triggerId": taxi + "_schedule",
                                                "backfill": {"start": "2019-01-01T00:00:00Z", "end": "2020-06-30T00:00:00Z", "inputs": {"taxi": taxi}, "labels": {"backfill": "true"}, "parallel": 2}})
                self.assertEqual(a.status, 200, a)
            kills = 0
            while any("backfill" in t for t in s.get("/triggers/zoomcamp/09_gcp_taxi_scheduled").json["results"]):
                time.sleep(0.7)
                if kills < 3:
                    s.kill()
                    s.start()
                    kills += 1
            rows = s.search(flowId="09_gcp_taxi_scheduled")["results"]
            bad = [x["id"] for x in rows if x["state"]["current"] != "SUCCESS"]
            self.assertEqual((len(rows), [s.get(f"/logs/{id}/download?minLevel=INFO").body.decode()[-3000:] for id in bad]), (36, []))
            for x in rows:
                labels = {l["key"]: l["value"] for l in x["labels"]}
                self.assertEqual(labels["file"], f"{labels['taxi']}_tripdata_{x['trigger']['variables']['date'][:7]}.csv")
            for taxi in ("green", "yellow"):
                self.same(self.merged(taxi), *files[taxi])
            self.ok(self.sluice("verify"))


if __name__ == "__main__":
    unittest.main()
