"""JSON schemas of image-spec 1.1, written from its text (descriptor.md, manifest.md, image-index.md, config.md).

Stricter than the spec in one way: unknown keys are refused, so that a misspelt one is caught.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema

_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker"
DIGEST = {"type": "string", "pattern": "^sha256:[a-f0-9]{64}$"}
NOTES = {"type": "object", "additionalProperties": {"type": "string"}}
WORDS = {"type": ["array", "null"], "items": {"type": "string"}}
SET = {"type": ["object", "null"], "additionalProperties": {"type": "object", "maxProperties": 0}}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
LAYERS = [f"{_OCI}.layer.v1.tar{suffix}" for suffix in ("", "+gzip", "+zstd")]
PLATFORM = {"type": "object", "required": ["os", "architecture"], "additionalProperties": False, "properties": {
    "os": {"type": "string"}, "architecture": {"type": "string"}, "variant": {"type": "string"},
    "os.version": {"type": "string"}, "os.features": WORDS}}


def descriptor(*media: str) -> dict[str, Any]:
    return {"type": "object", "required": ["mediaType", "digest", "size"], "additionalProperties": False,
            "properties": {"mediaType": {"enum": list(media)}, "digest": DIGEST,
                           "size": {"type": "integer", "minimum": 1}, "annotations": NOTES, "platform": PLATFORM,
                           "artifactType": {"type": "string"}}}


MANIFEST = {"type": "object", "required": ["schemaVersion", "mediaType", "config", "layers"],
            "additionalProperties": False,
            "properties": {"schemaVersion": {"const": 2}, "mediaType": {"const": f"{_OCI}.manifest.v1+json"},
                           "config": descriptor(f"{_OCI}.config.v1+json"), "annotations": NOTES,
                           "layers": {"type": "array", "minItems": 1, "items": descriptor(*LAYERS)}}}
DOCKER_MANIFEST = {
    "type": "object", "required": ["schemaVersion", "mediaType", "config", "layers"], "additionalProperties": False,
    "properties": {"schemaVersion": {"const": 2}, "mediaType": {"const": f"{_DOCKER}.distribution.manifest.v2+json"},
                   "config": descriptor(f"{_DOCKER}.container.image.v1+json"),
                   "layers": {"type": "array", "items": descriptor(f"{_DOCKER}.image.rootfs.diff.tar.gzip")}}}
CONFIG = {"type": "object", "required": ["architecture", "os", "rootfs"], "additionalProperties": False,
          "properties": {
              "architecture": {"type": "string"}, "os": {"const": "linux"}, "variant": {"type": "string"},
              "created": TIME, "author": {"type": "string"},
              "config": {"type": "object", "additionalProperties": False, "properties": {
                  "User": {"type": "string"}, "WorkingDir": {"type": "string"}, "StopSignal": {"type": "string"},
                  "Env": {"type": ["array", "null"], "items": {"type": "string", "pattern": "^[^=]+=[^\\0]*$"}},
                  "Entrypoint": WORDS, "Cmd": WORDS, "Labels": NOTES, "ExposedPorts": SET, "Volumes": SET,
                  # reserved for Docker's own (config.md, "Properties")
                  "Healthcheck": {"type": "object"}, "Shell": WORDS, "OnBuild": WORDS, "ArgsEscaped": {}}},
              "rootfs": {"type": "object", "required": ["type", "diff_ids"], "additionalProperties": False,
                         "properties": {"type": {"const": "layers"}, "diff_ids": {"type": "array", "items": DIGEST}}},
              "history": {"type": "array", "items": {
                  "type": "object", "additionalProperties": False, "properties": {
                      "created": TIME, "created_by": {"type": "string"}, "author": {"type": "string"},
                      "comment": {"type": "string"}, "empty_layer": {"type": "boolean"}}}}}}
INDEX = {"type": "object", "required": ["schemaVersion", "mediaType", "manifests"], "additionalProperties": False,
         "properties": {"schemaVersion": {"const": 2}, "mediaType": {"const": f"{_OCI}.index.v1+json"},
                        "annotations": NOTES, "manifests": {"type": "array", "items": descriptor(
                            f"{_OCI}.manifest.v1+json", f"{_DOCKER}.distribution.manifest.v2+json")}}}


def check_image(manifest: bytes, config: bytes) -> None:
    """An image's documents are valid, and fit each other (trap 41)."""
    m, c = json.loads(manifest), json.loads(config)
    jsonschema.validate(m, DOCKER_MANIFEST if "docker" in m.get("mediaType", "") else MANIFEST)
    jsonschema.validate(c, CONFIG)
    count = len(m["layers"])
    assert count == len(c["rootfs"]["diff_ids"])
    rows = c.get("history")
    assert rows is None or count == sum(not row.get("empty_layer") for row in rows)


def check_index(index: bytes) -> None:
    """An image index is valid; each of its images says its platform."""
    document = json.loads(index)
    jsonschema.validate(document, INDEX)
    assert all("platform" in row for row in document["manifests"])
