"""
Calls that were recorded against a real Kestra 0.20.7, made against Sluice in the same order: the same status, the same keys, the same
types. The recordings lie beside a checkout (RECORDED_CALLS names their folder), never in it. What differs on purpose stands in
DIFFERENT, and in docs/SERVER.md.
"""

import json
import os
import pathlib
import re
import unittest

from server import Server, form
from sluice import ROOT, Case

FOLDER = pathlib.Path(os.environ.get("RECORDED_CALLS", ROOT.parent / "shared" / "reference" / "api-samples" / "v0.20.7"))

# File: why the status, or the body, is another one.
DIFFERENT = {
    "076": "no statistics, as in 1.x",
    "046": "text is kept whole", "050": "text is kept whole",
    "035": "the flow as it is, not cut down", "037": "all triggers are listed, not only schedules",
    "030": "405 there too, with other words",
}
# Keys that only one of the two has, anywhere; `resumed` is of 1.x.
OURS = {"flow", "namespace", "deprecationPaths", "warnings", "infos", "endDate", "attempts", "labels", "description", "variables", "source", "taskRunList", "problem", "isBasicAuthEnabled", "sluiceVersion", "updated", "author", "trigger", "outputs", "inputs", "backfill", "metadata", "errors", "flowables", "resumed"}
THEIRS = {"url", "User-Agent", "Accept", "Connection", "Accept-Encoding", "Content-Length", "Host", "logref", "path", "taskRunList", "disabled", "outputs", "inputs", "updated", "endDate", "date", "variables", "metadata", "required", "deleted", "errors", "logFile", "duration", "startDate", "revision", "relationType"}


class Call:
    def __init__(self, path):
        self.name = path.name[:3]
        text = path.read_bytes().decode("utf-8", "replace")
        head = [l for l in text.split("\n") if l.startswith("#")]
        self.method, self.target = head[0][2:].split(" ", 1)
        self.body = "\n".join(l[3:] if l.startswith("#> ") else "" for l in head if l.startswith("#>"))
        self.type = next((l.split(": ", 1)[1] for l in head if l.startswith("# request content-type")), None)
        said = next(l for l in head if l.startswith("# response"))
        self.status = int(said.split()[2])
        rest = "\n".join(l for l in text.split("\n") if not l.startswith("#")).strip()
        try:
            self.answer = json.loads(rest)
        except ValueError:
            self.answer = None


def differences(theirs, ours, where=""):
    if theirs is None or ours is None:
        return []
    if isinstance(theirs, bool) != isinstance(ours, bool) or (isinstance(theirs, (int, float)) != isinstance(ours, (int, float))) or (isinstance(theirs, (dict, list, str)) and type(theirs) is not type(ours)):
        return [f"{where}: {type(theirs).__name__} there, {type(ours).__name__} here"]
    if isinstance(theirs, dict):
        out = [f"{where}.{k} is only there" for k in theirs if k not in ours and k not in THEIRS] + [f"{where}.{k} is only here" for k in ours if k not in theirs and k not in OURS]
        return out + [d for k in theirs if k in ours and k not in ("message", "constraints", "href") for d in differences(theirs[k], ours[k], f"{where}.{k}")]
    if isinstance(theirs, list) and theirs and ours:
        return differences(theirs[0], ours[0], where + "[0]")
    return []


@unittest.skipUnless((FOLDER / "001-configs.json").exists(), "SKIPPED: the recorded calls are not here; RECORDED_CALLS names their folder")
class Recorded(Case):
    def test_every_call(self):
        calls = [Call(p) for p in sorted(FOLDER.glob("[0-9][0-9][0-9]-*.json"))]
        self.assertGreater(len(calls), 70)
        ids, same = {}, 0
        with Server(self) as s:
            for call in calls:
                target, body = call.target, call.body
                for theirs, ours in ids.items():
                    target, body = target.replace(theirs, ours), body.replace(theirs, ours)
                type = call.type
                if type == "multipart/form-data":
                    found = re.search(r"^--(\S+)", body)
                    type = f"multipart/form-data; boundary={found.group(1)}" if found else form({})[0]
                    body = body.replace("\r", "").replace("\n", "\r\n") + "\r\n" if found else form({})[1]
                a = s.call(call.method, target.replace(" ", "%20"), body or None, type)
                if call.method == "POST" and "/executions/" in target and a.status == 200 and call.answer:
                    ids[call.answer["id"]] = a.json["id"]
                    if "wait" not in target and "pause" not in target:
                        s.until(a.json["id"], "SUCCESS", "FAILED", "PAUSED", "WARNING")
                if call.name == "083":
                    s.until(a.json["id"], "PAUSED")
                if call.name in DIFFERENT:
                    continue
                with self.subTest(call=f"{call.name} {call.method} {call.target}"):
                    self.assertEqual(a.status, call.status, a)
                    if call.answer is not None and a.body:
                        self.assertEqual(differences(call.answer, a.json), [])
                    same += 1
        print(f"{same} of {len(calls)} calls answered alike, {len(DIFFERENT)} differ on purpose", flush=True)


if __name__ == "__main__":
    unittest.main()
