"""Conditions of schedules against days that Python's calendar knows, and conditions on the execution that ended."""

import calendar
import datetime
import json
import unittest
import zoneinfo

from server import Server
from sluice import Case

CORE = "io.kestra.plugin.core."
C = CORE + "condition."
UTC = datetime.timezone.utc
DAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
START, END = datetime.datetime(2024, 1, 1, tzinfo=UTC), datetime.datetime(2024, 4, 30, 23, tzinfo=UTC)


def flow(id, conditions, more, name="conditions"):
    return (f"id: {id}\nnamespace: t\ntasks:\n  - {{id: r, type: {CORE}debug.Return, format: \"{{{{ trigger.previous ?? '' }}}}|{{{{ trigger.date }}}}|{{{{ trigger.next ?? '' }}}}|{{{{ schedule.next ?? '' }}}}\"}}\n"
            f"triggers:\n  - id: s\n    type: {CORE}trigger.Schedule\n    cron: '0 */6 * * *'\n    {more}\n    {name}: {json.dumps(conditions)}\n")


def last_of(day, weekday):
    return day.weekday() == weekday and day.day + 7 > calendar.monthrange(day.year, day.month)[1]


def nth_of(day, weekday, n):
    return day.weekday() == weekday and (day.day - 1) // 7 == n


# conditions, and what they say of a moment in the trigger's zone
CASES = {
    "none": ([], lambda t: True),
    "between": ([{"type": C + "DateTimeBetween", "date": "{{ trigger.date }}", "after": "2024-01-05T06:00:00Z", "before": "2024-01-08T18:00:00+01:00"}],
                lambda t: datetime.datetime(2024, 1, 5, 6, tzinfo=UTC) < t < datetime.datetime(2024, 1, 8, 17, tzinfo=UTC)),
    "after": ([{"type": C + "DateTimeBetween", "after": "2024-04-20T00:00:00+01:00"}], lambda t: t > datetime.datetime(2024, 4, 19, 23, tzinfo=UTC)),
    "day": ([{"type": C + "DayWeek", "dayOfWeek": "MONDAY"}], lambda t: t.weekday() == 0),
    "dated": ([{"type": C + "DayWeek", "date": "{{ trigger.date | dateAdd(1, 'DAYS') }}", "dayOfWeek": "thursday"}], lambda t: t.weekday() == 2),
    "first": ([{"type": C + "DayWeekInMonth", "dayOfWeek": "MONDAY", "dayInMonth": "FIRST"}], lambda t: nth_of(t, 0, 0)),
    "third": ([{"type": C + "DayWeekInMonth", "dayOfWeek": "SUNDAY", "dayInMonth": "THIRD"}], lambda t: nth_of(t, 6, 2)),
    "last": ([{"type": C + "DayWeekInMonth", "dayOfWeek": "WEDNESDAY", "dayInMonth": "LAST"}], lambda t: last_of(t, 2)),
    "weekend": ([{"type": C + "Weekend"}], lambda t: t.weekday() > 4),
    "week": ([{"type": C + "Not", "conditions": [{"type": C + "Weekend"}]}], lambda t: t.weekday() < 5),
    "or": ([{"type": C + "Or", "conditions": [{"type": C + "DayWeek", "dayOfWeek": "SUNDAY"}, {"type": C + "DayWeekInMonth", "dayOfWeek": "TUESDAY", "dayInMonth": "SECOND"}]}], lambda t: t.weekday() == 6 or nth_of(t, 1, 1)),
    "and": ([{"type": C + "Weekend"}, {"type": C + "TimeBetween", "after": "11:59:00Z"}], lambda t: t.weekday() > 4 and t.astimezone(UTC).hour > 11),
    "time": ([{"type": C + "TimeBetween", "after": "05:00:00+02:00", "before": "13:00:00+02:00"}], lambda t: 5 < t.astimezone(datetime.timezone(datetime.timedelta(hours=2))).hour < 13),
    "holiday": ([{"type": C + "PublicHoliday", "country": "FR"}], lambda t: t.date().isoformat() in ("2023-12-25", "2024-01-01", "2024-04-01", "2024-05-01")),
    "expression": ([{"type": C + "Expression", "expression": "{{ (trigger.date | date('dd')) == '03' }}"}], lambda t: t.day == 3),
}


