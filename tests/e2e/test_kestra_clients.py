"""Kestra's own clients from PyPI against our server: `kestra` runs a flow and reads its log; `kestrapy` does the rest of a day's work."""

import subprocess
import unittest

import peers
from server import PASSWORD, Server
from sluice import Case

PYTHON = peers.FOLDER / "kestra-clients" / "bin" / "python"

RUN = """
import os
from kestra import Flow
os.environ["KESTRA_HOSTNAME"] = BASE
for kind in ("token", "password"):
    flow = Flow(poll_interval=0.05, tenant="main" if kind == "token" else None)
    if kind == "token":
        flow.api_token = TOKEN
    else:
        flow.user, flow.password = "admin", PASSWORD
    done = flow.execute("t", "f", {"name": "Ann", "file": ("in.csv", b"a,b", "text/csv")})
    assert done.status == "SUCCESS", done
    assert "hello Ann a,b" in done.log, done
bad = Flow(poll_interval=0.05)
bad.user, bad.password = "admin", PASSWORD
try:
    done = bad.execute("t", "bad")
    assert done.status == "FAILED", done
except Exception as e:
    assert "FAILED" in str(e) or "fail" in str(e).lower(), e
"""

WORK = """
import kestrapy
from kestrapy import KestraClient
c = KestraClient(host=BASE, username="admin", password=PASSWORD)
T = "main"
text = "id: p\\nnamespace: t\\ninputs: [{id: n, type: INT}]\\ntasks:\\n  - {id: r, type: io.kestra.plugin.core.debug.Return, format: '{{ inputs.n }}'}\\n"
made = c.flows.create_flow(T, text)
assert made.id == "p" and made.source == text and made.revision == 1, made
changed = c.flows.update_flow(namespace="t", id="p", tenant=T, body=text.replace("inputs.n }}", "inputs.n * 2 }}"))
assert changed.revision == 2
assert c.flows.flow(namespace="t", id="p", tenant=T).id == "p"
found = c.flows.search_flows(T, size=10)
assert found.total >= 2, found
x = c.executions.create_execution(T, "t", "p", wait=True, inputs={"n": 21}, labels=["who:kestrapy"])
assert x.state.current.value == "SUCCESS", x
y = c.executions.execution(x.id, T)
assert y.task_run_list[0].task_id == "r" and y.inputs == {"n": 21}, y
assert c.executions.search_executions_by_flow_id(T, "t", "p")["total"] == 1
from kestrapy import QueryFilter
states = [e.state.current.value for e in c.executions.follow_execution(x.id, T)]
assert states[-1] == "SUCCESS", states
logs = c.logs.list_logs_from_execution(c.executions.create_execution(T, "t", "f", wait=True, inputs={"name": "Bo", "file": b"x"}).id, T)
assert logs[0].message == "hello Bo x", logs
z = c.executions.replay_execution(x.id, T)
assert z.id != x.id
assert c.executions.eval_task_run_expression(x.id, x.task_run_list[0].id, T, "{{ outputs.r.value }}").result == "42"
assert c.executions.eval_expression(x.id, T, "{{ inputs.n }}")["result"] == "21"
checked = c.executions.validate_new_execution_inputs("t", "p", T, inputs={"n": "many"})
assert checked["inputs"][0]["errors"] and not checked["checks"], checked
assert c.flows.task_from_flow("t", "p", "r", T).id == "r"
assert len(c.flows.generate_flow_graph("t", "p", T).nodes) >= 3
assert len(c.executions.execution_flow_graph(x.id, T).nodes) >= 3
assert c.flows.flow_dependencies("t", "p", T).nodes[0].id == "p"
assert c.flows.validate_flows(T, text)[0].constraints is None
slow = c.executions.create_execution(T, "t", "slow")
killed = c.executions.kill_execution(slow.id, T)
assert killed.id == slow.id
c.kv.set_key_value("t", "k", T, "plain text")
assert c.kv.key_value("t", "k", T).value == "plain text"
assert c.kv.delete_key_value("t", "k", T) is True
c.files.create_namespace_file("t", "/dir/a.txt", T, b"content")
assert c.files.file_content("t", "/dir/a.txt", T) == b"content"
c.files.delete_file_directory("t", "/dir/a.txt", T) if hasattr(c.files, "delete_file_directory") else None
c.flows.delete_flow(namespace="t", id="p", tenant=T)
"""


@unittest.skipUnless(PYTHON.exists(), peers.missing(PYTHON.parent.parent))
class Clients(Case):
    def script(self, s, text):
        token = s.call("POST", "/me/api-tokens", {"name": "t", "role": "operator"}).json["fullToken"]
        path = self.tmp / "script.py"
        path.write_text(f"BASE, PASSWORD, TOKEN = 'http://127.0.0.1:{s.port}', {PASSWORD!r}, {token!r}\n" + text)
        done = subprocess.run([PYTHON, path], capture_output=True, text=True, timeout=100, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-6000:])

    def flows(self, s):
        s.flow("id: f\nnamespace: t\ninputs: [{id: name, type: STRING}, {id: file, type: FILE}]\ntasks:\n  - {id: l, type: io.kestra.plugin.core.log.Log, message: 'hello {{ inputs.name }} {{ read(inputs.file) }}'}\n")
        s.flow("id: bad\nnamespace: t\ntasks:\n  - {id: l, type: io.kestra.plugin.core.execution.Fail}\n")
        s.flow("id: slow\nnamespace: t\ntasks:\n  - {id: l, type: io.kestra.plugin.core.flow.Sleep, duration: PT60S}\n")

    def test_kestra(self):
        with Server(self) as s:
            self.flows(s)
            self.script(s, RUN)

    def test_kestrapy(self):
        with Server(self) as s:
            self.flows(s)
            self.script(s, WORK)


if __name__ == "__main__":
    unittest.main()
