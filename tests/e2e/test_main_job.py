"""The main job on the local cloud: what arrives equals what an independent reader computes from the same CSV."""

import base64
import datetime
import decimal
import hashlib
import json
import re
import unittest

from sluice import EXAMPLES, Case, LocalCloud, checksum, read_csv

NUMERIC = {"trip_distance", "fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "ehail_fee", "improvement_surcharge", "total_amount", "congestion_surcharge"}
TIMES = {"lpep_pickup_datetime", "lpep_dropoff_datetime", "tpep_pickup_datetime", "tpep_dropoff_datetime"}
INTEGERS = {"passenger_count", "payment_type"}


def from_csv(column, text):
    if text == "":
        return None
    if column in NUMERIC:
        return decimal.Decimal(text).normalize()
    if column in INTEGERS:
        return int(text)
    if column in TIMES:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()
    return text


def from_warehouse(column, text):
    if text is None:
        return None
    if column in NUMERIC:
        return decimal.Decimal(text).normalize()
    if column in INTEGERS:
        return int(text)
    return float(text) if column in TIMES else text


class MainJob(Case):
    def month(self, month, rows=3000):
        done = self.ok(self.sluice("run", EXAMPLES / "gcp_taxi.yaml", "--local", "-q", "-i", f"month={month}", "-i", f"rows={rows}"))
        return int(re.search(r'"trips":(\d+)', done.out).group(1))

    def source(self, month, rows=3000):
        with LocalCloud(self) as cloud:
            status, body = cloud.get(f"/sample-data/trips/green_tripdata_2019-{month}.csv?rows={rows}")
            self.assertEqual(status, 200)
            return body

    def test_every_column_arrives(self):
        self.prepare()
        self.assertEqual(self.month("01"), 3000)
        body = self.source("01")
        self.assertIn(b"\r\n", body, "the sample is meant to have CRLF line ends, as the true files do")
        rows = read_csv(body)
        self.assertEqual(len(rows), 3000)
        answer = self.sql("SELECT * FROM `local-project.trips.green_tripdata`")
        names = [f["name"] for f in answer["fields"]]
        got = [dict(zip(names, (cell["v"] for cell in row["f"]))) for row in answer["rows"]]
        for column in rows[0]:
            self.assertIn(column, names)
            self.assertEqual(checksum([[from_warehouse(column, r[column])] for r in got]), checksum([[from_csv(column, r[column])] for r in rows]), column)
        self.assertTrue(all(r["ehail_fee"] is None for r in got), "an empty column is NULL")
        whole = lambda convert, r: [convert(c, r[c]) for c in rows[0]]
        self.assertEqual(checksum(whole(from_warehouse, r) for r in got), checksum(whole(from_csv, r) for r in rows))

    def test_identifiers_are_the_md5_of_what_identifies_a_trip(self):
        self.prepare()
        self.month("01", 50)
        ids = {base64.b64decode(r["f"][0]["v"]) for r in self.sql("SELECT trip_id FROM `local-project.trips.green_tripdata`")["rows"]}
        # BigQuery casts a TIMESTAMP to text with its zone.
        want = {hashlib.md5(f"{r['VendorID']}|{r['lpep_pickup_datetime']}+00|{r['lpep_dropoff_datetime']}+00|{r['PULocationID']}|{r['DOLocationID']}".encode()).digest() for r in read_csv(self.source("01", 50))}
        self.assertEqual(ids, want)

    def test_twice_adds_nothing_and_months_add_up(self):
        self.prepare()
        self.assertEqual(self.month("01"), 3000)
        self.assertEqual(self.month("01"), 3000)
        self.assertEqual(self.month("02"), 6000)

    def test_answer_as_json(self):
        self.prepare()
        done = self.ok(self.sluice("run", EXAMPLES / "gcp_taxi.yaml", "--local", "-q", "--output", "json", "-i", "rows=10"))
        answer = json.loads(done.out)
        self.assertEqual(answer["state"], "SUCCESS")
        self.assertEqual(answer["outputs"]["trips"], 10)


if __name__ == "__main__":
    unittest.main()