def expected(says, zone):
    """The moments in the range, and for each the neighbours of its kind, which may lie outside."""
    tz, kept = zoneinfo.ZoneInfo(zone), []
    at = datetime.datetime(2021, 1, 1, tzinfo=UTC)
    while at < datetime.datetime(2027, 1, 1, tzinfo=UTC):
        local = at.astimezone(tz)
        if local.hour % 6 == 0 and local.minute == 0 and says(local):
            kept.append(local)
        at += datetime.timedelta(minutes=30 if zone == "Asia/Kolkata" else 60)
    return [(kept[i - 1] if i else None, t, kept[i + 1] if i + 1 < len(kept) else None) for i, t in enumerate(kept) if START <= t <= END]


def shown(t):
    return t.strftime("%Y-%m-%dT%H:%M:%S.000") + (t.strftime("%z")[:3] + ":" + t.strftime("%z")[3:] if t.utcoffset() else "Z") if t else ""


class Schedules(Case):
    maxDiff = 4000

    def check(self, s, id, conditions, says, zone="UTC", **kw):
        s.flow(flow(id, conditions, "timezone: " + zone, **kw))
        backfill = ["t", id, "s", "--start", START.isoformat(), "--end", END.isoformat()]
        wanted = expected(says, zone)
        plan = json.loads(self.ok(self.sluice("trigger", "backfill", *backfill, "--dry-run", "--output", "json")).out)
        self.assertEqual([d["date"] for d in plan if d["runs"]], [shown(t) for _, t, _ in wanted])
        self.assertTrue(all(d["conditions"] == d["runs"] for d in plan))
        self.ok(self.sluice("trigger", "backfill", *backfill, "--parallel", "50", "--wait", "-q"))
        page = s.search(flowId=id)
        values = sorted(x["taskRunList"][0]["outputs"]["value"] for x in map(lambda r: s.execution(r["id"]), page["results"]))
        self.assertEqual(values, sorted("|".join(map(shown, (*w, w[2]))) for w in wanted))

    def test_utc(self):
        with Server(self) as s:
            for id, (conditions, says) in CASES.items():
                if id in ("none", "week"):
                    continue  # many; in another zone below
                with self.subTest(id):
                    self.check(s, id, conditions, says)

    def test_zones(self):
        with Server(self) as s:
            for id, zone in (("day", "America/New_York"), ("time", "Asia/Tokyo"), ("first", "Pacific/Auckland"), ("weekend", "America/Los_Angeles"), ("or", "Asia/Kolkata"), ("and", "Europe/Paris")):
                with self.subTest(id, zone=zone):
                    self.check(s, id, *CASES[id], zone=zone)
            self.check(s, "older-name", *CASES["last"], name="scheduleConditions")

    def test_what_is_told(self):
        with Server(self) as s:
            s.flow(flow("never", [{"type": C + "Expression", "expression": "false"}], "timezone: UTC"))
            self.assertIn("its conditions hold for none of the next", self.ok(self.sluice("trigger", "why", "t", "never", "s")).out)
            s.flow(flow("broken", [{"type": C + "DayWeek", "date": "{{ nothing }}", "dayOfWeek": "MONDAY"}], "timezone: UTC"))
            self.assertIn("whether its conditions hold then cannot be said", self.ok(self.sluice("trigger", "why", "t", "broken", "s")).out)
            done = self.sluice("trigger", "backfill", "t", "broken", "s", "--start", "2024-01-01", "--end", "2024-01-02", "--dry-run")
            self.assertIn("a condition of the trigger 's', for the date 2024-01-01T00:00:00.000Z", done.err)
            s.flow(flow("kv", [{"type": C + "Expression", "expression": "{{ kv('OPEN') == 'yes' }}"}], "timezone: UTC"))
            s.call("PUT", "/namespaces/t/kv/OPEN", '"yes"', "text/plain")
            self.assertRegex(self.ok(self.sluice("trigger", "why", "t", "kv", "s")).out, r"^It fires next on 20\S+ \(20\S+\)\.$")
            today = datetime.datetime.now(UTC)
            other = DAYS[(today.weekday() + 3) % 7]
            s.flow(flow("later", [{"type": C + "DayWeek", "dayOfWeek": other}], "timezone: UTC"))
            told = self.ok(self.sluice("trigger", "why", "t", "later", "s")).out
            self.assertIn(", the first date for which its conditions hold.", told)
            self.assertEqual(datetime.date.fromisoformat(told.split()[4][:10]).weekday(), DAYS.index(other))
            path = self.tmp / "f.yaml"
            path.write_text(flow("next", CASES["last"][0], "timezone: UTC"))
            dates = json.loads(self.ok(self.sluice("trigger", "next", path, "--from", "2024-01-01T00:00:00Z", "--count", "8", "--output", "json")).out)[0]["dates"]
            self.assertEqual([d["date"] for d in dates], [f"2024-{d}T{h:02d}:00:00.000Z" for d in ("01-31", "02-28") for h in (0, 6, 12, 18)])
            path.write_text(flow("next", [{"type": C + "Expression", "expression": "{{ kv('OPEN') == 'yes' }}"}], "timezone: UTC"))
            self.assertIn("the conditions of 's' cannot be looked at without a server", self.sluice("trigger", "next", path).err)


