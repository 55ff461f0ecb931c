r"""How a row stands on the labelling page, and how it is read back after a person edited it.

A single text stands as it is. A dialogue stands with a line for each turn, the speaker before it:

    user: 我要查话费
    agent: 好的，请稍等

A further line of the same turn that would look like a new one, or that begins with a backslash, gets a backslash before it.
Browsers turn every line end into `\n`: a turn that a person left alone keeps those that it had.
"""

import re
from collections.abc import Sequence

from workbench.records import Turn


def shown(turns: Sequence[Turn]) -> str:
    """The text of a row for people; `read` is its inverse."""
    if len(turns) == 1:
        return turns[0].text
    pattern = _speaker(turns)
    return "\n".join(f"{turn.role}: {_escaped(turn.text, pattern)}" for turn in turns)


def read(text: str, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns of a text that was edited, where `turns` are those that it showed.

    Full-width colons are understood. A turn at the place of one by the same speaker keeps its tags.

    Raises:
        ValueError: slug and sentence, where nothing or an empty turn is left.
    """
    if len(turns) == 1:
        found = [(turns[0].role, text)]
    else:
        pattern = _speaker(turns)
        found = []
        for line in text.split("\n"):
            match = pattern.match(line)
            if match:
                found.append((match["role"], line[match.end() :]))
            elif found:
                found[-1] = (found[-1][0], f"{found[-1][1]}\n{line[1:] if line.startswith(BACKSLASH) else line}")
            elif line.strip():  # someone deleted the first speaker's name
                found.append((turns[0].role, line))
    if not found or not any(said.strip() for _, said in found):
        raise ValueError("empty_edit", "Nothing is left of the text.")
    return tuple(_turn(role, said, turns[i] if i < len(turns) else None) for i, (role, said) in enumerate(found))


def _turn(role: str, said: str, before: Turn | None) -> Turn:
    if before is None or before.role != role:
        return Turn(role, said)
    return before if plain(said) == plain(before.text) else Turn(role, said, before.tags)


def plain(text: str) -> str:
    """The text with the line ends that a browser gives back."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


BACKSLASH = "\\"


def _speaker(turns: Sequence[Turn]) -> re.Pattern[str]:
    # The longest first: of `user` and `user: a` the latter names itself whole.
    roles = sorted({turn.role for turn in turns}, key=lambda role: (-len(role), role))
    return re.compile(f"(?P<role>{'|'.join(map(re.escape, roles))})[:：] ?")


def _escaped(text: str, speaker: re.Pattern[str]) -> str:
    first, *others = text.split("\n")
    return "\n".join(
        [first, *(f"\\{line}" if line.startswith(BACKSLASH) or speaker.match(line) else line for line in others)]
    )
