#!/usr/bin/env python3
"""Runs a command on MPI ranks that each have a network namespace of their own, with a slow network between them.

    scripts/slow_network.py --ranks 4 --gigabits 1 --milliseconds 0.5 -- target/release/finescale upscale ...

Each namespace is a host for Open MPI, with one link to this process, which forwards frames: it keeps each for half a round trip's
delay, and lets through so many bits a second from each host. Root only, Linux only, with ip and ethtool; a frame holds up to 65 kB, so that few of them
need be forwarded. Seconds of the command go to stdout; --direct takes the same namespaces without delay and limit, --plain none.
"""
import argparse
import heapq
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MTU = 65000
ETH_P_ALL = 3
PACKET_OUTGOING = 4


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def namespace(host):
    return f"finescale{host}"


def make(hosts):
    """A namespace for each host, whose other end of the link is here."""
    for host in range(hosts):
        name = namespace(host)
        ip("netns", "add", name)
        ip("link", "add", f"fs{host}", "mtu", str(MTU), "type", "veth", "peer", "name", "eth0", "netns", name, "address", address(host))
        # What is said is forwarded here, and by nobody else.
        subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.fs{host}.disable_ipv6=1"], check=False)
        ip("link", "set", f"fs{host}", "up")
        for words in (["addr", "add", f"10.77.0.{host + 1}/24", "dev", "eth0"], ["link", "set", "eth0", "mtu", str(MTU), "up"], ["link", "set", "lo", "up"]):
            ip("-n", name, *words)
        # Checksums are not computed by cards that are not there.
        subprocess.run(["ip", "netns", "exec", name, "ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"],
                       check=True, stdout=subprocess.DEVNULL)


def address(host):
    return f"02:00:00:00:77:{host + 1:02x}"


def remove(hosts):
    for host in range(hosts):
        subprocess.run(["ip", "netns", "del", namespace(host)], stderr=subprocess.DEVNULL, check=False)


def forward(hosts, gigabits, milliseconds, until):
    """Forwards frames between hosts, until the process `until` has ended."""
    links = []
    for host in range(hosts):
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        link.bind((f"fs{host}", 0))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        link.setblocking(False)
        links.append(link)
    of_address = {bytes.fromhex(address(host).replace(":", "")): host for host in range(hosts)}
    seconds_per_byte = 0 if gigabits == 0 else 8e-9 / gigabits
    free_at = [0.0] * hosts
    queue, count = [], 0
    while until.poll() is None:
        now = time.monotonic()
        wait = max(0.0, queue[0][0] - now) if queue else 0.2
        # select rounds up to microseconds; epoll to milliseconds.
        ready, _, _ = select.select(links, [], [], min(wait, 0.2))
        now = time.monotonic()
        for link in ready:
            source = links.index(link)
            for _ in range(64):
                try:
                    frame, (_, _, kind, _, _) = link.recvfrom(MTU + 64)
                except BlockingIOError:
                    break
                if kind == PACKET_OUTGOING:
                    continue
                free_at[source] = max(free_at[source], now) + len(frame) * seconds_per_byte
                target = of_address.get(frame[:6])
                for host in range(hosts) if target is None else [target]:
                    if host != source:
                        count += 1
                        heapq.heappush(queue, (free_at[source] + milliseconds * 1e-3 / 2, count, host, frame))
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, host, frame = heapq.heappop(queue)
            try:
                links[host].send(frame)
            except OSError as error:
                print(f"a frame of {len(frame)} bytes is lost: {error}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--gigabits", type=float, default=1.0, help="a second, from each host; 0: no limit")
    parser.add_argument("--milliseconds", type=float, default=0.5, help="of a round trip, beside what forwarding takes")
    parser.add_argument("--direct", action="store_true", help="no limit and no delay")
    parser.add_argument("--plain", action="store_true", help="no namespaces: ranks share memory")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    os.environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    run = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(options.ranks)]
    if options.plain:
        begun = time.monotonic()
        subprocess.run([*run, *command], check=True)
        print(f"{time.monotonic() - begun:.2f} s")
        return
    gigabits, milliseconds = (0.0, 0.0) if options.direct else (options.gigabits, options.milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        # What Open MPI takes for ssh: the host's name is its address.
        agent = Path(folder, "agent")
        agent.write_text('#!/bin/sh\nhost=$1; shift\nexec ip netns exec finescale$((${host##*.} - 1)) sh -c "$*"\n')
        agent.chmod(0o755)
        hosts = ",".join(f"10.77.0.{host + 1}:1" for host in range(options.ranks))
        network = ["--mca", "plm_rsh_agent", agent, "--mca", "btl", "tcp,self", "--mca", "pml", "ob1", "--mca", "oob_tcp_if_include", "eth0",
                   "--mca", "btl_tcp_if_include", "eth0", "--host", hosts]
        if any(f"fs{host}" in os.listdir("/sys/class/net") for host in range(options.ranks)):
            sys.exit("the links fs0, fs1, ... are there: another run has them, or left them: ip netns del finescale0, ...")
        ranks = None
        try:
            make(options.ranks)
            begun = time.monotonic()
            ranks = subprocess.Popen(["ip", "netns", "exec", namespace(0), *run, *map(str, network), *command])
            forward(options.ranks, gigabits, milliseconds, ranks)
            print(f"{time.monotonic() - begun:.2f} s")
        finally:
            if ranks is not None and ranks.poll() is None:
                ranks.terminate()
                ranks.wait()
            remove(options.ranks)
    sys.exit(ranks.returncode)


if __name__ == "__main__":
    main()
