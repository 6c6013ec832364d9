"""Questions to models: known once they were asked, in the shapes of the services, with errors that say what to do."""

from __future__ import annotations

import email.utils
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from standin import StandIn, chat, message, problem, standing_in

import stargazer as sg
from stargazer.errors import ArgumentError, Cancelled, ConfigError, ModelError
from stargazer.ledger import Ledger
from stargazer.prompts import Answer, Request, providers, render
from stargazer.prompts.providers import find_service
from stargazer.prompts.request import Turn

KEY, SECRET = "STARGAZER_TEST_API_KEY", f"key-of-nobody-{os.urandom(8).hex()}"  # the text of tests is kept as well
SCHEMA = {"type": "object", "required": ["genes"], "properties": {"genes": {"type": "array"}}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with standing_in() as found:
        yield found


@pytest.fixture
def model(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv(KEY, SECRET)
    said = {
        "lab": {"kind": "openai", "url": f"{server.url}/v1", "key": KEY},
        "other": {"kind": "anthropic", "url": server.url, "key": KEY},
    }
    server.gone.clear()
    with dask.config.set({"stargazer.prompts": {"providers": said, "budget": 5}}):
        yield server


def ask(text: str = "What is {{ gene }}?", name: str = "lab/small", **options: Any) -> Any:
    return sg.prompt(text, {"gene": "TP53"}, model=name, **options)


def test_a_question_is_asked_once_and_has_no_secret(model: StandIn, store: sg.Store) -> None:
    model.says(chat("A gene."))
    assert ask().compute() == "A gene."
    assert ask().compute() == "A gene."
    ((path, headers, body),) = model.asked
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {SECRET}")
    assert body == {
        "model": "small", "messages": [{"role": "user", "content": "What is TP53?"}], "max_tokens": 1024,
        "temperature": 0,
    }  # fmt: skip
    record = Ledger(store.records).find(ask().plan_key)
    assert record is not None
    assert record.reads == {}
    assert b"7 tokens read, 3 written" in store.read(str(record.log))
    assert not any(
        SECRET.encode() in path.read_bytes()
        for path in Path(store.url.removeprefix("file://")).rglob("*")
        if path.is_file()
    )


def test_words_and_options_make_the_key(model: StandIn, store: sg.Store) -> None:
    changes: list[dict[str, Any]] = [
        {}, {"text": "Which is {{ gene }}?"}, {"name": "lab/large"}, {"name": "other/small"}, {"temperature": 0.5},
        {"temperature": None}, {"max_tokens": 5}, {"system": "Be short."}, {"output": "json"}, {"schema": SCHEMA},
        {"output": "json", "validate_retries": 3},
    ]  # fmt: skip
    keys = [ask(**each).plan_key for each in changes]
    assert len(set(keys)) == len(keys)
    assert sg.prompt("What is TP53?", model="lab/small").plan_key == keys[0], "the rendered words count"


def test_messages_as_anthropic_has_them(model: StandIn, store: sg.Store) -> None:
    model.says(message('```json\n{"genes": ["TP53"]}\n```'))
    made = ask(name="other/large", schema=SCHEMA, system="Be short.", max_tokens=50).compute()
    assert made == {"genes": ["TP53"]}
    ((path, headers, body),) = model.asked
    assert path == "/v1/messages"
    assert (headers["x-api-key"], headers["anthropic-version"]) == (SECRET, "2023-06-01")
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("large", 50, 0)
    assert body["system"].startswith("Be short.\n\nAnswer with JSON alone that fits this JSON Schema")
    assert body["messages"] == [{"role": "user", "content": "What is TP53?"}]


def test_json_that_does_not_fit_is_asked_for_again(model: StandIn, store: sg.Store) -> None:
    model.says(chat("Genes!"), chat('{"genes": 1}'), chat('{"genes": []}'))
    assert ask(schema=SCHEMA, validate_retries=2).compute() == {"genes": []}
    assert model.asked[0][2]["response_format"]["json_schema"]["schema"] == SCHEMA
    turns = model.asked[2][2]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert "$.genes" in turns[-1]["content"]
    model.says(chat("Genes!"))
    with pytest.raises(ModelError, match="no such JSON as is asked for: it is no JSON"):
        ask(output="json", validate_retries=0).compute()
    model.says(chat('[1, {"a": null}]'))
    assert ask(output="json").compute() == [1, {"a": None}]
    assert model.asked[0][2]["response_format"] == {"type": "json_object"}


def test_what_goes_wrong_is_told(model: StandIn, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(*replies: Any, **options: Any) -> str:
        model.says(*replies)
        with pytest.raises(ModelError) as found:
            ask(**options).compute()
        assert SECRET not in str(found.value)
        return str(found.value)

    assert f"the key in {KEY}" in error(problem(401, f"wrong key {SECRET}"))
    assert "has no small" in error(problem(404, "no such model"))
    assert "refuses the request (400): temperature" in error(problem(400, "temperature"))
    assert "refused to answer: I would rather not" in error(chat(None, refusal="I would rather not"))
    assert "refused to answer" in error(chat("", "content_filter"))
    assert "refused to answer" in error(message("No.", "refusal"), name="other/small")
    assert "cut off after 9 tokens (max_tokens)" in error(chat("A ge", "length"), max_tokens=9)
    assert "cut off after 9 tokens" in error(message("A ge", "max_tokens"), name="other/small", max_tokens=9)
    assert "an empty answer" in error(chat(" "))
    assert "no JSON" in error((200, {}, "<html>"))
    assert "NaN is no number of JSON" in error(chat('{"a": NaN}'), output="json", validate_retries=0)
    assert "which is no text" in error((200, {}, {"choices": [{"message": {"content": [{"text": "A"}]}}]}))
    odd = {"choices": [{"message": {"content": "A"}, "finish_reason": "length"}], "usage": 5}
    assert "cut off" in error((200, {}, odd))
    assert "sent no choice" in error((200, {}, {"choices": []}))
    assert "sent no message" in error((200, {}, {"type": "message"}), name="other/small")
    monkeypatch.delenv(KEY)
    assert f"set the environment variable {KEY}" in error(chat("A gene."))
    model.says(chat("A gene."))
    monkeypatch.setenv(KEY, SECRET)
    assert ask().compute() == "A gene.", "no failure is remembered"


def test_busy_services_are_waited_for_within_the_budget(model: StandIn, store: sg.Store) -> None:
    soon = email.utils.format_datetime(email.utils.localtime())
    model.says(
        problem(429, "slow down", Retry_After="0"), problem(529, "overloaded", Retry_After=soon), chat("A gene.")
    )
    assert ask().compute() == "A gene."
    assert len(model.asked) == 3
    model.says(problem(429, "slow down", Retry_After="3600"))
    with pytest.raises(ModelError, match=r"says to wait 3600 s, of 5 s that are left .*slow down"):
        ask("And {{ gene }}?").compute()
    assert len(model.asked) == 1


def test_a_question_that_is_cancelled_is_hung_up(model: StandIn) -> None:
    model.says((200, {}, "hang"))
    asked = Request("lab", "small", (Turn("user", "x"),), url=f"{model.url}/v1", cancelled=lambda: bool(model.asked))
    with pytest.raises(Cancelled):
        providers.openai(asked)
    assert model.gone.wait(60)


def test_packages_offer_providers(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(request: Request) -> Answer:
        return Answer(request.turns[-1].text.upper(), model="echo")

    monkeypatch.setattr(providers.plugins, "find", lambda group, name: echo if name == "echo" else None)
    assert sg.prompt("a {{ x }}", {"x": "b"}, model="echo/any").compute() == "A B"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "small"}, "SERVICE/MODEL"),
        ({"name": "labs/small"}, "there is no service labs"),
        ({"temperature": 3}, "temperature=3"),
        ({"max_tokens": 0, "validate_retries": -1}, "max_tokens=0.*validate_retries=-1"),
        ({"output": "schema"}, "there is none"),
        ({"schema": {"type": "thing"}}, "no JSON Schema"),
        ({"schema": {"type": object}}, "no JSON"),
        ({"text": " "}, "empty"),
        ({"text": "{{ gen }}"}, "NameError"),
        ({"text": "{{ 1 + }}"}, "no expression"),
        ({"text": "{{ 'x' * 2_000_000 }}"}, "characters"),
    ],
)
def test_wrong_questions_are_told_before_anybody_is_asked(model: StandIn, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        ask(**options)


def test_settings_are_checked(model: StandIn) -> None:
    for wrong in ({"url": "x"}, {"url": "http://me:pw@host/"}, {"key": "sk-secret"}, {"kind": "none"}, {"more": 1}):
        said = {"kind": "openai", "url": "http://localhost/v1", **wrong}
        with dask.config.set({"stargazer.prompts": {"providers": {"lab": said}}}), pytest.raises(ConfigError) as error:
            find_service("lab/small")
        assert "sk-secret" not in str(error.value)
        assert "pw" not in str(error.value)


def test_values_have_texts_that_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pd, np = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    frame = pd.DataFrame({"gene": ["TP53"] * 3, "n": range(3)})
    with pd.option_context("display.max_rows", 1):
        assert render("{{ frame.head(2) }}", {"frame": frame}) == "   gene  n\n0  TP53  0\n1  TP53  1"
    given = {"a": np.arange(3), "b": {"x": [1, None]}, "c": 1.5, "d": "ü"}
    assert render("{{ a }} {{b}} {{ c }} {{ d }} {{ '{{' }}", given) == '[0, 1, 2] {"x": [1, null]} 1.5 ü {{'
    for value in (object(), {1, 2}, iter([])):
        with pytest.raises(ArgumentError, match="differs from run to run"):
            render("{{ x }}", {"x": value})
    monkeypatch.setenv(KEY, SECRET)
    with pytest.raises(ArgumentError, match="a secret of the environment"):
        render("{{ x }}", {"x": f"say {SECRET}"})


NOTEBOOK = '''# %%
import pandas as pd
SCHEMA = {{"type": "object", "required": ["n"]}}

# %%
frame = pd.DataFrame({{"a": {values}}})
organ = "liver"

# %%
# @prompt
# @model lab/small
# @system You know {{{{ organ }}}}.
# @output schema SCHEMA
# @max_tokens 40
found = """Count:
{{{{ frame.head(2) }}}}"""

# %%
doubled = found["n"] * 2
'''


def notebook(values: list[int]) -> sg.Notebook:
    Path("book.py").write_text(NOTEBOOK.format(values=values))
    return sg.Notebook("book.py")


def test_prompt_cells(model: StandIn, store: sg.Store) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    model.says(chat('{"n": 2}'))
    book = notebook([1, 2, 3]).run()
    assert (book["found"], book["doubled"]) == ({"n": 2}, 4)
    ((_, _, body),) = model.asked
    assert body["messages"][0] == {"role": "system", "content": "You know liver."}
    assert body["messages"][1]["content"] == "Count:\n   a\n0  1\n1  2"
    assert body["max_tokens"] == 40
    again = notebook([1, 2, 3]).run()
    assert [row.state for row in again.report.rows[2:]] == ["known", "known"]
    same = notebook([1, 2, 4]).run()
    assert [row.state for row in same.report.rows[1:]] == ["ran", "known", "known"], "the words are the same"
    assert len(model.asked) == 1
    assert "'n': 2" in json.dumps(same.report.rows[2].outputs)


def test_plans_and_failures_of_prompt_cells(model: StandIn, store: sg.Store) -> None:
    pytest.importorskip("pandas")
    model.says(problem(400, "no"))
    plan = notebook([5]).plan()
    assert [row.state for row in plan.rows[1:]] == ["run", "run", "run"]
    assert model.asked == []
    rows = notebook([5]).run().report.rows
    assert [row.state for row in rows[1:]] == ["ran", "failed", "skipped"]
    assert "refuses the request" in rows[2].why[0]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("# @prompt\nx = 'a'", "@prompt wants a model"),
        ("# @prompt\n# @model lab/small\nx = 1", "a cell of @prompt is one line"),
        ("# @prompt\n# @model lab/small\n# @cpus 4\nx = 'a'", "@cpus does not go with @prompt"),
        ("# @model lab/small\nx = 'a'", "stands without @prompt"),
        ("# @prompt\n# @model lab/small\nx = '{{ nobody }}'", "reads nobody, which no cell defines"),
        ("# @prompt\n# @model lab/small\n# @output yaml\nx = 'a'", "@output yaml"),
        ("# @prompt\n# @model lab/small\nx = '{{ 1 + }}'", "no expression"),
    ],
)
def test_cells_that_are_no_questions(cell: str, told: str, tmp_path: Path) -> None:
    from stargazer.notebook.document import read_document
    from stargazer.notebook.order import check_cells

    path = tmp_path / "book.py"
    path.write_text(f"# %%\n{cell}\n")
    document = read_document(path)
    wrong = [*check_cells(document), *(each.message for cell in document.cells for each in cell.problems)]
    assert any(told in each for each in wrong), wrong
