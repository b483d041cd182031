"""Hostile and broken archives, a lying server, and processes that download at once."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import stat
import tarfile
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.download import download, download_folder, fetch, unpack
from bench.errors import DataError
from bench.plugins.specs import DatasetSpec

MIB = 1 << 20


def zip_of(path: Path, members: dict[str, bytes | zipfile.ZipInfo], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return path


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def base(tmp_path) -> Path:
    """A folder with nothing beside the archive, so that an escape shows."""
    return tmp_path


def written(base: Path) -> set[str]:
    return {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file() and p.name != "a"}


def test_tar_of_a_folder_itself(base):
    tar_of(base / "a", [(member("./", tarfile.DIRTYPE), b""), (member("./x.txt"), b"1")])
    unpack(base / "a", base / "out", max_bytes=MIB)
    assert written(base) == {"out/x.txt"}


def test_good_archives(base):
    zip_of(base / "a", {"top/": b"", "top/x.txt": b"1", "top/sub/y.txt": b"22"})
    unpack(base / "a", base / "zip", max_bytes=MIB)
    tar_of(base / "a", [(member("top", tarfile.DIRTYPE), b""), (member("top/x.txt"), b"1")])
    unpack(base / "a", base / "tar", max_bytes=MIB)
    assert written(base) == {"zip/top/x.txt", "zip/top/sub/y.txt", "tar/top/x.txt"}


@pytest.mark.parametrize(
    "name", ["../evil", "../../evil", "a/../../evil", "/tmp/evil-of-a-test", "..\\evil", "C:\\evil", "C:evil"]
)
def test_names_outside_are_refused(base, name):
    zip_of(base / "a", {name: b"x"})
    with pytest.raises(DataError, match="outside its folder"):
        unpack(base / "a", base / "zip", max_bytes=MIB)
    tar_of(base / "a", [(member(name), b"x")])
    with pytest.raises(DataError):
        unpack(base / "a", base / "tar", max_bytes=MIB)
    assert written(base) == set()
    assert not Path("/tmp/evil-of-a-test").exists()
    assert not (base.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar(base, kind):
    tar_of(base / "a", [(member("link", kind, "../../etc"), b""), (member("link/passwd"), b"x")])
    with pytest.raises(DataError, match="link or device"):
        unpack(base / "a", base / "tar", max_bytes=MIB)
    assert written(base) == set()


def test_links_in_zip(base):
    zip_of(base / "a", {"link": b"../.."}, mode=stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match="link or device"):
        unpack(base / "a", base / "zip", max_bytes=MIB)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_stop_at_the_cap(base, kind):
    if kind == "zip":
        zip_of(base / "a", {"zeros": bytes(30 * MIB)})
    else:
        tar_of(base / "a", [(member("zeros"), bytes(30 * MIB))])
    assert (base / "a").stat().st_size < MIB
    with pytest.raises(DataError, match="size limit"):
        unpack(base / "a", base / "out", max_bytes=2 * MIB)
    assert sum(p.stat().st_size for p in (base / "out").rglob("*")) <= 2 * MIB


def test_many_empty_members_count_too(base):
    zip_of(base / "a", {f"f{i}": b"" for i in range(100)})
    with pytest.raises(DataError, match="size limit"):
        unpack(base / "a", base / "out", max_bytes=10_000)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(base):
    with zipfile.ZipFile(base / "a", "w") as file:
        file.writestr("x", "1")
        file.writestr("x", "2")
    with pytest.raises(DataError, match="twice"):
        unpack(base / "a", base / "out", max_bytes=MIB)


def _long_header(kind: bytes, size: int) -> bytes:
    """A tar archive whose first member's header says that ``size`` bytes of a name follow."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, size
    return member.tobuf() + b"a" * size


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE], ids=["GNU", "PAX"])
@pytest.mark.parametrize("first", [False, True])
def test_headers_count_against_the_limit(base, kind, first):
    head = b"" if first else tarfile.TarInfo("a").tobuf()
    (base / "a").write_bytes(gzip.compress(head + _long_header(kind, 48 * MIB), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="size limit"):
        unpack(base / "a", base / "out", max_bytes=2 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_the_directory_of_a_zip_counts_against_the_limit(base):
    with zipfile.ZipFile(base / "a", "w") as file:
        for number in range(2_000):
            file.writestr(f"{number}", b"")
    with pytest.raises(DataError, match="size limit"):
        unpack(base / "a", base / "out", max_bytes=MIB)
    unpack(base / "a", base / "more", max_bytes=4 * MIB)


def test_damaged_archives(base):
    whole = zip_of(base / "a", {"x": bytes(range(256)) * 100}).read_bytes()
    for place in range(31, 80, 7):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0xFF
        (base / "a").write_bytes(bytes(spoilt))
        with pytest.raises(DataError, match="damaged"):
            unpack(base / "a", base / f"one{place}", max_bytes=MIB)
    (base / "a").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        unpack(base / "a", base / "two", max_bytes=MIB)
    cut = tar_of(base / "a", [(member("x"), bytes(range(256)) * 400)]).read_bytes()
    (base / "a").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(DataError):
        unpack(base / "a", base / "three", max_bytes=MIB)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "www"
    folder.mkdir()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def spec_of(url: str, **options) -> DatasetSpec:
    return DatasetSpec(name="t", load="x:y", url=f"{url}/d.zip", **options)


def holds_x(folder: Path) -> None:
    if not (folder / "top" / "x").is_file():
        raise DataError("no top/x")


def leftovers(root: Path) -> list[str]:
    return [p.name for p in (root / "cache" / "datasets").glob(".tmp-*")]


def test_download_publishes_checked_content(server, tmp_path):
    folder, url = server
    archive = zip_of(folder / "d.zip", {"top/x": b"1" * 5000})
    seen = []
    spec = spec_of(url, archive_sha256=hashlib.sha256(archive.read_bytes()).hexdigest())
    place = download(spec, holds_x, lambda done, total: seen.append((done, total)))
    assert place == download_folder(spec)
    assert [p.name for p in place.iterdir()] == ["top"]
    size = archive.stat().st_size
    assert seen[-1] == (size, size)
    assert leftovers(tmp_path) == []


def test_several_at_once(server, tmp_path):
    folder, url = server
    zip_of(folder / "d.zip", {"top/x": b"1" * 5000})
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: download(spec_of(url), holds_x), range(4)))
    assert len(places) == 1
    assert leftovers(tmp_path) == []


