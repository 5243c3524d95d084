"""What the text of a converted module says about HAGs."""


def noted(text: str, note: str) -> str:
    """The text of a module with a note, as if it were its last argument."""
    if not text.endswith(")"):
        return f"{text} ({note})"
    separator = "" if text.endswith("()") else ", "
    return f"{text[:-1]}{separator}{note})"
