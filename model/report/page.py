"""What every page shares: escaping, and one HTML text from its parts.

A page is one file that reaches for nothing outside: its policy allows the scripts and the style in it by their hash, images
from data alone, and no connection. Names and results are hostile input; they reach a page through `text` only.
"""

import base64
import hashlib
import html
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

import model

ASSETS = Path(__file__).parent / "assets"
USE = "Research use, not a medical device."


def text(value: object) -> str:
    """Any value as text or attribute of HTML. What is no Unicode text, as in a broken file name, becomes a question mark."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"))


def base64_text(data: bytes) -> str:
    """Bytes as base64, which needs no escaping."""
    return base64.b64encode(data).decode("ascii")


def link(relative: str) -> str:
    """A path below the page's folder as an address that can be nothing else, no other scheme and no other host."""
    return "./" + quote(relative.encode("utf-8", "surrogateescape"))


@cache
def asset(name: str) -> str:
    """A file of assets/ as text, read once and with its line ends as they are."""
    return (ASSETS / name).read_bytes().decode("utf-8")


def page(title: str, body: str, scripts: Sequence[str], weights: Sequence[str], later_scripts: Sequence[str] = ()) -> str:
    """The whole page.

    `title` stands on every printed page, too; `body` is HTML; `scripts` names the assets that run, as one in that order,
    `later_scripts` are texts that they may add; `weights` are the ids of those that made the masks.
    """
    style, code = asset("page.css"), "\n".join(map(asset, scripts))
    allowed = " ".join(map(_hash, (code, *later_scripts)))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    made_by = f"weights {', '.join(weights)}" if weights else "no weights used"
    made_with = f"hie-lesions {model.__version__}, {text(made_by)}."
    parts = {"policy": policy, "title": text(title), "style": style, "body": body, "script": code}
    return asset("page.html").format(use=USE, made_with=made_with, **parts)


def _hash(code: str) -> str:
    """A script or style as a content security policy names it."""
    return f"'sha256-{base64_text(hashlib.sha256(code.encode('utf-8')).digest())}'"
