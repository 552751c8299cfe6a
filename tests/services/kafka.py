"""A real Apache Kafka broker for tests: KRaft, one node, combined broker and controller, on the loopback address.

A test of faults:

    with ApacheKafka(jars, java) as broker:
        publish(broker.bootstrap_servers)
        broker.kill()       # SIGKILL: what the broker had not written is gone
        broker.restart()    # same port, same data
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.entered import EnteredService
from tests.services.errors import ServiceUnavailable
from tests.services.kafka_jars import KafkaJars
from tests.services.ports import LOOPBACK, free_ports, wait_until_listening
from tests.services.process import ServiceProcess, tail

START_SECONDS_MAX = 60
FORMAT_SECONDS_MAX = 60
LOG4J_CONFIGURATION = Path(__file__).resolve().parent / "kafka" / "log4j2.properties"


class ApacheKafka(EnteredService):
    """One broker with its own data directory, which lives as long as the object is entered.

    `advertised_port` is the port that clients are told to use; set it to a proxy's port before `start` to put
    faults between the broker and its clients.
    """

    def __init__(
        self,
        jars: KafkaJars,
        java: str,
        *,
        heap: str = "512m",
    ) -> None:
        self.port, self.controller_port = free_ports(2)
        self.advertised_port = self.port
        self.heap = heap
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-kafka-"))
        self._jars = jars
        self._java = java
        self._process: ServiceProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.advertised_port}"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def process(self) -> ServiceProcess:
        if self._process is None:
            raise ServiceUnavailable("this Kafka broker was not started")
        return self._process

    def start(self) -> None:
        """Format the storage on the first start, run the broker and wait until it answers as a leader.

        Raises:  ServiceUnavailable with the end of the log after 60 s, or as soon as the broker has ended.
        """
        properties = self.folder / "server.properties"
        if not properties.exists():
            self._format_storage(properties)
        self._process = ServiceProcess(
            [*self._java_command(), "kafka.Kafka", str(properties)], log=self.log, cwd=self.folder
        )
        self._wait_until_answering()

    def stop(self) -> None:
        """Shut the broker down in order; its data stays until the object is closed."""
        self.process.stop()

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash of the process would."""
        self.process.kill()

    def restart(self) -> None:
        """Start the broker again on the same port and data, after stopping it if it still runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker: its connections stay open and nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def close(self) -> None:
        """Stop the broker if it runs and remove its data."""
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _java_command(self) -> list[str]:
        return [
            self._java,
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",  # one small heap on a shared machine: parallel collectors only cost threads
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG4J_CONFIGURATION}",
            "-cp",
            self._jars.class_path,
        ]

    def _format_storage(self, properties: Path) -> None:
        properties.write_text(self._server_properties())
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # "--cluster-id=…" in one word: an id may begin with a dash.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={properties}"]
        with self.log.open("ab") as output:
            done = subprocess.run(
                [*self._java_command(), *tool, "--standalone"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                timeout=FORMAT_SECONDS_MAX,
                check=False,
            )
        if done.returncode != 0:
            raise ServiceUnavailable(f"Kafka's storage could not be formatted:\n{tail(self.log)}")

    def _server_properties(self) -> str:
        return _SERVER_PROPERTIES.format(
            port=self.port,
            advertised_port=self.advertised_port,
            controller_port=self.controller_port,
            data=self.folder / "data",
            host=LOOPBACK,
        )

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.is_running:
            if wait_until_listening(self.port, timeout_seconds=0.5) and answers(f"{LOOPBACK}:{self.port}"):
                return
        state = f"did not answer within {START_SECONDS_MAX} s" if self.process.is_running else "ended at its start"
        raise ServiceUnavailable(f"Apache Kafka {self._jars.version} {state}:\n{self.process.log_tail()}")


def answers(bootstrap_servers: str, timeout_seconds: float = 5) -> bool:
    """Say whether a broker answers a metadata request and lists a broker that clients can use."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return False


_SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{advertised_port},CONTROLLER://{host}:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
min.insync.replicas=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# The default of 6 s is long for a test that waits for a dead member's partitions.
group.min.session.timeout.ms=1000
# A killed broker may register again only when its old session has ended: the default is 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# The default of 128 MiB does not fit the small heap.
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""
