"""`python -m tests.faults.dying_ingest STEP N`: the ingest process, killed at the Nth passing of a step.

Steps: `received` (valid, nothing handed to the driver), `handed_over` (the driver has the pack, the broker has not
said so), `acknowledged` (the broker has it, the client has no answer).
"""

import sys

from ingest.__main__ import main
from ingest.kafka_publisher import KafkaProducer, KafkaPublisher
from tests.faults.dying import Death

STEPS = ("received", "handed_over", "acknowledged")


def arm(death: Death) -> None:
    """Put the trigger around the publisher."""
    death.around(KafkaProducer, "send", before="received", after="handed_over")
    death.around(KafkaPublisher, "publish", before="publishing", after="acknowledged")


if __name__ == "__main__":
    arm(Death(sys.argv[1], int(sys.argv[2])))
    main()
