"""The public flows of a data engineering course, unmodified: 01, 06, 07 and 08. They lie beside a checkout (PUBLIC_FLOWS names
their folder), never in it. wget is a stand-in on the PATH that answers from files: nothing leaves the machine."""

import gzip
import os
import pathlib
import sys
import unittest

from sluice import ROOT, Case, LocalCloud, checksum, read_csv
from test_main_job import from_csv, from_warehouse

FLOWS = pathlib.Path(os.environ.get("PUBLIC_FLOWS", ROOT.parent / "shared" / "flows"))
WGET = """#!{python}
import pathlib, sys
assert sys.argv[1] == "-qO-", sys.argv
sys.stdout.buffer.write((pathlib.Path({site!r}) / sys.argv[2].rsplit("/", 1)[1]).read_bytes())
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


if __name__ == "__main__":
    unittest.main()
