"""The user's own table: what it can say, and every mistake reported with its line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.data.check import check_clips
from bench.errors import DataError
from bench_datasets._table import split_labels
from bench_datasets.manifest import load


def audio(folder: Path, name: str, seconds: float = 0.5, rate: int = 8_000) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, np.full(round(seconds * rate), 0.1), rate)


@pytest.fixture
def table(tmp_path):
    for number in range(6):
        audio(tmp_path, f"clips/{number}.wav", 0.5 + number / 10)

    def write(text: str) -> Path:
        (tmp_path / "my.csv").write_text(text)
        return tmp_path / "my.csv"

    return write


def test_smallest(table):
    clips = check_clips(load(table("path,label\nclips/0.wav,dog\nclips/5.wav,cat\n")), "manifest")
    assert clips.ids == ("clips/0.wav", "clips/5.wav")
    assert clips.label_names == ("cat", "dog")
    assert clips.targets.tolist() == [1, 0]
    assert (clips.sample_rate, clips.clip_samples) == (16_000, 16_000)
    assert any("folds were drawn" in note for note in clips.notes)
    assert any("1 s at 16000 Hz" in note for note in clips.notes)
    assert clips.title == "my"


def test_everything(table, tmp_path):
    for number, size in enumerate([(8, 6), (8, 6)]):
        Image.new("RGB", size, (255, 0, 51)).save(tmp_path / f"{number}.png")
    clips = check_clips(
        load(
            table(
                "path,label,split,group,text,image,colour\n"
                'clips/0.wav,dog|loud,train,g,"a dog, barking",0.png,red\nclips/1.wav,cat,test,h,meow,1.png,blue\n'
            )
        ),
        "manifest",
    )
    np.testing.assert_array_equal(clips.targets, np.array([[0, 1, 1], [1, 0, 0]], dtype=np.float32))
    assert clips.label_names == ("cat", "dog", "loud")
    assert clips.folds is None
    assert clips.splits == ("train", "test")
    assert clips.groups == ("g", "h")
    assert clips.texts == ("a dog, barking", "meow")
    assert clips.image_shape == (3, 6, 8)
    images = clips.images([1, 0])
    assert images.shape == (2, 3, 6, 8)
    np.testing.assert_allclose(images[0, :, 0, 0], [1.0, 0.0, 0.2], atol=1e-6)
    assert any("colour" in note for note in clips.notes)


def test_images_of_different_shapes(table, tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "0.png")
    Image.new("RGB", (9, 6)).save(tmp_path / "1.png")
    clips = load(table("path,label,image\nclips/0.wav,a,0.png\nclips/1.wav,b,1.png\n"))
    assert clips.image_shape == (3, 224, 224)
    assert clips.images([0, 1]).shape == (2, 3, 224, 224)
    assert any("resized" in note for note in clips.notes)


def test_all_bad_rows_at_once_with_line_numbers(table, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"no sound at all")
    (tmp_path / "p.png").write_bytes(b"no picture")
    path = table(
        "path,label,fold,split,group,image\n"
        "clips/0.wav,dog,1,train,g,p.png\n"
        "clips/none.wav,dog,1,train,g,none.png\n"
        "clips/1.wav,,x,dev,,none.png\n"
        "clips/./0.wav,dog|,99999999999,val,g,none.png\n"
        ",dog,2.5,test,g,none.png\n"
        "noise.wav,dog,3,test,g,none.png,surplus\n"
    )
    message = ""
    for left_out in ("fold=", "split="):
        with pytest.raises(DataError) as caught:
            load(path, columns=left_out)
        message += str(caught.value)
    for part in (
        "line 2: ", "as an image", "line 3: ", "none.wav: no such file", "none.png: no such file",
        "line 4: label is empty", "line 4: fold 'x'", "line 4: split 'dev' is unknown; allowed are train, val, test",
        "line 4: group is empty", "line 5: label 'dog|' has an empty part", "line 6: path is empty",
        "line 5: fold '99999999999'", "line 6: fold '2.5'", "line 7: ", "cannot read",
        "line 7: has more cells",
    ):  # fmt: skip
        assert part in message, part
    assert "line 5: path 'clips/./0.wav' stands already on line 2" in message


def test_line_numbers_survive_quoted_line_breaks(table):
    with pytest.raises(DataError, match=r"line 4: .*none\.wav: no such file"):
        load(table('path,label,text\nclips/0.wav,dog,"two\nlines"\nclips/none.wav,cat,x\n'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column path"), ("path,fold\nclips/0.wav,1\n", "no column label"), ("path,label\n", "no clip"),
        ("path,label\nclips/0.wav,dog\nclips/1.wav,dog\n", "only the label 'dog'"),
    ],
)  # fmt: skip
def test_unusable_tables(table, text, message):
    with pytest.raises(DataError, match=message):
        load(table(text))


def test_not_a_table(tmp_path):
    for root in (None, tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError, match=r"--data my\.csv"):
            load(root)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\xff\xff\x00")
    with pytest.raises(DataError, match="cannot read"):
        load(tmp_path / "x.csv")


def test_byte_order_mark_and_blanks(table):
    clips = load(table("\ufeffpath, label\n clips/0.wav , dog \nclips/1.wav,cat\n"))
    assert clips.ids[0] == "clips/0.wav"
    assert clips.label_names == ("cat", "dog")


def test_long_clips_are_capped(tmp_path):
    audio(tmp_path, "a.wav", 12.0)
    audio(tmp_path, "b.wav", 1.0)
    (tmp_path / "m.csv").write_text("path,label\na.wav,x\nb.wav,y\n")
    assert load(tmp_path / "m.csv").clip_samples == 160_000


@pytest.mark.parametrize(
    "content",
    [
        b"path;label\nclips/0.wav;dog\nclips/1.wav;cat\n",
        b"path\tlabel\nclips/0.wav\tdog\nclips/1.wav\tcat\n",
        "path,label\nclips/0.wav,dog\nclips/1.wav,cat\n".encode("utf-16"),
        "path;label\nclips/0.wav;dog\nclips/1.wav;cat\n".encode("utf-16-le").join([b"\xff\xfe", b""]),
        b",path,label\n0,clips/0.wav,dog\n1,clips/1.wav,cat\n",
        b"path,label\r\nclips/0.wav,dog\r\nclips/1.wav,cat\r\n",
    ],
)
def test_tables_as_other_programs_write_them(table, tmp_path, content):
    table("")
    (tmp_path / "my.csv").write_bytes(content)
    clips = load(tmp_path / "my.csv")
    assert (clips.ids, clips.label_names, clips.targets.tolist()) == (
        ("clips/0.wav", "clips/1.wav"), ("cat", "dog"), [1, 0],
    )  # fmt: skip


def test_other_column_names_are_proposed_and_never_taken(table):
    path = table("filename,category\nclips/0.wav,dog\nclips/1.wav,cat\n")
    with pytest.raises(DataError, match=r"--data 'my\.csv\?columns=path=filename,label=category'"):
        load(path)
    clips = load(path, columns="path=filename,label=category")
    assert clips.label_names == ("cat", "dog")
    assert "column 'category' is read as label" in clips.notes
    with pytest.raises(DataError, match="no column 'file_name'; did you mean 'filename'"):
        load(path, columns="path=file_name,label=category")
    with pytest.raises(DataError, match="columns='name=filename': write OURS=YOURS"):
        load(path, columns="name=filename")


def test_fold_beside_split_is_a_choice(table):
    path = table("path,label,fold,split\nclips/0.wav,dog,1,train\nclips/1.wav,cat,2,test\n")
    with pytest.raises(DataError, match=r"has both fold and split.*columns=split=' .*columns=fold= "):
        load(path)
    assert load(path, columns="split=").folds.tolist() == [1, 2]
    assert load(path, columns="fold=").splits == ("train", "test")


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_label_that_may_be_several_is_asked_about(table, mark):
    path = table(f'path,label\nclips/0.wav,"dog{mark}loud"\nclips/1.wav,cat\n')
    with pytest.raises(DataError, match=f"did you mean multi-label. --data 'TABLE.label_separator={mark}'"):
        load(path)
    assert load(path, label_separator=mark).targets.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert load(path, label_separator="none").label_names == ("cat", f"dog{mark}loud")


@pytest.mark.parametrize("pair", [("Dog", "dog"), ("true", "True"), ("caf\u00e9", "cafe\u0301"), ("a  b", "a b")])
def test_classes_that_differ_in_spelling_only_are_named(table, pair):
    with pytest.raises(DataError, match="labels differ in spelling only"):
        load(table(f"path,label\nclips/0.wav,{pair[0]}\nclips/1.wav,{pair[1]}\nclips/2.wav,cat\n"))


SPELLINGS = (
    str, str.upper, str.title, lambda x: unicodedata.normalize("NFD", x), lambda x: x.replace(" ", "_"),
    lambda x: x.replace(" ", "-"), lambda x: x.replace(" ", "\u00a0"), lambda x: f"{x}\u200b", lambda x: f" {x} ",
    lambda x: x.replace("fi", "\ufb01"),
)  # fmt: skip


@given(
    st.lists(st.sampled_from(["dog", "caf\u00e9", "red fox", "stra\u00dfe", "finch"]), min_size=2, max_size=6),
    st.data(),
)
def test_any_spelling_of_one_class_is_one_class_or_an_error(names, data):
    spelled = [data.draw(st.sampled_from(SPELLINGS))(name).strip() for name in names]
    try:
        parts = split_labels(spelled)
    except DataError:
        assert len(set(spelled)) > len(set(names))
    else:
        assert len({part for (part,) in parts}) == len(set(names))


@pytest.mark.parametrize("pair", [("1", "1.0"), ("01", "1"), ("red_fox", "red-fox"), ("dog", "dog\u00ad")])
def test_labels_that_look_alike_are_asked_about(pair):
    with pytest.raises(DataError, match="labels differ in spelling only"):
        split_labels([*pair, "cat"])
    assert len(split_labels(["-1", "1", "10", "a-b", "ab"])) == 5


@pytest.mark.parametrize("mark", ["/", "+", " & "])
def test_joined_labels_are_asked_about_where_a_part_is_a_label(mark):
    with pytest.raises(DataError, match="did you mean multi-label"):
        split_labels([f"dog{mark}cat", "Dog"])
    assert split_labels([f"dog{mark}cat", "horse"]) == [(f"dog{mark}cat",), ("horse",)]
    assert split_labels(["rock+roll", "roll"], "none") == [("rock+roll",), ("roll",)]


@given(st.sampled_from(["clips/0.wav", "clips/Caf\u00e9 1.wav"]), st.data())
def test_any_spelling_of_a_path_is_that_clip_or_an_error_that_shows_it(folder_of_two, name, data):
    ways = (
        str, lambda x: f"./{x}", lambda x: x.replace("/", "//"), lambda x: x.replace("/", "/../clips/"),
        lambda x: str(folder_of_two / x), lambda x: x.replace("/", "\\"), str.upper, str.lower,
        lambda x: unicodedata.normalize("NFD", x),
    )  # fmt: skip
    spelled = data.draw(st.sampled_from(ways))(name)
    table = folder_of_two / "my.csv"
    table.write_text(f"path,label\n{name},dog\nother.wav,cat\n")
    assert load(table).audio[0].samefile(folder_of_two / name)
    table.write_text(f"path,label\n{name},dog\n{spelled},cat\n")
    with pytest.raises(DataError) as caught:
        load(table)
    told = str(caught.value)
    assert "stands already on line 2" in told or f"did you mean {name!r}?" in told or "no such file" in told
    if spelled.startswith(("clips", ".", "/")):
        assert "stands already on line 2" in told or f"did you mean {name!r}?" in told


@pytest.fixture(scope="module")
def folder_of_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for name in ("clips/0.wav", "clips/Caf\u00e9 1.wav", "other.wav"):
        audio(folder, name)
    return folder


def test_groups_and_folds_are_not_guessed_either(table):
    clips = load(table("path,label,group\nclips/0.wav,dog,Anna\nclips/1.wav,cat,anna\n"))
    assert any("groups differ in spelling only" in note for note in clips.notes)
    for fold in ("1_0", "\u0661", "1.0", "+1"):
        with pytest.raises(DataError, match="is not a whole number"):
            load(table(f"path,label,fold\nclips/0.wav,dog,{fold}\nclips/1.wav,cat,1\n"))


def test_latin_1_names_the_byte_and_the_command(tmp_path):
    (tmp_path / "m.csv").write_bytes("path,label\na.wav,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"byte 0xe9 on line 2 .* iconv -f latin1 -t utf-8 m\.csv > m-utf8\.csv"):
        load(tmp_path / "m.csv")


def test_lengths_are_not_believed(table, tmp_path):
    """An MP3 file without a count of its frames begins quietly, a FLAC file says that it holds nothing."""
    sound = np.concatenate([np.zeros(16_000), np.random.default_rng(0).uniform(-0.5, 0.5, 16_000)])
    soundfile.write(tmp_path / "a.mp3", sound, 16_000, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[data.find(data[:2], data.find(b"Xing")) :])
    soundfile.write(tmp_path / "a.flac", sound, 16_000)
    flac = bytearray((tmp_path / "a.flac").read_bytes())
    flac[21:26] = (int.from_bytes(flac[21:26], "big") >> 36 << 36).to_bytes(5, "big")
    (tmp_path / "a.flac").write_bytes(flac)
    soundfile.write(tmp_path / "a.ogg", sound[:16_000], 16_000)
    (tmp_path / "a.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() * 2)
    for name, slack in (("a.mp3", 4 * 1152), ("a.flac", 0), ("a.ogg", 0)):
        clips = load(table(f"path,label\n{name},dog\nclips/0.wav,cat\n"))
        assert 32_000 <= clips.clip_samples <= 32_000 + slack


@pytest.mark.parametrize(
    "text", ["{0},label\nx,y\n", "path,label,split\n{0},dog,{0}\n", "path,label\nclips/0.wav,{0};dog\n"]
)
def test_a_message_is_not_as_long_as_an_endless_cell(table, text):
    with pytest.raises(DataError) as caught:
        load(table(text.format("x" * 100_000)))
    assert len(str(caught.value)) < 3_000
