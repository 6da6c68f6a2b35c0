"""The schemas of a flow in a second processor, for whoever asks both."""

from __future__ import annotations

from functools import cache

import xmlschema
from lxml import etree

from frontgate.standard import Catalogue
from frontgate.standard.schema import driver


@cache
def second_schema(catalogue: Catalogue, flow: str) -> xmlschema.XMLSchema10:
    """Whether the schemas are right themselves takes long, and is asked once (`test_conformance.py`)."""
    return xmlschema.XMLSchema10(text_of(catalogue, flow), allow="local", validation="skip")


def text_of(catalogue: Catalogue, flow: str) -> str:
    return str(etree.tostring(driver(catalogue, flow), encoding="unicode"))
