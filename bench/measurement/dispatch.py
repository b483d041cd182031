"""torch's dispatch mode, without its compiler."""

from __future__ import annotations

import inspect
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that subclasses say the ``__torch_dispatch__`` of: any operator, on its way to the backend.

    torch wraps that method for ``torch.compile``, and the wrapper imports the compiler at the first call, used or not:
    1.1 s and 115 MB in each process. Here it stands unwrapped.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]
        dispatch: Any = inspect.unwrap(cls.__torch_dispatch__)
        cls.__torch_dispatch__ = dispatch  # type: ignore[method-assign]
