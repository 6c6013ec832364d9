"""Every word that goes to a model is what was meant, and none is a secret."""

from __future__ import annotations

from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError

SECRET = "a-secret-of-twenty-four-characters"


@pytest.mark.parametrize(
    "options",
    [{"template": SECRET}, {"system": f"use {SECRET}"}, {"schema": {"const": SECRET}}, {"values": {"word": SECRET}}],
    ids=lambda each: next(iter(each)),
)
def test_no_secret_of_the_environment_goes_to_a_model(
    store: sg.Store, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    if "schema" in options:
        pytest.importorskip("jsonschema")
    asked = {"template": "{{ word }}", "values": {"word": "x"}, **options}
    with pytest.raises(ArgumentError, match="secret of the environment"):
        sg.prompt(asked.pop("template"), asked.pop("values"), model="openai/gpt", **asked)


def test_what_stands_above_is_filled_in(store: sg.Store) -> None:
    call = sg.prompt("{{ n }}", {"n": 1, "organ": "liver"}, model="openai/gpt", system="You know the {{ organ }}.")
    assert (call.parameters["text"], call.parameters["system"]) == ("1", "You know the liver.")
    with pytest.raises(ArgumentError, match="organ"):
        sg.prompt("x", model="openai/gpt", system="You know the {{ organ }}.")


@pytest.mark.parametrize("text", ["name {{ gene", "name {{ gene }", "{{ a }} and {{ b"])
def test_braces_that_are_not_closed_are_no_words(store: sg.Store, text: str) -> None:
    for options in ({"template": text}, {"template": "x", "system": text}):
        with pytest.raises(ArgumentError, match="without"):
            sg.prompt(options.pop("template"), {"a": 1, "b": 2, "gene": 3}, model="openai/gpt", **options)


def test_braces_may_be_words(store: sg.Store) -> None:
    words = sg.prompt('{{ "{{" }} {"a": {"b": 1}} {{ x }}', {"x": "{{ y"}, model="openai/gpt").parameters["text"]
    assert words == '{{ {"a": {"b": 1}} {{ y'
