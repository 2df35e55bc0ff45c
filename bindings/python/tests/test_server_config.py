"""Configurations that cannot be: what is wrong, where, and what to do instead."""

from __future__ import annotations

import dataclasses
import errno
import pickle
from pathlib import Path

import pytest
import trimtab
from conftest import ROOT
from peers import config
from trimtab import ConfigError, Problem, Server

WRONG = """\
[[listener]]
name = "web"
bind = "*:80"
pool = "ap"

[[pool]]
name = "app"
backend = [{ address = "10.0.0.1:80", wieght = 2 }]
"""


def test_everything_wrong_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        Server(WRONG, source="site.toml")
    error = caught.value
    assert isinstance(error, ValueError) and error.status == -14
    places = [(problem.source, problem.line, problem.column) for problem in error.problems]
    assert places == [("site.toml", 3, 8), ("site.toml", 4, 8), ("site.toml", 8, 39)]
    first, second, third = error.problems
    assert str(first).startswith('site.toml:3:8: bind "*:80" names no address; write 0.0.0.0:80')
    assert second == Problem("site.toml", 4, 8, 'there is no pool named "ap"', 'did you mean "app"?')
    assert 'unknown key "wieght"' in third.message and third.hint == 'did you mean "weight"?'
    assert str(second) == 'site.toml:4:8: there is no pool named "ap"; did you mean "app"?'
    assert str(error) == f"{first} (and 2 more)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.line = 1  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ConfigError and str(again) == str(error) and again.problems == error.problems


def test_a_problem_without_a_place() -> None:
    with pytest.raises(ConfigError) as caught:
        Server("")
    (problem,) = caught.value.problems
    assert (problem.source, problem.line, problem.column) == ("<string>", 0, 0)
    assert str(caught.value) == str(problem) == f"<string>: {problem.message}; {problem.hint}"


def test_text_that_is_no_toml() -> None:
    with pytest.raises(ConfigError) as caught:
        Server("[[listener]\n")
    assert [(problem.line, len(problem.message) > 0) for problem in caught.value.problems] == [(1, True)]


def test_columns_count_characters() -> None:
    with pytest.raises(ConfigError) as caught:
        Server('listener = [{ name = "ééé", bind = 1 }]')
    assert any(problem.column == 36 for problem in caught.value.problems), caught.value.problems


def test_what_is_told_has_a_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        Server("".join(f"key{n} = 1\n" for n in range(1000)))
    problems = caught.value.problems
    assert 100 <= len(problems) <= 101 and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="more than 16777216 bytes"):
        Server("#" * ((16 << 20) + 1))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "missing.toml", errno.ENOENT), (tmp_path, errno.EISDIR)):
        with pytest.raises(trimtab.IoError, match="cannot read the configuration") as caught:
            Server.from_file(path)
        assert isinstance(caught.value, OSError) and caught.value.errno == code
        assert str(path) in str(caught.value)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(WRONG, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"^{wrong}:3:8: "):
        Server.from_file(wrong)
    wrong.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=f"^{wrong}:2:6: .* is not UTF-8"):
        Server.from_file(str(wrong))


def test_arguments_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match="argument 'config': str wanted, not bytes"):
        Server(b"")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument 'config': str wanted, not PosixPath"):
        Server(Path("trimtab.toml"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument 'source': str wanted, not int"):
        Server("", source=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument 'on_event': a function of one Event wanted, not int"):
        Server(config(), on_event=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Server.from_file(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Server(config(), "source")  # type: ignore[call-arg]
    with pytest.raises(trimtab.InvalidArgumentError, match="invalid config: .*surrogate"):
        Server("\ud800")


def test_the_documented_configuration_is_right() -> None:
    server = Server.from_file(ROOT / "examples" / "trimtab.toml")
    assert repr(server) == "<trimtab.Server state=new listeners=web,cache>"
    assert server.pool("app").find("app-01") == 1
    server.close()


def test_errors_of_the_system_have_its_number() -> None:
    assert trimtab.IoError(errno.ENOENT, "why").errno == errno.ENOENT
    assert trimtab.IoError("why").errno is None and str(trimtab.IoError("why")) == "why"
    for kind, built_in in (
        (trimtab.TimedOutError, TimeoutError),
        (trimtab.IoError, OSError),
        (trimtab.ConfigError, ValueError),
        (trimtab.StateError, RuntimeError),
        (trimtab.ForkedError, RuntimeError),
        (trimtab.UnsupportedError, NotImplementedError),
        (trimtab.CorruptError, ValueError),
    ):
        assert issubclass(kind, built_in) and issubclass(kind, trimtab.TrimtabError)
