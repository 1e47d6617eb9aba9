"""GoogleSQL on the local cloud, from the tables in tests/data/sql."""

import concurrent.futures
import json
import unittest
import urllib.request

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
            c.request("POST", "/storage/v1/b?project=local-project", json.dumps({"name": "sql-cases"}), {"Content-Type": "application/json"})
            self.assertEqual((made := c.getresponse()).status, 200, made.read())
            made.read()
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

    def test_transactions_beside_each_other(self):
        """None of eight loses what another one adds."""
        with LocalCloud(self, "--anonymous") as cloud:

            def run(sql):
                request = urllib.request.Request(cloud.url + "/bigquery/v2/projects/local-project/queries", json.dumps({"query": sql, "useLegacySql": False, "timeoutMs": 60000}).encode(), {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=60) as r:
                    return json.loads(r.read())

            run("CREATE SCHEMA s; CREATE TABLE s.c AS SELECT 0 AS n; CREATE TABLE s.log (n INT64)")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda i: run(f"BEGIN TRANSACTION; UPDATE s.c SET n = n + 1 WHERE TRUE; INSERT INTO s.log VALUES ({i}); COMMIT TRANSACTION"), range(40)))
            self.assertEqual([c["v"] for c in run("SELECT n, (SELECT COUNT(DISTINCT n) FROM s.log) FROM s.c")["rows"][0]["f"]], ["40", "40"])


if __name__ == "__main__":
    unittest.main()
