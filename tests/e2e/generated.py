"""Flows made by chance, the same for a number on every machine: lists in lists, failures that are allowed or not, errors, finally, runIf."""

import json

CORE = "io.kestra.plugin.core."


class Maker:
    """
    Left out is what does not come out the same each time, or that the engine does in ways of its own: lists beside a failure in Parallel,
    tasks of a Dag that do not wait for the one before, finally on an If or Switch that has nothing to do, lists of disabled tasks only
    (it hangs), taskrun.value below the first level of a loop (unset there).
    """

    def __init__(self, number):
        self.state, self.count = number * 2654435761 % 2**32 + 1, 0

    def chance(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return self.state / 2**32

    def pick(self, *of):
        return of[int(self.chance() * len(of))]

    def id(self):
        self.count += 1
        return f"t{self.count}"

    def leaf(self, in_loop):
        t, x = {"id": self.id()}, self.chance()
        value = "{{ taskrun.value }}" if in_loop else "{{ task.id }}"
        if x < 0.5:
            t |= {"type": CORE + "debug.Return", "format": self.pick("x", value, "{{ outputs | length > 0 }}", "{{ outputs.t1 is defined }}", "{{ tasks.t1.state ?? 'none' }}")}
        elif x < 0.8:
            t |= {"type": CORE + "execution.Fail"} | ({"condition": self.pick("{{ false }}", "{{ true }}", "{{ taskrun.value == 'b' }}" if in_loop else "{{ false }}")} if self.chance() < 0.6 else {})
        else:
            t |= {"type": CORE + "output.OutputValues", "values": {"a": value}}
        for share, more in ((0.15, {"allowFailure": True}), (0.1, {"allowWarning": True}), (0.12, {"runIf": self.pick("{{ true }}", "{{ false }}")})):
            if self.chance() < share:
                t |= more
        return t

    def tasks(self, depth, least=1, most=3, in_loop=False):
        return [self.task(depth, in_loop) for _ in range(least + int(self.chance() * (most - least + 1)))]

    def task(self, depth, in_loop):
        if depth <= 0 or self.chance() < 0.5:
            return self.leaf(in_loop)
        kind = self.pick("Sequential", "Sequential", "Parallel", "If", "Switch", "ForEach", "AllowFailure", "Dag")
        t = {"id": self.id(), "type": CORE + "flow." + kind}
        if kind == "If":
            t |= {"condition": self.pick("{{ true }}", "{{ false }}"), "then": self.tasks(depth - 1), "else": self.tasks(depth - 1)}
        elif kind == "Switch":
            t |= {"value": self.pick("a", "b", "z"), "cases": {"a": self.tasks(depth - 1, 1, 2), "b": self.tasks(depth - 1, 1, 2)}, "defaults": self.tasks(depth - 1, 1, 2)}
        elif kind == "ForEach":
            t |= {"values": self.pick(["a", "b"], ["a"], ["b", "c", "d"]), "tasks": self.tasks(depth - 1, in_loop=True)}
        elif kind == "Dag":
            ids = self.tasks(0, 2, 3)
            t["tasks"] = [{"task": one} | ({"dependsOn": [ids[i - 1]["id"]]} if i else {}) for i, one in enumerate(ids)]
        else:
            t["tasks"] = self.tasks(0 if kind == "Parallel" else depth - 1)
        if kind != "Switch" and self.chance() < 0.2:
            t["errors"] = self.tasks(0, 1, 2)
        if self.chance() < 0.15:
            t["finally"] = self.tasks(0, 1, 2)
        if self.chance() < 0.12:
            t[self.pick("allowFailure", "allowWarning")] = True
        return t

    def flow(self, id):
        f = {"id": id, "namespace": "t", "tasks": self.tasks(2, 1, 4)}
        if self.chance() < 0.35:
            f["errors"] = self.tasks(1, 1, 2)
        if self.chance() < 0.25:
            f["finally"] = self.tasks(0, 1, 2)
        return f


def flow(number):
    return json.dumps(Maker(number).flow(f"made{number}"))
