"""Chat templates that would give a conversation another text tomorrow."""

import pytest

from lnt_core.data.chat_template import ChatTemplate
from lnt_core.errors import ConfigError
from tests.families import CHATML, LLAMA_3, byte_level

TURNS = [("What is there?", "A circle.")]
DATED = (  # as LLaMA-3.2's own
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}"
    "{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}"
    "{{- 'Today Date: ' + date_string }}"
)
UNSTABLE = {
    DATED: "the date of today (`strftime_now`)",
    "{{ ['Hi', 'Hello'] | random }}": "something drawn at random (`random`)",
    "{{ lipsum(n=1) }}": "text drawn at random (`lipsum`)",
}
STABLE = [
    "{# strftime_now() #}",
    "strftime_now() | random ",
    "{{ 'lipsum()' }}",
    "{% if strftime_now is defined %}{% endif %}",
    "{% set random = 1 %}{{ random }}",
    "{% generation %}{% endgeneration %}",
]


@pytest.fixture
def tokenizer(tmp_path):
    made = byte_level(tmp_path)
    made.add_special_tokens({"bos_token": "<|begin_of_text|>", "eos_token": "<|im_end|>"})
    return made


@pytest.mark.parametrize("part", UNSTABLE)
@pytest.mark.parametrize("named", [False, True], ids=["alone", "named"])
def test_a_template_that_changes_by_itself_is_refused(part, named, tokenizer) -> None:
    whole = part + LLAMA_3
    tokenizer.chat_template = {"default": whole, "tool_use": CHATML} if named else whole
    with pytest.raises(ConfigError) as found:
        ChatTemplate(tokenizer, None, "<image>")
    assert f"the model's template writes {UNSTABLE[part]} into conversations" in str(found.value)


@pytest.mark.parametrize("part", STABLE)
def test_a_template_that_only_mentions_such_things_is_not(part, tokenizer) -> None:
    tokenizer.chat_template = part + CHATML
    segments = ChatTemplate(tokenizer, None, "<image>").segments(TURNS)
    assert ("A circle.<|im_end|>", True) in segments


def test_a_template_that_ends_the_last_answer_alone_is_refused(tokenizer) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}"
        "{% if loop.last %}<|im_end|>{% endif %}{% endfor %}"
    )
    with pytest.raises(ConfigError, match="after the last answer only"):
        ChatTemplate(tokenizer, None, "<image>").segments([("A?", "B."), *TURNS])
