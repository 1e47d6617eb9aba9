"""
The server is killed again and again while it backfills, at random instants and at its labelled points, against a local cloud that
goes on outside: every date has one execution, every statement one job, no row is there twice. SLUICE_TEST_LONG=1: 500 kills.
"""

import collections
import http.client
import json
import os
import random
import re
import sqlite3
import subprocess
import time
import unittest

from server import Server
from sluice import EXAMPLES, Case, LocalCloud

KILLS = 500 if os.environ.get("SLUICE_TEST_LONG") else 50
ROWS = 100


class Storm(Case):
    def merges(self, cloud):
        """How many MERGE jobs have succeeded, by month."""
        jobs, token = [], ""
        while token is not None:
            status, body = cloud.get("/bigquery/v2/projects/local-project/jobs?projection=full&maxResults=1000&allUsers=true" + (f"&pageToken={token}" if token else ""))
            self.assertEqual(status, 200, body)
            page = json.loads(body)
            jobs += page.get("jobs", [])
            token = page.get("nextPageToken")
        texts = [j["configuration"]["query"]["query"] for j in jobs if j["status"]["state"] == "DONE" and "errorResult" not in j["status"] and "query" in j["configuration"]]
        return collections.Counter(re.search(r"'(\d{4}-\d\d)' AS month", t).group(1) for t in texts if "MERGE INTO" in t)

    def running(self, s):
        return "backfill" in next(t for t in s.get("/triggers/examples/gcp_taxi_scheduled").json["results"] if t["triggerId"] == "green")

    def fill(self, s, year, years=2):
        record = {"namespace": "examples", "flowId": "gcp_taxi_scheduled", "triggerId": "green"}
        fill = {"start": f"{year}-01-01T00:00:00Z", "end": f"{year + years - 1}-12-31T00:00:00Z", "inputs": {"taxi": "green", "rows": ROWS}, "labels": {"year": year}, "parallel": 2}
        a = s.call("PUT", "/triggers", {**record, "backfill": fill})
        self.assertEqual(a.status, 200, a)

    def check_state(self):
        """What is on disk between a kill and the next start."""
        db = sqlite3.connect(f"file:{self.data / 'state.db'}?mode=ro", uri=True)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        twice = db.execute("SELECT trigger_id, tick_ms FROM executions WHERE tick_ms IS NOT NULL GROUP BY ns, flow_id, trigger_id, tick_ms HAVING count(*) > 1").fetchall()
        self.assertEqual(twice, [])
        db.close()

    def check_end(self, s, cloud, months):
        rows = s.search(flowId="gcp_taxi_scheduled")["results"]
        self.assertEqual(collections.Counter(x["state"]["current"] for x in rows), {"SUCCESS": len(months)}, [x for x in rows if x["state"]["current"] != "SUCCESS"][:1])
        self.assertEqual(sorted(x["trigger"]["variables"]["date"][:7] for x in rows), sorted(months))
        merges = self.merges(cloud)
        self.assertEqual({m: merges[m] for m in set(months) | set(merges) if merges[m] != 1}, {}, "months that were not merged exactly once")
        for x in rows:
            self.assertEqual([r["taskId"] for r in x["taskRunList"]], ["label", "extract", "upload", "external_table", "table", "merge", "clean_up"])
        counts = self.sql("SELECT month, count(*), count(DISTINCT trip_id) FROM trips.green_trips GROUP BY month")["rows"]
        self.assertEqual({r["f"][0]["v"]: (r["f"][1]["v"], r["f"][2]["v"]) for r in counts}, {m: (str(ROWS), str(ROWS)) for m in months})
        self.assertEqual(list((self.data / "work").iterdir()), [])

    def prepared(self):
        s = Server(self, "--local")
        for name in ("gcp_kv", "gcp_setup", "gcp_taxi_scheduled"):
            s.flow((EXAMPLES / f"{name}.yaml").read_text())
        for name in ("gcp_kv", "gcp_setup"):
            self.assertEqual(s.run("examples", name)["state"]["current"], "SUCCESS")
        return s

    def test_killed_at_random_instants(self):
        seed = random.randrange(1 << 30)
        print(f"seed {seed}", flush=True)
        rand = random.Random(seed)
        with LocalCloud(self, "--anonymous") as cloud, self.prepared() as s:
            kills, year, months = 0, 2015, []
            while kills < KILLS:
                self.fill(s, year)
                months += [f"{y}-{m:02d}" for y in (year, year + 1) for m in range(1, 13)]
                year += 2
                while self.running(s):
                    time.sleep(rand.uniform(0, 0.25))
                    s.kill()
                    kills += 1
                    self.check_state()
                    s.start()
            print(f"{kills} kills, {len(months)} dates", flush=True)
            self.check_end(s, cloud, months)
            self.assertEqual(s.stop(), 0)
            self.ok(self.sluice("verify"))

    def survive(self, s, fault, year):
        """A backfill of that year under a fault that kills; then without it, to the end."""
        s.environment["SLUICE_FAULT"] = fault
        try:
            s.start()
            self.fill(s, year, 1)
            s.process.wait(3)
        except (RuntimeError, OSError, ValueError, AssertionError, http.client.HTTPException, subprocess.TimeoutExpired):
            pass  # it was killed while it started or answered; or it passes the point less often than that
        s.kill()
        self.check_state()
        del s.environment["SLUICE_FAULT"]
        s.start()
        if not self.running(s) and not s.search(flowId="gcp_taxi_scheduled", startDate="2000-01-01T00:00:00Z", labels=f"year:{year}")["total"]:
            self.fill(s, year, 1)
        while self.running(s):
            time.sleep(0.02)
        s.kill()

    def test_killed_at_each_labelled_point(self):
        with LocalCloud(self, "--anonymous") as cloud, self.prepared() as s:
            s.kill()
            log = self.tmp / "labels"
            s.environment["SLUICE_FAULT_LOG"] = str(log)
            s.start()
            self.fill(s, 2000, 1)
            while self.running(s):
                time.sleep(0.02)
            s.kill()
            del s.environment["SLUICE_FAULT_LOG"]
            counts = collections.Counter(x for x in log.read_text().split() if not x.startswith("local."))
            self.assertIn("engine.after_write", counts)
            year = 2001
            for label, n in sorted(counts.items()):
                for at in sorted({1, n // 2 or 1}):
                    with self.subTest(label=label, at=at):
                        self.survive(s, f"{label}:{at}:kill", year)
                        year += 1
            s.start()
            self.check_end(s, cloud, [f"{y}-{m:02d}" for y in range(2000, year) for m in range(1, 13)])


if __name__ == "__main__":
    unittest.main()
