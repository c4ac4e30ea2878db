# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in answers: canned, but in the question's language and about the picture that was sent."""

from __future__ import annotations

import random
import re

from . import picture

CHINESE_SELF = (
    "你好！我是通义千问（Qwen3.5），由阿里云通义千问团队研发的大型多模态语言模型。我可以理解和生成中文、英文等多种语言的文本，"
    "回答问题、撰写文章、编写代码、进行数学推理，也可以看懂图片并描述其中的内容。如果你有任何问题，欢迎随时告诉我。"
)
ENGLISH_SELF = (
    "Hello! I am Qwen3.5, a large multimodal language model developed by the Qwen team of Alibaba Cloud. "
    "I understand and write many languages, answer questions, reason about mathematics, write code, "
    "and can look at pictures and describe what they show. How can I help you today?"
)
CHINESE_OTHER = (
    "好的。关于这个问题，可以从以下几个方面来看：首先明确目标，其次分析现有条件，最后逐步给出可行的方案并加以验证。"
)
ENGLISH_OTHER = (
    "Sure. Let us look at this step by step: first make the goal clear, then see what is given, "
    "and finally work out a solution and check it."
)
SELF_WORDS = re.compile(
    r"介绍.{0,6}自己|你是谁|自我介绍|introduce yourself|who are you|about yourself|your name", re.IGNORECASE
)
TOKENS = re.compile(r"[一-鿿　-〿＀-￯]|[A-Za-z0-9_'’.-]+|[^\sA-Za-z0-9_]")
SUM = re.compile(r"(\d{1,9})\s*([-+*×])\s*(\d{1,9})")


def is_chinese(text: str) -> bool:
    return re.search(r"[一-鿿]", text) is not None


def count_tokens(text: str) -> int:
    """About as many as a tokenizer would find: a Chinese character or a word is one."""
    return len(TOKENS.findall(text))


def split_tokens(text: str) -> list[str]:
    """The text in pieces of one token each; together they are the text."""
    pieces: list[str] = []
    place = 0
    for match in TOKENS.finditer(text):
        pieces.append(text[place : match.end()])
        place = match.end()
    if place < len(text):
        if pieces:
            pieces[-1] += text[place:]
        else:
            pieces.append(text)
    return pieces


def about_picture(shown: list[picture.Picture], question: str) -> str:
    sentences = []
    for one in shown:
        text = picture.read_text(one)
        if text is not None and is_chinese(question):
            sentences.append(f"图中的文字是“{text}”。")
        elif text is not None:
            sentences.append(f'The text in the picture is "{text}".')
        else:
            sentences.append(picture.describe(one))
    return " ".join(sentences)


def answer(question: str, pictures: list[picture.Picture] | None = None) -> str:
    """One sensible answer."""
    if pictures:
        return about_picture(pictures, question)
    if SELF_WORDS.search(question):
        return CHINESE_SELF if is_chinese(question) else ENGLISH_SELF
    match = SUM.search(question)
    if match:
        left, right = int(match[1]), int(match[3])
        result = {"+": left + right, "-": left - right}.get(match[2], left * right)
        return f"{match[1]} {match[2]} {match[3]} = {result}"
    return CHINESE_OTHER if is_chinese(question) else ENGLISH_OTHER


def garbled(tokens: int) -> str:
    """What a wrong image or a broken kernel makes of an answer."""
    source = random.Random(7)
    alphabet = "!!!!!,,的ับ�0ⴰ}{/\\iﾂ\u200b"
    return "".join(source.choice(alphabet) for _ in range(max(1, tokens)))


def lengthened(text: str, tokens: int) -> list[str]:
    """Exactly so many pieces, whatever the text says (``ignore_eos``)."""
    pieces = split_tokens(text + " ")
    repeated = pieces * (tokens // len(pieces) + 1)
    return repeated[:tokens]
