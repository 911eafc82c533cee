"""Exceptions with ClickHouse's codes, and the HTTP status that the server answers for each."""

import re

_STATUS_NAMES = {
    400: """
        BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE CANNOT_PARSE_QUOTED_STRING
        CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_UUID DUPLICATE_COLUMN
        ILLEGAL_COLUMN UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST
        UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE""",
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    404: """
        UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE UNKNOWN_SETTING
        UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT UNKNOWN_DATABASE_ENGINE
        UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE""",
    408: "TIMEOUT_EXCEEDED",
    411: "HTTP_LENGTH_REQUIRED",
    413: "QUERY_IS_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
}
# The server's own table; everything else is 500.
STATUS = {name: status for status, names in _STATUS_NAMES.items() for name in names.split()}

# Code -> name, told by the engine when it starts.
NAME_OF: dict[int, str] = {}


class ClickHouseError(Exception):
    """An error as the server would answer it."""

    def __init__(self, code: int, name: str, text: str, status: int | None = None):
        super().__init__(text)
        self.code, self.name, self.text = code, name, text
        self.status = status or STATUS.get(name, 500)

    def body(self, version: str) -> bytes:
        return f"Code: {self.code}. DB::Exception: {self.text} ({self.name}) (version {version})\n".encode()


def from_engine(error: BaseException) -> ClickHouseError:
    """The engine raises text: `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`."""
    found = re.search(r"Code:\s*(\d+)\.\s*(?:DB::Exception:\s*)?(.*)", str(error), re.S)
    if not found:
        return ClickHouseError(1001, "STD_EXCEPTION", str(error))
    code, rest = int(found.group(1)), found.group(2)
    rest = re.sub(r"\s*\(version [^)]*\)\s*$", "", rest)
    name = re.search(r"\s*\(([A-Z][A-Z0-9_]+)\)\s*$", rest)
    text = rest[: name.start()] if name else rest
    return ClickHouseError(code, NAME_OF.get(code) or (name.group(1) if name else "UNKNOWN_EXCEPTION"), text)


def syntax(text: str) -> ClickHouseError:
    return ClickHouseError(62, "SYNTAX_ERROR", text)


def not_implemented(text: str) -> ClickHouseError:
    return ClickHouseError(48, "NOT_IMPLEMENTED", text)


def readonly() -> ClickHouseError:
    return ClickHouseError(
        164,
        "READONLY",
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
        " You should use method POST for modifying queries.",
    )
