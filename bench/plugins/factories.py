"""From a factory string (``"package.module:function"``) to the function, with errors that say what to do."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from bench.errors import PluginError, did_you_mean

FACTORY = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)?:(?P<attribute>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
"""The form of a factory string; without a module it means "in the file that declares it"."""

FILE_PREFIX = "bench_file_"
"""Import names of ``--plugin`` files begin with this; they exist only where discovery has loaded the file."""


def load_factory(factory: str) -> Callable[..., Any]:
    """The callable that an ``Entry.factory`` names.

    >>> load_factory("math:hypot")(3, 4)
    5.0
    """
    match = FACTORY.fullmatch(factory)
    if match is None or match["module"] is None:
        raise PluginError(f"factory {factory!r} is not of the form 'package.module:function'")
    target = _module(match["module"], factory)
    for part in match["attribute"].split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            names = [name for name in dir(target) if not name.startswith("_")]
            advice = did_you_mean(part, names)
            raise PluginError(f"factory {factory!r}: {match['module']} has no {part!r}; {advice}") from error
    if not callable(target):
        raise PluginError(f"factory {factory!r} names a {type(target).__name__}, which cannot be called")
    function: Callable[..., Any] = target
    return function


def _module(name: str, factory: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.startswith(FILE_PREFIX) and error.name == name:
            raise PluginError(
                f"factory {factory!r}: its --plugin file is not loaded in this process; "
                "give the same --plugin FILE to discovery first"
            ) from error
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            reason = f"there is no module {missing!r}"
        else:
            reason = f"{name} needs the module {missing!r}, which is not installed; `pip install` what provides it"
        raise PluginError(f"factory {factory!r}: {reason}") from error
    except (ImportError, SyntaxError) as error:
        raise PluginError(f"factory {factory!r}: importing {name} failed: {type(error).__name__}: {error}") from error
