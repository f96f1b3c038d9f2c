"""Hostile input from a seed: mutated sweep files, annotations and images."""

import copy
import io
import json
import random
from collections.abc import Iterator
from typing import Any

import yaml
from PIL import Image

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 2**31, 2**32, 2**63, 10**30, -(10**18), 0.5, -0.0, 1e-300,
    1e308, float("nan"), float("inf"), -float("inf"), "", " ", "x", "auto", "paper", "null", "1e9",
    "\ud800", "a\0b", "\x1b[2J", "é" * 300, "x" * 5000, "../../x", "/dev/null", "~nobody/x", "/",
    "<image>", "{{7*7}}", "!!", "?", [], [[]], [None], [1, "x", 2.5], [[1], [2]], {}, {"a": {}},
    {"": 1}, {"name": "lora"}, {"name": ["lora", "full"]}, {"low": 1e-5, "high": 1e-3},
    [1e-3] * 50, list(range(2000)), {f"k{n}": n for n in range(200)},
    {"name": "lora", "rank": list(range(1, 60)), "alpha": list(range(1, 60))},
]  # fmt: skip
KEYS = ["", "x", "name", "rank", "seed", "tiny", "a.b", "\ud800", "é", "x" * 3000, "images", "1"]
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM", "ICO")


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def mutated(content: Any, rng: random.Random, count: int) -> Any:
    """A copy with ``count`` changes, each at a random place: another value, key or structure."""
    content = {"": copy.deepcopy(content)}
    for _ in range(count):
        parent, key = rng.choice(list(_places(content)))
        kind = rng.randrange(7)
        if kind <= 2:
            parent[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 3 and isinstance(parent, dict) and parent is not content:
            parent[rng.choice(KEYS)] = parent.pop(key)
        elif kind == 4:
            parent[key] = [parent[key]] * rng.choice([1, 2, 3])
        elif kind == 5 and isinstance(parent[key], int | float):
            parent[key] = parent[key] * rng.choice([-1, 0, 0.5, 1e-9, 10**3, 10**9, 1e300])
        elif kind == 6 and parent is not content:
            parent[key] = nested(rng.choice([3, 40, 150]))
    return content[""]


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, put in, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(5)
        if kind <= 1 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[at:at] = rng.choice(
                [b"\0", b"\xff", b"\xed\xa0\x80", b"[" * 400, b"&a *a", b"\t"]
            )
        elif kind == 3 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif kind == 4:
            del changed[at : at + rng.choice([1, 4, 10**6])]
        if not changed:
            break
    return bytes(changed)


def as_yaml(content: Any, rng: random.Random) -> bytes:
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=rng.choice([True, False]))
    encoded = text.encode("utf-8", "surrogatepass")
    return damaged(encoded, rng) if rng.random() < 0.3 else encoded


def as_json(content: Any, rng: random.Random) -> bytes:
    encoded = json.dumps(content, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return damaged(encoded, rng) if rng.random() < 0.4 else encoded


def pictures() -> list[bytes]:
    """A small image in every format and mode that the format takes."""
    found = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in FORMATS:
        for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "I;16", "I", "F", "CMYK"):
            buffer = io.BytesIO()
            try:
                Image.effect_noise((24, 17), 90).convert(mode).save(buffer, form, exif=exif)
            except (OSError, ValueError, KeyError):  # a mode that the format does not have
                continue
            found.append(buffer.getvalue())
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "green")]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        found.append(buffer.getvalue())
    return found
