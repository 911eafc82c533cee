"""As much of ClickHouse's lexer as is needed to tell an insert's text from its data, and one statement from two."""

import re

from .errors import not_implemented, syntax

_TOKEN = re.compile(
    rb"""(?P<ws>\s+|--[^\n]*\n?|\#[!\ ][^\n]*\n?|/\*.*?\*/)
 |(?P<str>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.|``)*`)
 |(?P<here>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
 |(?P<word>[A-Za-z_]\w*)
 |(?P<num>\d[\w.]*)
 |(?P<op>.)""",
    re.X | re.S,
)


def tokens(text: bytes):
    """Yields (kind, token, depth of brackets, start, end); blanks and comments are left out."""
    depth, at = 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        kind = "here" if found.lastgroup == "tag" else found.lastgroup
        token = found.group()
        if kind == "op":
            depth += (token in b"([{") - (token in b")]}")
        if kind != "ws":
            yield kind, token, depth, found.start(), found.end()
        at = found.end()


def _data_begins(text: bytes, at: int) -> int:
    """Where data begin after `FORMAT x`: blanks, a semicolon and one line's end are skipped, as the server does."""
    while text[at : at + 1] and text[at : at + 1] in b" \t\f":
        at += 1
    for mark in (b";", b"\r", b"\n"):
        if text[at : at + 1] == mark:
            at += 1
    return at


def split_insert(text: bytes):
    """An INSERT's (statement, format, where its data begin); the format is None as long as none was seen.

    None for any other statement, and for inserts that bring no data (SELECT).
    """
    format_at = None
    first = True
    for kind, token, depth, start, end in tokens(text):
        if first:
            if kind != "word" or token.upper() != b"INSERT":
                return None
            first = False
        elif format_at is not None:
            return text[:format_at].decode(), token.decode(), _data_begins(text, end)
        elif kind == "word" and depth == 0:
            word = token.upper()
            if word in (b"SELECT", b"WITH", b"WATCH"):
                return None
            if word == b"INFILE":
                raise not_implemented("INSERT ... FROM INFILE is a client feature, not for HTTP")
            if word == b"VALUES":
                return text[:start].decode(), "Values", end
            if word == b"FORMAT":
                format_at = start
    return None if first else (text.decode(), None, len(text))


def single(sql: str) -> str:
    """The statement without its semicolon; an error if another one follows."""
    text, end = sql.encode(), None
    for kind, token, depth, start, _ in tokens(text):
        if end is not None:
            raise syntax(
                f"Syntax error (Multi-statements are not allowed): failed at position {end + 1} (end of query)"
            )
        if kind == "op" and token == b";" and depth == 0:
            end = start
    return sql if end is None else text[:end].decode()


def first_word(sql: str) -> str:
    """SELECT, KILL, …; empty if the text does not begin with a word or brackets."""
    for kind, token, *_ in tokens(sql.encode()):
        if kind == "word":
            return token.upper().decode()
        if token != b"(":
            break
    return ""


def output_format(sql: str, default: str) -> str:
    """What `FORMAT x` at the end says."""
    previous, found = None, None
    for kind, token, depth, _, _ in tokens(sql.encode()):
        if depth == 0 and previous == b"FORMAT" and kind == "word":
            found = token.decode()
        previous = token.upper() if kind == "word" and depth == 0 else None
    return found or default


def literal(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A quoted identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def kill_by_comment(sql: str) -> str:
    """The client's query id is kept as `log_comment`, which is how KILL QUERY finds it."""
    return re.sub(r"\bquery_id\s*=\s*('(?:[^'\\]|\\.)*')", r"Settings['log_comment'] = \1", sql)
