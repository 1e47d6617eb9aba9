"""Podman's service, which speaks the Docker Engine API, with images made here: nothing is pulled."""

import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

APPLETS = "sh cat echo sleep env id head wc mkdir ls touch sort seq tr rm test kill stat chmod"
CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
"""


class Podman:
    """`reason` says why there is none."""

    def __init__(self):
        self.reason, self.process = None, None
        missing = [p for p in ("podman", "runc", "busybox") if not shutil.which(p)]
        if missing:
            self.reason = f"not installed here: {', '.join(missing)}"
            return
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-podman-", dir="/tmp")
        root = pathlib.Path(self.folder.name)
        (root / "containers.conf").write_text(CONF)
        self.env = {**os.environ, "CONTAINERS_CONF": str(root / "containers.conf")}
        self.podman = ["podman", "--storage-driver", "vfs", "--root", str(root / "root"), "--runroot", str(root / "run"), "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        self.socket = root / "socket"
        self.log = (root / "log").open("w")
        self.process = subprocess.Popen([*self.podman, "system", "service", "-t", "0", f"unix://{self.socket}"], env=self.env, stdout=self.log, stderr=self.log)
        for _ in range(200):
            if self.socket.exists() or self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.load("busybox:test", self.busybox())
        done = self.run("run", "--rm", "busybox:test", "/bin/sh", "-c", "echo it works")
        if done.stdout.strip() != "it works":
            self.reason = f"podman cannot run containers here: {(done.stderr or done.stdout).strip()[-300:]}"
            self.close()

    def run(self, *args, **kw):
        return subprocess.run([*self.podman, *args], env=self.env, capture_output=True, text=True, timeout=120, **kw)

    @property
    def host(self):
        return f"unix://{self.socket}"

    def containers(self):
        return self.run("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.split("\n")[:-1]

    def load(self, name, data):
        subprocess.run([*self.podman, "import", "-", name], env=self.env, input=data, capture_output=True, timeout=300)

    def busybox(self):
        return self.tar({"bin/busybox": shutil.which("busybox")}, links={f"bin/{a}": "busybox" for a in APPLETS.split()})

    def python(self):
        """The machine's own Python with what it needs, beside busybox."""
        lib = pathlib.Path(os.__file__).parent
        program = os.path.realpath(f"/usr/bin/python3.{sys.version_info.minor}") if lib.is_relative_to("/usr/lib") else os.path.realpath(sys.executable)
        files = {"bin/busybox": shutil.which("busybox"), program.lstrip("/"): program}
        modules = [p for p in lib.rglob("*") if p.is_file() and not {"test", "tests", "__pycache__", "site-packages", "dist-packages", "idlelib", "tkinter", "ensurepip"} & set(p.parts)]
        files.update({str(p).lstrip("/"): str(p) for p in modules})
        for thing in [program, *(str(p) for p in modules if p.suffix == ".so")]:
            for line in subprocess.run(["ldd", thing], capture_output=True, text=True).stdout.splitlines():
                for word in line.split():
                    if word.startswith("/"):
                        files[word.lstrip("/")] = word
        links = {f"bin/{a}": "busybox" for a in APPLETS.split()}
        links["usr/bin/python3"] = program
        return self.tar(files, links)

    @staticmethod
    def tar(files, links):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as t:
            for folder in ("tmp", "etc"):
                info = tarfile.TarInfo(folder)
                info.type, info.mode = tarfile.DIRTYPE, 0o1777
                t.addfile(info)
            for name, path in sorted(files.items()):
                info = t.gettarinfo(os.path.realpath(path), name)
                info.uid = info.gid = 0
                with open(path, "rb") as f:
                    t.addfile(info, f)
            for name, target in sorted(links.items()):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, target
                t.addfile(info)
        return out.getvalue()

    def close(self):
        if self.process is None:
            return
        self.run("rm", "-af")
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.process = None
        self.folder.cleanup()
