"""A registry of models of every kind and one data set."""

from __future__ import annotations

import pytest

from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, ProtocolSpec
from bench.testing.fakes import fake_plugin

from .plans import MODELS


@pytest.fixture
def registry():
    specs = [
        *MODELS,
        DatasetSpec(name="set", load="json:loads", protocols=("4+1",), groups="source"),
        FrontendSpec(name="mel", factory="json:loads"),
        FrontendSpec(name="fancy", factory="json:loads", trainable=True),
        FrontendSpec(name="given", factory="json:loads"),
        ProtocolSpec(name="4+1"),
    ]
    return load_modules(fake_plugin("fakes", specs)).registry
