"""`sluice flow validate`: what is wrong in a flow is said before it runs, with its place; what only looks odd is taken."""

import json
import time
import unittest

from server import Server
from sluice import ROOT, Case

HEAD = "id: f\nnamespace: n\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, message: hi}\n"
FLOW = "triggers:\n  - {id: t, type: io.kestra.plugin.core.trigger.Flow, %s}\n"
UPSTREAM = "flows: [{namespace: n, flowId: g}]"


def after(text):
    """preconditions of a Flow trigger"""
    return FLOW % ("preconditions: {id: p, %s}" % text)


def condition(text):
    return FLOW % ("conditions: [{type: io.kestra.plugin.core.condition.%s}]" % text)


HINTS = """\
id: f
namespace: n
inputs: [{id: source, type: STRING, defaults: x}, {id: a.b, type: STRING, defaults: x}]
variables: {table: t, url: "https://x/{{ inputs.sorce }}"}
tasks:
  - {id: load-it, type: io.kestra.plugin.core.debug.Return, format: "{{ vars.tabel }} {{ vars.none ?? 'x' }} {{ inputs.a.b }} {{ inputs['source'] }} {{ inputs.gone | default('q') }}"}
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [1, 2]
    tasks:
      - {id: inner, type: io.kestra.plugin.core.debug.Return, format: "{{ taskrun.value }} {% set outputs = {} %}{{ outputs.own }}"}
  - {id: parts, type: io.kestra.plugin.core.flow.ForEachItem, items: "{{ outputs.each }}", namespace: n, flowId: g}
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: |
      {{ outputs['load-it'].value }} {{ outputs.parts_merge }}
      {{ outputs.load-it.value }} {{ outputs.iner['1'].value }} {{ outputs.inner['1'].value }}
      {% if outputs.later is defined %}{{ outputs['nowhere'].value }}{% endif %}
triggers: [{id: t, type: io.kestra.plugin.core.trigger.Flow, inputs: {source: "{{ outputs.elsewhere.value }}"}}]
"""
SAID = [
    (4, "there is no input 'sorce' in this flow; did you mean 'source'?"), (6, "there is no variable 'tabel' in this flow; did you mean 'table'?"),
    (17, "there is no task 'load' in this flow; a name with a dash is written outputs['load-it']"), (17, "there is no task 'iner' in this flow; did you mean 'inner'?"), (18, "there is no task 'nowhere' in this flow"),
]


class Hints(Case):
    """Names that nothing in the flow gives: the flow is taken, and it is said."""

    def test_hints(self):
        path = self.tmp / "f.yaml"
        path.write_text(HINTS)
        done = self.ok(self.sluice("flow", "validate", path))
        self.assertIn("f.yaml: valid", done.out)
        lines = done.err.splitlines()
        self.assertEqual([(int(line.removeprefix(f"{path}:").split(":")[0]), line.split(": hint: ")[1]) for line in lines], SAID)
        hints = json.loads(self.ok(self.sluice("flow", "validate", "--output", "json", path)).out)[0]["hints"]
        self.assertEqual([(h["line"], h["message"]) for h in hints], SAID)
        with Server(self) as s:
            answer = s.call("POST", "/flows/validate", HINTS, "application/x-yaml").json[0]
            self.assertNotIn("constraints", answer)
            self.assertEqual([(int(w.split(":")[0]), w.split(": ", 1)[1]) for w in answer["warnings"]], SAID)

    def test_none_without_a_reason(self):
        for path in sorted((ROOT / "examples" / "flows").glob("*.yaml")):
            self.assertNotIn("hint", self.ok(self.sluice("flow", "validate", path)).err)


