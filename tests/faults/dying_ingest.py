"""`python -m tests.faults.dying_ingest STEP N`: the ingest process, killed at the Nth passing of a step.

Steps: `received` (valid, nothing handed to the driver), `handed_over` (the driver has the pack, the broker has not
said so), `acknowledged` (the broker has it, the client has no answer).
"""

import sys
from collections.abc import Sequence

from ingest.__main__ import main
from ingest.kafka_publisher import KafkaProducer, KafkaPublisher
from schemas.events import Event, Outcome
from tests.faults.dying import Death

STEPS = ("received", "handed_over", "acknowledged")


def arm(death: Death) -> None:
    """Put the trigger around the publisher."""
    death.around(KafkaProducer, "send", before="received", after="handed_over")
    publish = KafkaPublisher.publish

    async def publish_and_pass(publisher: KafkaPublisher, events: Sequence[Event]) -> Sequence[Outcome]:
        outcomes = await publish(publisher, events)
        death.pass_step("acknowledged")
        return outcomes

    setattr(KafkaPublisher, "publish", publish_and_pass)  # noqa: B010 - as `Death.around` does


if __name__ == "__main__":
    arm(Death(sys.argv[1], int(sys.argv[2])))
    main()
