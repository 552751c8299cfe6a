"""The AsyncAPI document of the topics, generated from the same structs that read and write them.

`python -m schemas.asyncapi > docs/asyncapi.json` writes it anew."""

from typing import Any

import msgspec

from schemas.dead_letters import DeadLetterRecord
from schemas.events import EventLine
from schemas.topics import CONTENT_TYPE, DEAD_LETTERS, SCHEMA_VERSION, USAGE_EVENTS

Json = dict[str, Any]

_PACK = (
    "One or more events of one partition, one JSON object a line. The key is "
    "`organization_id/external_subscription_id`, the partition murmur2 of it."
)
_HEADERS: Json = {
    "type": "object",
    "properties": {
        "content-type": {"const": CONTENT_TYPE},
        "schema-version": {"const": SCHEMA_VERSION},
        "events": {"type": "string", "description": "How many events the pack holds."},
    },
}


def asyncapi_document() -> Json:
    """The document, in AsyncAPI 3.0."""
    (event, dead_letter), components = msgspec.json.schema_components(
        [EventLine, DeadLetterRecord], ref_template="#/components/schemas/{name}"
    )
    components["EventLine"]["properties"]["properties"] = {
        "type": "object",
        "description": "Whatever the metrics of the code measure; numbers are exact decimals.",
        "default": {},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Millrace topics", "version": SCHEMA_VERSION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "usageEvents": _channel(USAGE_EVENTS, "pack"),
            "deadLetters": _channel(DEAD_LETTERS, "deadLetter"),
        },
        "operations": {
            "consumeUsageEvents": {"action": "receive", "channel": {"$ref": "#/channels/usageEvents"}},
            "produceUsageEvents": {"action": "send", "channel": {"$ref": "#/channels/usageEvents"}},
            "consumeDeadLetters": {"action": "receive", "channel": {"$ref": "#/channels/deadLetters"}},
        },
        "components": {
            "messages": {
                "pack": {
                    "summary": "A pack of events",
                    "description": _PACK,
                    "headers": _HEADERS,
                    "payload": event,
                },
                "deadLetter": {"summary": "An event that can never be counted", "payload": dead_letter},
            },
            "schemas": components,
        },
    }


def _channel(address: str, message: str) -> Json:
    return {"address": address, "messages": {message: {"$ref": f"#/components/messages/{message}"}}}


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(asyncapi_document()), indent=2).decode())
