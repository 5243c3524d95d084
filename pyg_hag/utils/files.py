"""Files that are replaced as a whole, or stay as they were."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from uuid import uuid4


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Any:
    """A file to write, which takes the place of another one once it is complete.

    It is written beside it and flushed to the disk before it gets its name. Where
    anything fails before that (a full disk, Ctrl-C, a limit), the old file is left as
    it is, and nothing else stays. What is no regular file, such as a pipe or
    `/dev/stdout`, is written to directly.

    Args:
        path: The file; of a link, what it leads to.
        mode: `"wb"` or `"w"`.
        **options: Those of :func:`open`.

    Yields:
        The open file.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        with open(target, mode, **options) as file:
            yield file
        return
    with _beside(target, mode, **options) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _beside(target: Path, mode: str, **options: Any) -> Iterator[IO[Any]]:
    """A new file in the same folder, renamed at the end and removed after an error."""
    part = target.with_name(f".{target.name[:200]}.{uuid4().hex}.part")
    try:
        with open(part, mode.replace("w", "x"), **options) as file:
            yield file
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file as a whole."""
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(text)