class Ended(Case):
    """Conditions of Flow triggers, on the execution that has ended."""

    def listener(self, id, condition):
        return (f"id: {id}\nnamespace: t\ntasks: [{{id: l, type: {CORE}log.Log, message: x}}]\ntriggers:\n  - id: f\n    type: {CORE}trigger.Flow\n"
                f"    conditions: {json.dumps([{'type': C + 'ExecutionFlow', 'namespace': 't', 'flowId': 'up'}, condition])}\n")

    def test_labels_and_outputs(self):
        cases = {  # condition -> does it fire
            "both": ({"type": C + "ExecutionLabels", "labels": {"team": "x", "n": "1"}}, True),
            "list": ({"type": C + "ExecutionLabels", "labels": [{"key": "team", "value": "x"}]}, True),
            "other": ({"type": C + "ExecutionLabels", "labels": {"team": "y"}}, False),
            "more": ({"type": C + "ExecutionLabels", "labels": {"team": "x", "none": "1"}}, False),
            "output": ({"type": C + "ExecutionOutputs", "expression": "{{ trigger.outputs.count > 3 }}"}, True),
            "less": ({"type": C + "ExecutionOutputs", "expression": "{{ trigger.outputs.count < 3 }}"}, False),
            "any": ({"type": C + "Or", "conditions": [{"type": C + "ExecutionLabels", "labels": {"team": "y"}}, {"type": C + "ExecutionStatus", "in": ["SUCCESS"]}]}, True),
            "neither": ({"type": C + "Or", "conditions": [{"type": C + "ExecutionLabels", "labels": {"team": "y"}}, {"type": C + "ExecutionStatus", "in": ["FAILED"]}]}, False),
            "suffix": ({"type": C + "ExecutionNamespace", "namespace": "t", "comparison": "SUFFIX"}, True),
            "prefix": ({"type": C + "ExecutionNamespace", "namespace": "tt", "comparison": "PREFIX"}, False),
            "monday": ({"type": C + "DayWeek", "date": "2024-01-01", "dayOfWeek": "MONDAY"}, True),
            "tuesday": ({"type": C + "DayWeek", "date": "2024-01-01", "dayOfWeek": "TUESDAY"}, False),
        }
        with Server(self) as s:
            s.flow("id: up\nnamespace: t\nlabels: {team: x, n: '1'}\ntasks: [{id: l, type: " + CORE + "log.Log, message: x}]\noutputs: [{id: count, type: INT, value: 5}]\n")
            for id, (condition, _) in cases.items():
                s.flow(self.listener(id, condition))
            s.run("t", "up")
            s.flow(self.listener("last", {"type": C + "ExecutionStatus", "in": ["SUCCESS"]}))
            x = s.run("t", "up")
            for r in [r for r in s.search(namespace="t")["results"]]:
                s.until(r["id"], "SUCCESS")
            fired = {r["flowId"] for r in s.search(namespace="t")["results"]} - {"up"}
            self.assertEqual(fired, {id for id, (_, fires) in cases.items() if fires} | {"last"})
            self.assertEqual(s.search(flowId="both")["total"], 2)


if __name__ == "__main__":
    unittest.main()
