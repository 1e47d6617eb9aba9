"""GoogleSQL on the local cloud, from the tables in tests/data/sql."""

import json
import unittest

from sluice import ROOT, Case, LocalCloud


def cases(path):
    """Query => rows as JSON, or => ! a part of the error. A query may have several lines."""
    query = ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        head, arrow, tail = line.rpartition(" => ")
        query += (head if arrow else line) + "\n"
        if arrow:
            yield query.strip(), tail
            query = ""


class Sql(Case):
    def test_tables(self):
        with LocalCloud(self, "--anonymous") as cloud:
            import http.client

            c = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=30)
            for path in sorted((ROOT / "tests" / "data" / "sql").glob("*.cases")):
                for query, expected in cases(path):
                    with self.subTest(query):
                        c.request("POST", "/bigquery/v2/projects/local-project/queries", json.dumps({"query": query, "useLegacySql": False}))
                        r = c.getresponse()
                        doc = json.loads(r.read())
                        if expected.startswith("! "):
                            self.assertGreaterEqual(r.status, 400, doc)
                            self.assertIn(expected[2:].lower(), doc["error"]["message"].lower())
                        else:
                            self.assertEqual(r.status, 200, doc)
                            self.assertEqual([[cell["v"] for cell in row["f"]] for row in doc.get("rows", [])], json.loads(expected))
            c.close()


if __name__ == "__main__":
    unittest.main()
