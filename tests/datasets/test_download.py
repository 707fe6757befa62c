"""Downloads, from a server on this machine that behaves well, badly, or not at all."""

import gzip
import hashlib
import http.server
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tinynet as tn
from tinynet.datasets import download

pytest.importorskip("pooch")


def packed(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


RNG = np.random.default_rng(0)
LABELS = np.arange(6, dtype="u1") % 3
IMAGES = RNG.integers(0, 256, (6, 4, 4), dtype="u1")
CONTENT = {
    "train-images-idx3-ubyte.gz": packed(IMAGES),
    "train-labels-idx1-ubyte.gz": packed(LABELS),
    "t10k-images-idx3-ubyte.gz": packed(IMAGES[:3]),
    "t10k-labels-idx1-ubyte.gz": packed(LABELS[:3]),
}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; ``behave`` may do something else with a file."""

    def __init__(self):
        self.asked, self.behave = [], {}
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path[1:]
        self.server.asked.append(name)
        if name in self.server.behave:
            self.server.behave[name](self)
        else:
            self.send(CONTENT[name])

    def send(self, content, *, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def load(server, folder):
    return download.load("The Set", server.address, SHA256, folder)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_four_files_are_downloaded_once_and_read(server, tmp_path):
    for _ in range(2):
        train, test = load(server, tmp_path / "new" / "folder")
        np.testing.assert_allclose(train.x, IMAGES.reshape(6, 16) / 255, rtol=1e-6)
        np.testing.assert_array_equal(test.y, LABELS[:3])
    assert server.asked == list(CONTENT)
    assert names(tmp_path / "new" / "folder") == sorted(CONTENT)


def test_by_default_they_go_to_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    load(server, None)
    assert names(tmp_path / "tinynet" / "The Set") == sorted(CONTENT)


def test_files_put_there_by_hand_need_no_server_and_no_pooch(tmp_path, monkeypatch):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(sys.modules, "pooch", None)
    train, _ = download.load("The Set", "http://127.0.0.1:1/", SHA256, tmp_path)
    assert len(train) == 6


def wrong_content(handler):
    handler.send(b"<html>Please accept the conditions of this hotel's network</html>")


def one_bit_off(handler):
    content = bytearray(CONTENT[handler.path[1:]])
    content[-9] ^= 1
    handler.send(bytes(content))


@pytest.mark.parametrize("behaviour", [wrong_content, one_bit_off])
@pytest.mark.parametrize("name", CONTENT)
def test_a_file_with_another_hash_is_refused_and_not_kept(server, tmp_path, behaviour, name):
    server.behave[name] = behaviour
    with pytest.raises(tn.FileFormatError, match=f"{server.address}{name}: the download is not the published file"):
        load(server, tmp_path)
    assert names(tmp_path) == sorted(server.asked[:-1])  # those before it


def ends_early(handler):
    content = CONTENT[handler.path[1:]]
    handler.send(content[: len(content) // 2], length=len(content))


def not_found(handler):
    handler.send_error(404)


def falls_silent(handler):
    handler.send(CONTENT[handler.path[1:]][:5], length=100)
    time.sleep(1)


@pytest.mark.parametrize("behaviour", [ends_early, not_found, falls_silent])
def test_a_download_that_fails_leaves_nothing_and_the_next_one_goes_on(server, tmp_path, monkeypatch, behaviour):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    name = list(CONTENT)[1]
    server.behave[name] = behaviour
    with pytest.raises(tn.InputError, match=f"{server.address}{name}: could not be downloaded .*; put train-images"):
        load(server, tmp_path)
    assert names(tmp_path) == [next(iter(CONTENT))]
    server.behave.clear()
    assert len(load(server, tmp_path)[0]) == 6
    assert server.asked.count(next(iter(CONTENT))) == 1


def test_offline_is_one_sentence_that_says_what_to_do(tmp_path):
    with socket.socket() as taken:  # bound, not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(tn.InputError) as error:
            download.load("The Set", address, SHA256, tmp_path)
    assert str(error.value) == (
        f"{address}train-images-idx3-ubyte.gz: could not be downloaded (ConnectionError); put {', '.join(CONTENT)} "
        f"into {tmp_path} by hand"
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch, error):
    import pooch

    def interrupted(self, url, output_file, _):
        with open(output_file, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise error

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(error):
        load(server, tmp_path)
    assert names(tmp_path) == []


def test_a_killed_download_never_leaves_a_file_under_its_name(server, tmp_path):
    name = next(iter(CONTENT))
    begun = threading.Event()

    def slow(handler):
        handler.send(CONTENT[name][:20], length=len(CONTENT[name]))
        begun.set()
        time.sleep(1)

    server.behave[name] = slow
    code = (
        "import sys; from tinynet.datasets import download;"
        f"download.load('The Set', {server.address!r}, {SHA256!r}, sys.argv[1])"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        assert begun.wait(30)
        process.kill()
    assert name not in names(tmp_path)
    server.behave.clear()
    assert len(load(server, tmp_path)[0]) == 6


@pytest.mark.parametrize("content", [b"", b"not it", packed(IMAGES[::-1])])
def test_a_file_that_is_there_but_another_is_refused_and_left_alone(server, tmp_path, content):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(tn.FileFormatError, match=f"{path}: not the file of The Set; move it away"):
        load(server, tmp_path)
    assert path.read_bytes() == content
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_asked_for(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(tn.InputError, match="file: cannot write there"):
        load(server, tmp_path / "file")
    assert server.asked == []


def test_without_pooch_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(tn.InputError, match=r"pip install 'tinynet-lab\[download\]'; or put train-images.* by hand"):
        download.load("The Set", "http://127.0.0.1:1/", SHA256, tmp_path)
    with pytest.raises(tn.InputError, match=r"tinynet-lab\[download\]'; or give the folder that has the files of KM"):
        tn.datasets.kmnist()


@pytest.mark.parametrize("function", [tn.datasets.fashion_mnist, tn.datasets.kmnist])
def test_each_set_asks_its_own_address_for_its_own_hashes(function, monkeypatch):
    asked = []
    monkeypatch.setattr(download, "load", lambda *arguments: asked.append(arguments))
    function("folder")
    ((_, address, sha256, folder),) = asked
    assert folder == "folder"
    assert re.fullmatch(r"https://[\w./-]+/", address)
    assert list(sha256) == list(CONTENT)  # the order in which `load` takes them
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in sha256.values())
    assert len(set(sha256.values())) == 4
