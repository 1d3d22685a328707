"""How pictures are sent, for the OpenAPI description: the routes read their bodies themselves."""

from typing import Any


def pictures(most: str, texts: dict[str, str] | None = None) -> dict[str, Any]:
    """The request body of a route that takes pictures.

    Args:
        most: how many pictures, for people to read.
        texts: other fields of the form, and what they mean.
    """
    fields = {name: {"type": "string", "description": means} for name, means in (texts or {}).items()}
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    sent = {
        "oneOf": [
            {"type": "object", "properties": {"base64": {"type": "string"}}, "required": ["base64"]},
            {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
        ]
    }
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "array", "items": image, "description": f"{most}, as files"},
                    **fields,
                },
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": {"type": "array", "items": sent}, **fields},
            },
            "example": {"images": [{"base64": "/9j/4AAQSkZJRgABAQ..."}], **dict.fromkeys(fields, "...")},
        },
    }
    if not fields:
        content["image/*"] = {"schema": {"type": "string", "contentMediaType": "image/*"}}
    return {"requestBody": {"required": True, "content": content}}
