"""A Slurm cluster on the loopback address: one controller, several node daemons, no root files.

Everything lives in one directory and ends with it. Also a program, to try things by hand:
`python -m suites.selftest.nightly.slurmcluster DIR COMMAND…` runs a command with the cluster up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["PROGRAMS", "Cluster", "cluster", "missing_programs"]

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "sinfo", "scontrol", "squeue")
_CONF = """
ClusterName=errpath
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={root}/munge/socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


def missing_programs() -> tuple[str, ...]:
    """What is not installed (Debian packages slurmctld, slurmd, slurm-client, munge)."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return tuple(name for name in PROGRAMS if shutil.which(name, path=path) is None)


class Cluster:
    """A running cluster."""

    def __init__(self, root: Path, nodes: int) -> None:
        self.root = root
        self.nodes = tuple(f"errpath{number}" for number in range(1, nodes + 1))
        self.env = {
            **os.environ,
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("munge", "state", *(f"spool-{node}" for node in self.nodes)):
            (self.root / name).mkdir(parents=True, mode=0o700)
        ports = _free_ports(len(self.nodes) + 1)
        lines = [
            f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
            "CPUs=1 State=UNKNOWN"
            for node, port in zip(self.nodes, ports[1:], strict=True)
        ]
        (self.root / "slurm.conf").write_text(
            _CONF.format(
                host=socket.gethostname(),
                port=ports[0],
                user=os.environ.get("USER", "root"),
                root=self.root,
                nodes="\n".join(lines),
            )
        )
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = self.root / "munge" / "key"
        self.call("mungekey", "--create", f"--keyfile={key}")
        munged = ["munged", "--foreground", "--force", f"--key-file={key}"]
        munged += [f"--socket={self.root}/munge/socket", f"--pid-file={self.root}/munge/pid"]
        munged += [f"--log-file={self.root}/munge/log", f"--seed-file={self.root}/munge/seed"]
        self._daemon("munged", munged)
        self.wait_for(lambda: (self.root / "munge" / "socket").exists(), "munged")
        self._daemon("slurmctld", ["slurmctld", "-D", "-i"])
        for node in self.nodes:
            self._daemon(node, ["slurmd", "-D", "-N", node])
        self.wait_for(lambda: self.states().count("idle") == len(self.nodes), "idle nodes")

    def states(self) -> list[str]:
        """The nodes' states, by node."""
        text = self.call("sinfo", "-N", "-h", "-o", "%T", check=False)
        return text.split()

    def call(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            argv, env=self.env, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stderr.strip()}")
        return done.stdout

    def kill_node(self, node: str) -> None:
        """As if its power had gone: the daemon, its step managers, whatever its job runs."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        tasks, managers = set(), set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                environment = (entry / "environ").read_bytes().split(b"\0")
                ours = f"SLURM_CONF={self.root}/slurm.conf".encode() in environment
                if ours and f"SLURMD_NODENAME={node}".encode() in environment:
                    tasks.add(int(entry.name))
                    parent = _parent(entry)
                    if (Path("/proc") / str(parent) / "comm").read_text() == "slurmstepd\n":
                        managers.add(parent)
        # The managers first: they would still tell the controller how their job ended.
        for pid in (*managers, *tasks):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_node(self, node: str) -> None:
        self._daemon(node, ["slurmd", "-D", "-N", node])

    def wait_for_jobs(self, seconds: float) -> None:
        """Until the queue is empty."""
        self.wait_for(lambda: not self.call("squeue", "-h").strip(), "an empty queue", seconds)

    def stop(self) -> None:
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def _daemon(self, name: str, argv: Sequence[str]) -> None:
        with (self.root / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                argv, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 180.0) -> None:
        """Slurm tells nobody when something is so: it has to be asked."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    path.read_text(errors="replace")[-1500:] for path in self.root.glob("*.out")
                )
                raise RuntimeError(f"timed out waiting for {what}\n{logs}")
            time.sleep(0.2)


def _parent(process: Path) -> int:
    """Parent of a process: the second field behind the name, which may hold anything."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def cluster(root: Path, nodes: int = 3) -> Iterator[Cluster]:
    """A cluster for the time of a block."""
    made = Cluster(root, nodes)
    try:
        made.start()
        yield made
    finally:
        made.stop()


if __name__ == "__main__":
    with cluster(Path(sys.argv[1]).absolute()) as up:
        sys.exit(subprocess.run(sys.argv[2:], env=up.env, check=False).returncode)