class Validation(Case):
    def validate(self, text):
        path = self.tmp / "f.yaml"
        path.write_text(HEAD + text)
        return self.sluice("flow", "validate", path)

    def refused(self, text, *said):
        with self.subTest(text):
            done = self.validate(text)
            self.assertEqual(done.rc, 1, done)
            for words in said:
                self.assertEqual((done.out + done.err).count(words), 1, done)

    def taken(self, text):
        with self.subTest(text):
            self.ok(self.validate(text))

    def test_preconditions(self):
        self.refused(after("timeWindow: {type: DURATION_WINDOW, window: wide}, " + UPSTREAM), ":6:122: trigger 't': 'preconditions': 'timeWindow': 'window' must be a duration such as PT30S, not 'wide'")
        self.refused(after("timeWindow: {type: SLIDING, window: PT1H}, " + UPSTREAM), "'type' must be one of DURATION_WINDOW SLIDING_WINDOW")
        self.refused(after("timeWindow: {windows: PT1H}, " + UPSTREAM), "unknown property 'windows'; did you mean 'window'?")
        self.refused(after("timeWindow: {type: DAILY_TIME_DEADLINE, deadline: nine}, " + UPSTREAM), "'deadline' must be a time of the day such as 09:00:00, not 'nine'")
        self.refused(after("flows: [{namespace: n, flowId: g, states: [SUCESS]}]"), "there is no state 'SUCESS'")
        self.refused(after("where: [{id: w, filters: [{field: STATE, type: EQUALS, value: SUCCESS}]}]"), "'type' must be one of EQUAL_TO")
        self.refused(after("where: [{id: w, filters: [{field: STATUS, type: EQUAL_TO, value: SUCCESS}]}]"), "'field' must be one of FLOW_ID NAMESPACE STATE EXPRESSION")
        self.refused(after("where: [{id: w, filters: [{field: STATE, type: EQUAL_TO}]}]"), "a filter of type EQUAL_TO needs 'value'")
        self.refused(after("where: [{id: w, filters: [{field: STATE, type: IN, value: SUCCESS}]}]"), "a filter of type IN needs 'values'")
        self.refused(after("where: [{id: w, filters: [{field: STATE, type: REGEX, value: '(('}]}]"), "the regular expression '((' is wrong at character 3")
        self.taken(after("timeWindow: {type: sliding_window, window: PT1H}, " + UPSTREAM))
        self.taken(after("timeWindow: {type: DAILY_TIME_WINDOW, startTime: '06:00:00', endTime: '09:00'}, " + UPSTREAM))
        self.taken(after("where: [{id: w, operand: OR, filters: [{field: EXPRESSION, type: IS_TRUE, value: '{{ outputs.x }}'}, {field: STATE, type: IN, values: [SUCCESS]}]}]"))

    def test_conditions(self):
        for text, said in (
            ("DayWeek, dayOfWeek: MONDEY", "condition DayWeek: 'dayOfWeek' must be MONDAY to SUNDAY, not 'MONDEY'"),
            ("DayWeek", "condition DayWeek: the property 'dayOfWeek' is missing"),
            ("DayWeekInMonth, dayOfWeek: MONDAY, dayInMonth: FIFTH", "'dayInMonth' must be FIRST, SECOND, THIRD, FOURTH or LAST, not 'FIFTH'"),
            ("TimeBetween, after: late", "'after' is not a time such as 16:19:12+02:00: 'late'"),
            ("DateTimeBetween, before: late", "'before' is not a date: 'late'"),
            ("PublicHoliday, country: XX", "the public holidays of the country 'XX' are not known"),
            ("ExecutionStatus, in: [SUCESS]", "condition ExecutionStatus: there is no state 'SUCESS'"),
            ("ExecutionNamespace, namespace: n, comparison: LIKE", "'comparison' must be one of EQUALS PREFIX SUFFIX, not 'LIKE'"),
            ("Expression, expresion: '{{ true }}'", "unknown property 'expresion'; did you mean 'expression'?"),
            ("MultipleCondition, id: m, window: wide, conditions: {a: {type: io.kestra.plugin.core.condition.ExecutionFlow, namespace: n, flowId: g}}", "condition Multiple: 'window' must be a duration"),
            ("MultipleCondition, id: m, timeWindow: {type: DAILY_TIME_DEADLINE, deadline: nine}, conditions: {a: {type: io.kestra.plugin.core.condition.ExecutionFlow, namespace: n, flowId: g}}", "'deadline' must be a time of the day"),
            ("Not, conditions: [{type: io.kestra.plugin.core.condition.DayWeek, dayOfWeek: MONDEY}]", "condition DayWeek: 'dayOfWeek' must be"),
        ):
            self.refused(condition(text), said)
        self.taken(condition("DayWeek, dayOfWeek: '{{ vars.day }}'"))
        self.taken(condition("ExecutionStatusCondition, in: [success, WARNING], notIn: [KILLED]"))
        self.taken(condition("PublicHoliday, country: '{{ vars.country }}'"))
        self.taken(condition("PublicHoliday"))  # of the server's country
        self.taken(condition("ExecutionStatus, in: null, notIn: [FAILED]"))

    def test_states_of_triggers(self):
        self.refused(FLOW % "states: [SUCESS]", "trigger 't': there is no state 'SUCESS'")
        self.refused(FLOW % "stopAfter: [DONE]", "trigger 't': there is no state 'DONE'")
        self.taken(FLOW % "states: SUCCESS, stopAfter: FAILED")
        self.taken(FLOW % "states: null, stopAfter: null")

    def test_beside_an_expression(self):
        """A property that is wrong is found, though another one beside it is an expression."""
        self.refused("checks: [{condition: '{{ true }}', message: m, style: LOUD}]\n", "'style' must be one of ERROR SUCCESS WARNING INFO, not 'LOUD'")
        task = HEAD.replace("message: hi", "message: hi, %s")
        path = self.tmp / "g.yaml"
        path.write_text(task % "taskCache: {enabled: '{{ true }}', tttl: PT1S}")
        self.assertIn("'taskCache': unknown property 'tttl'; did you mean 'ttl'?", self.sluice("flow", "validate", path).err)
        path.write_text(task % "retry: {type: constant, interval: soon}")
        done = self.sluice("flow", "validate", path)
        self.assertEqual((done.out + done.err).count("'interval' must be a duration"), 1, done)

    def test_types_of_values(self):
        self.refused("inputs: [{id: i, type: int}]\n", "input 'i': 'type' is written in capitals: INT")
        self.refused("inputs: [{id: i, type: ARRAY, itemType: string}]\n", "'itemType' is written in capitals: STRING")
        self.refused("outputs: [{id: o, type: STRNG, value: x}]\n", ":5:25: outputs[0]: 'type' must be one of STRING")
        self.refused("outputs: [{id: o, type: string, value: x}]\n", "outputs[0]: 'type' is written in capitals: STRING")

    def test_inputs(self):
        for text, said in (
            ("type: INT, defaults: abc", "input 'i': 'defaults': Expected `INT` but received `abc`"),
            ("type: FLOAT, max: much", "'max': Expected `FLOAT` but received `much`"),
            ("type: DURATION, min: soon", "'min': Expected `DURATION` but received `soon`"),
            ("type: DATE, after: 2024-02-30", "'after': Expected `DATE` but received `2024-02-30`"),
            ("type: ARRAY, itemType: INT, defaults: [1, x]", "'defaults': Unable to parse array element as `INT` on `x`"),
            ("type: INT, min: 5, defaults: 3", "'defaults': it must be more than `5`"),
            ("type: STRING, dependsOn: {input: [j]}", "unknown property 'input'; did you mean 'inputs'?"),
        ):
            self.refused("inputs: [{id: i, %s}]\n" % text, said)
        for text in ("type: INT, defaults: '{{ 1 }}'", "type: INT, min: 1, max: 9, defaults: 3", "type: DATE, after: 2024-02-28, defaults: 2024-02-29", "type: DATETIME, defaults: 2024-02-29T12:00:00Z", "type: TIME, before: '12:00', defaults: '10:30:00'",
                     "type: JSON, defaults: {a: 1}", "type: JSON, defaults: '[1]'", "type: ARRAY, itemType: STRING, defaults: '[\"a\"]'", "type: DURATION, defaults: PT5M", "type: INT, required: false, defaults: null"):
            self.taken("inputs: [{id: i, %s}]\n" % text)

    def test_what_cannot_be(self):
        self.refused("outputs: [{id: o, type: STRING, value: a}, {id: o, type: STRING, value: b}]\n", "Duplicate output 'o'")
        path = self.tmp / "g.yaml"
        path.write_text(HEAD + "  - {id: again, type: io.kestra.plugin.core.flow.Subflow, namespace: n, flowId: f}\n")
        self.assertIn(":5:5: task 'again': Recursive call to flow [n.f]", self.sluice("flow", "validate", path).err)

    def test_runners(self):
        """What only containers have is no property of processes."""
        path = self.tmp / "g.yaml"
        task = HEAD + "  - {id: s, type: io.kestra.plugin.scripts.shell.Commands, commands: [ls], taskRunner: {type: %s, pullPolicy: NEVER}}\n"
        path.write_text(task % "io.kestra.plugin.core.runner.Process")
        self.assertIn("task 's': taskRunner Process: unknown property 'pullPolicy'", self.sluice("flow", "validate", path).err)
        path.write_text(task % "io.kestra.plugin.scripts.runner.docker.Docker")
        self.ok(self.sluice("flow", "validate", path))

    def test_one_state_instead_of_a_list(self):
        """Without brackets it is that state, not none and not all of them."""
        child = "id: %s\nnamespace: n\ntasks:\n  - {id: a, type: io.kestra.plugin.core.%s}\n"
        with Server(self) as s:
            s.flow(child % ("good", "log.Log, message: hi"))
            s.flow(child % ("bad", "execution.Fail"))
            s.flow((HEAD + FLOW % "states: FAILED").replace("id: f", "id: of_trigger"))
            s.flow((HEAD + condition("ExecutionStatus, in: FAILED")).replace("id: f", "id: of_condition"))
            s.flow((HEAD + after("flows: [{namespace: n, flowId: bad, states: FAILED}]")).replace("id: f", "id: of_preconditions"))
            s.run("n", "good")
            bad = s.run("n", "bad")["id"]
            for flow in ("of_trigger", "of_condition", "of_preconditions"):
                for _ in range(100):
                    found = s.search(flowId=flow)["results"]
                    time.sleep(0.02)
                    if found:
                        break
                self.assertEqual([x["trigger"]["variables"]["executionId"] for x in found], [bad], flow)


if __name__ == "__main__":
    unittest.main()
