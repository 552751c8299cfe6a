"""The notes on a plan or a credit note, as they are sent and answered."""

from pydantic import BaseModel

from invoicer.catalog.fields import ResourceInput
from invoicer.catalog.metadata import Metadata


class MetadataBody(ResourceInput):
    """Notes by key."""

    metadata: Metadata


class MetadataAnswer(BaseModel):
    """The notes there are now; null when there are none."""

    metadata: dict[str, str | None] | None
