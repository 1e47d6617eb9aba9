"""
Between the server and the local cloud stands a proxy that delays answers, cuts them, resets connections before and after the cloud
has done its work, and loses replies after the commit. Nothing may be done twice, nothing may hang, nothing may fail for good.
"""

import collections
import random
import re
import socket
import struct
import threading
import time
import unittest

from server import Server
from sluice import EXAMPLES, Case, LocalCloud
from test_storm import Storm

FAULTS = ("refuse", "cut_request", "lose_reply", "cut_reply", "reset", "slow")
MONTHS = 24


class Proxy:
    """One request and its answer a connection: what it does to each is drawn with a seed."""

    def __init__(self, target, seed, share):
        self.target, self.random, self.share = int(target.rsplit(":", 1)[1]), random.Random(seed), share
        self.done, self.deck, self.lately = collections.Counter(), [], collections.defaultdict(list)
        self.lock = threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def choose(self, what):
        """
        Each fault in turn, in an order of chance, so that none is left out; but a call is tried five times within some seconds, so not
        more than three times in ten of these, whoever calls.
        """
        with self.lock:
            fault, now = None, time.monotonic()
            self.lately[what] = [t for t in self.lately[what] if t > now - 10]
            if self.random.random() < self.share and len(self.lately[what]) < 3:
                self.deck = self.deck or self.random.sample(FAULTS, len(FAULTS))
                fault = self.deck.pop()
            if fault not in (None, "slow"):
                self.lately[what].append(now)
            self.done[fault] += 1
            return fault

    @staticmethod
    def message(sock):
        """Head and body of one HTTP message (Content-Length only)."""
        data = b""
        while b"\r\n\r\n" not in data:
            got = sock.recv(65536)
            if not got:
                return data
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        if re.search(rb"^expect: 100-continue", head, re.I | re.M):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        found = re.search(rb"^content-length: (\d+)", head, re.I | re.M)
        wanted = int(found.group(1)) if found else 0
        parts, have = [body], len(body)
        while have < wanted:
            got = sock.recv(1 << 20)
            if not got:
                break
            parts.append(got)
            have += len(got)
        return head + b"\r\n\r\n" + b"".join(parts)

    def serve(self, client):
        try:
            with client:
                fault = self.choose(client.recv(4096, socket.MSG_PEEK).split(b"?")[0].split(b"\r")[0])
                if fault == "refuse":
                    return
                request = self.message(client)
                if fault == "cut_request" or not request:
                    return
                request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                request = re.sub(rb"\r\nexpect: 100-continue", b"", request, count=1, flags=re.I)
                with socket.create_connection(("127.0.0.1", self.target)) as cloud:
                    cloud.sendall(request)
                    reply = b""
                    while got := cloud.recv(1 << 20):
                        reply += got
                if fault == "lose_reply":
                    return
                if fault == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.sendall(reply[: len(reply) // 2])
                    return
                if fault == "cut_reply":
                    client.sendall(reply[: max(1, len(reply) - 7)])
                    return
                if fault == "slow":
                    time.sleep(0.4)
                client.sendall(reply)
        except OSError:
            pass

    def close(self):
        self.server.close()


class FaultyNetwork(Case):
    def test_every_call_goes_wrong_now_and_then(self):
        seed = random.randrange(1 << 30)
        print(f"seed {seed}", flush=True)
        self.data.mkdir(mode=0o700)
        with LocalCloud(self, "--anonymous") as cloud:
            proxy = Proxy(cloud.url, seed, 0.25)
            self.addCleanup(proxy.close)
            key = self.data / "local" / "service-account.json"
            self.ok(self.sluice("secret", "set", "-n", "examples", "GCP_CREDS", f"@{key}"))
            env = {"STORAGE_EMULATOR_HOST": proxy.url, "BIGQUERY_EMULATOR_HOST": proxy.url, "ENV_SAMPLE_DATA": proxy.url + "/sample-data/trips"}
            with Server(self, env=env) as s:
                for name in ("gcp_kv", "gcp_setup", "gcp_taxi_scheduled"):
                    s.flow((EXAMPLES / f"{name}.yaml").read_text())
                for name in ("gcp_kv", "gcp_setup"):
                    x = s.run("examples", name)
                    self.assertEqual(x["state"]["current"], "SUCCESS", s.get(f"/logs/{x['id']}/download").body.decode()[-2000:])
                storm = Storm.fill
                storm(self, s, 2019, 2)
                end = time.monotonic() + 240
                while "backfill" in next(t for t in s.get("/triggers/examples/gcp_taxi_scheduled").json["results"] if t["triggerId"] == "green"):
                    self.assertLess(time.monotonic(), end, "it hangs")
                    time.sleep(0.1)
                rows = s.search(flowId="gcp_taxi_scheduled")["results"]
                bad = [s.get(f"/logs/{x['id']}/download?minLevel=INFO").body.decode()[-2000:] for x in rows if x["state"]["current"] != "SUCCESS"]
                self.assertEqual((len(rows), bad), (MONTHS, []))
            print(dict(proxy.done), flush=True)
            for fault in FAULTS:
                self.assertGreater(proxy.done[fault], 0)
            merges = Storm.merges(self, cloud)
            months = [f"{y}-{m:02d}" for y in (2019, 2020) for m in range(1, 13)]
            self.assertEqual({m: merges[m] for m in set(months) | set(merges) if merges[m] != 1}, {})
            counts = self.sql("SELECT month, count(*), count(DISTINCT trip_id) FROM trips.green_trips GROUP BY month")["rows"]
            self.assertEqual({r["f"][0]["v"]: (r["f"][1]["v"], r["f"][2]["v"]) for r in counts}, {m: ("100", "100") for m in months})


if __name__ == "__main__":
    unittest.main()
