"""A worker that cannot start says what to change."""

import os
import socket
import subprocess
import sys


def test_worker_on_a_taken_port_names_the_setting_that_chooses_another() -> None:
    """A second worker of one machine needs a port of its own: exit code 1 and a sentence, no traceback."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "aggregator"],
            env={
                **os.environ,
                "MILLRACE_METRICS_PORT": str(taken),
                "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{taken}: " in done.stderr
    assert "MILLRACE_METRICS_PORT" in done.stderr
    assert "Traceback" not in done.stderr
