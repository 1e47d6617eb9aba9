"""Public holidays: every day of every country and subdivision against PyPI's holidays; the condition of a schedule."""

import pathlib
import subprocess
import time
import unittest

import peers
from server import Server
from sluice import PROGRAM, Case

PYTHON = peers.FOLDER / "holidays" / "bin" / "python"
LIST = pathlib.Path(PROGRAM).parent / "tests" / "holidays"

COMPARE = r"""
import sys, warnings
import holidays
warnings.simplefilter("ignore")
years, same, unknown = range(2000, 2051), 0, 0
for line in sys.stdin:
    country, part, days = line.rstrip("\n").split("\t")
    days = days.split()
    if days == ["unknown"]:
        unknown += 1
        continue
    theirs = {str(d) for d in holidays.country_holidays(country, subdiv=part or None, years=years) if d.year in years}
    if theirs != set(days):
        print(country, part, "only theirs:", sorted(theirs - set(days))[:9], "only ours:", sorted(set(days) - theirs)[:9])
    same += 1
print(same, unknown)
"""


@unittest.skipUnless(PYTHON.exists(), peers.missing(PYTHON.parent.parent))
class Peer(Case):
    def test_every_day(self):
        ours = subprocess.run([LIST], capture_output=True, text=True, check=True)
        done = subprocess.run([PYTHON, "-c", COMPARE], input=ours.stdout, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        *wrong, last = done.stdout.splitlines()
        self.assertEqual(wrong, [])
        same, unknown = map(int, last.split())
        print(f"{same} countries and subdivisions agree on every day from 2000 to 2050, {unknown} are not computed", flush=True)
        self.assertGreater(same, 600)


class Condition(Case):
    FLOW = """
id: h
namespace: t
tasks: [{id: l, type: io.kestra.plugin.core.log.Log, message: x}]
triggers:
  - id: s
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "0 8 * * *"
    conditions:
      - type: io.kestra.plugin.core.condition.%s
"""

    def test_a_schedule(self):
        """Over the API: a backfill of two weeks runs on holidays, or on all other days."""
        holiday = "PublicHoliday\n        country: %s\n        subDivision: %s\n        date: \"{{ trigger.date }}\""
        with Server(self) as s:
            for number, (country, part, wanted) in enumerate((("DE", "BY", ["2024-12-25", "2024-12-26", "2025-01-01", "2025-01-06"]), ("de", "hh", ["2024-12-25", "2024-12-26", "2025-01-01"]), ("US", '""', ["2024-12-25", "2025-01-01"]))):
                s.flow((self.FLOW % (holiday % (country, part))).replace("id: h", f"id: h{number}"))
                ticks = self.backfill(s, f"h{number}")
                self.assertEqual(ticks, wanted)
            s.flow((self.FLOW % "Not\n        conditions: [{type: io.kestra.plugin.core.condition.PublicHoliday, country: DE}]").replace("id: h", "id: not"))
            self.assertEqual(len(self.backfill(s, "not")), 14 - 3)
            for country, said in (("\"{{ 'XX' }}\"", "the public holidays of the country 'XX' are not known"), ("\"{{ 'AE' }}\"", "follow calendars that are not computed"), ('"{{ nothing }}"', "Unable to find")):
                s.flow((self.FLOW % ("PublicHoliday\n        country: " + country)).replace("id: h", "id: bad"))
                self.backfill(s, "bad", "2024-12-25", wait="FAILED")
                bad = s.search(flowId="bad", state="FAILED")["results"]
                self.assertIn(said, s.get(f"/logs/{bad[0]['id']}/download").body.decode())
                for x in bad:
                    s.call("DELETE", f"/executions/{x['id']}")

    def backfill(self, s, flow, end="2025-01-06", wait="SUCCESS"):
        trigger = {"namespace": "t", "flowId": flow, "triggerId": "s"}
        a = s.call("PUT", "/triggers", dict(trigger, backfill={"start": "2024-12-24T00:00:00Z", "end": end + "T23:00:00Z"}))
        self.assertEqual(a.status, 200, a)
        until = time.monotonic() + 30
        while "backfill" in s.get(f"/triggers/t/{flow}").json["results"][0] or not s.search(flowId=flow, state=wait)["total"]:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        time.sleep(0.2)
        return sorted(x["trigger"]["variables"]["date"][:10] for x in s.search(flowId=flow)["results"])

    def test_properties(self):
        done = self.sluice("flow", "validate", self.write("PublicHoliday\n        nope: 1"))
        self.assertRegex(done.out + done.err, "condition PublicHoliday: unknown property")

    def write(self, condition):
        path = self.tmp / "f.yaml"
        path.write_text(self.FLOW % condition)
        return path


if __name__ == "__main__":
    unittest.main()