def test_wrong_content_or_checksum_is_not_published(server, tmp_path):
    folder, url = server
    zip_of(folder / "d.zip", {"other/x": b"1"})
    with pytest.raises(DataError, match="no top/x"):
        download(spec_of(url), holds_x)
    with pytest.raises(DataError, match="expected 00"):
        download(spec_of(url, archive_sha256="00"), holds_x)
    assert not download_folder(spec_of(url)).exists()
    assert leftovers(tmp_path) == []


def test_missing_page_and_dead_server(server, tmp_path):
    _, url = server
    with pytest.raises(DataError, match=r"404.*--data DIR"):
        download(spec_of(url), holds_x)
    with pytest.raises(DataError, match=r"downloading http://127\.0\.0\.1:9/"):
        fetch("http://127.0.0.1:9/d.zip", tmp_path / "f")
    with pytest.raises(DataError, match="only http"):
        fetch("file:///etc/passwd", tmp_path / "f")


def test_an_endless_download_is_stopped(server, tmp_path):
    from bench.data.download import _Progress

    folder, url = server
    (folder / "big").write_bytes(bytes(4 * MIB))
    with pytest.raises(DataError, match="grew beyond"):
        fetch(f"{url}/big", tmp_path / "f", progress=_Progress(None, 0, MIB))


@settings(deadline=None, max_examples=80)
@given(data=st.data(), packing=st.sampled_from(["w:gz", "w:bz2", "w:xz", zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
def test_damaged_archives_are_refused_or_unpacked(data, packing, tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("archive"), io.BytesIO()
    if isinstance(packing, str):
        with tarfile.open(fileobj=out, mode=packing) as archive:
            archive.add(__file__, "a/b.py")
    else:
        with zipfile.ZipFile(out, "w", packing) as archive:
            archive.write(__file__, "a/b.py")
    content = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "archive").write_bytes(content[: data.draw(st.integers(0, 40)) or None])
    with contextlib.suppress(DataError):
        unpack(folder / "archive", folder / "content", max_bytes=MIB)
    assert {path.name for path in folder.iterdir()} <= {"archive", "content"}


def test_a_member_without_a_name_is_refused(base):
    content = zip_of(base / "a", {"x": b"1"}).read_bytes()
    (base / "a").write_bytes(content.replace(b"\x01\x00\x00\x00x", b"\x00\x00\x00\x00"))
    with pytest.raises(DataError, match=r"damaged|outside its folder|neither"):
        unpack(base / "a", base / "content", max_bytes=MIB)
