"""What the description of the service says beyond the schemas of its answers: bodies, examples, refusals."""

from typing import Any

from catsdogs.serve.schemas import ErrorAnswer

REFUSALS = {
    400: "No usable photo.",
    401: "No API key, where the service asks for one.",
    403: "The key is not for this.",
    404: "The model cannot do this, or there is none of this name.",
    408: "The body took too long to arrive.",
    413: "Too many bytes, pixels or photos.",
    422: "No photo where one is expected.",
    429: "The key's rate is exceeded; see Retry-After.",
    503: "Busy; see Retry-After.",
    504: "Past the deadline.",
}


def refusals(*also: int) -> dict[int | str, dict[str, Any]]:
    """What every route that takes a photo may answer, and `also`."""
    always = {400, 401, 403, 408, 413, 422, 429, 503, 504}
    return {status: {"model": ErrorAnswer, "description": REFUSALS[status]} for status in sorted(always | set(also))}


FILE = {"type": "string", "format": "binary", "description": "JPEG, PNG, GIF, BMP or WebP"}
IN_BASE64: dict[str, Any] = {
    "schema": {"type": "object", "required": ["image"], "properties": {
        "image": {"type": "string", "description": "The photo's bytes in base64; a data: URL is taken too."}}},
    # A white GIF of 8 x 8 pixels: the smallest photo that is taken.
    "example": {"image": "R0lGODdhCAAIAIAAAP///////ywAAAAACAAIAAACB4SPqcvtXQAAOw=="},
}


PHOTO_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {
    "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": FILE}}},
    "application/json": IN_BASE64,
}}}
BATCH_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {
    "multipart/form-data": {"schema": {"type": "object", "properties": {
        "file": {"type": "array", "items": FILE}, "files": {"type": "array", "items": FILE}}}},
}}}
EXPLAIN_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The grid, or with `Accept: image/png` or `?format=png` a picture.",
          "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
}
INFER_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {
    "schema": {
        "type": "object", "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {
                "type": "object", "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": {"type": "string", "enum": ["pixels", "photos"]},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": {"type": "string", "enum": ["UINT8", "BYTES"]},
                    "data": {"type": "array", "items": {}},
                }}},
            "outputs": {"type": "array", "items": {
                "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        },
    },
    "example": {"inputs": [{"name": "photos", "shape": [1], "datatype": "BYTES",
                            "data": ["R0lGODdhCAAIAIAAAP///////ywAAAAACAAIAAACB4SPqcvtXQAAOw=="]}]},
}}}}
