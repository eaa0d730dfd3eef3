"""Checks of single values, which name the field, the value and the limit."""

from imagemill.errors import invalid

MAX_PROMPT = 10_000  # characters
LONGEST_URL = 8192  # characters
LONGEST_NAME = 512  # characters of an id of a model, or of what has a name


def check_length(name: str, text: str, limit: int, what: str = "") -> None:
    """Raises a Fault where a text has more than `limit` characters. what: it is, where its name
    says nothing to a caller.
    """
    if len(text) > limit:
        message = f"{what or name} has {len(text)} characters; at most {limit} are read"
        raise invalid(name, message)


def check_text(name: str, text: str) -> None:
    check_length(name, text, MAX_PROMPT)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can bring what no file and no tokenizer can hold
        raise invalid(name, f"{name} has half of a surrogate pair; send whole ones") from None


def check_range(name: str, value: float, low: float, high: float) -> None:
    if low <= value <= high:  # never true of NaN
        return
    # Python refuses to write out an integer of thousands of digits, which JSON can bring.
    bits = value.bit_length() if isinstance(value, int) else 0
    shown = f"of {bits} bits" if bits > 100 else str(value)
    raise invalid(name, f"{name} {shown} is out of range; give {low} to {high}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise invalid(name, f"unknown {name} {value!r:.80}; one of {', '.join(choices)}")
