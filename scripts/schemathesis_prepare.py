"""Narrows the API's document by what no schema can say: what there is on this server.

    schemathesis_prepare.py URL TOKEN FOLDER

Reads FOLDER/run and FOLDER/failed (two runs), makes a user and a token to play with, and writes FOLDER/openapi.json. Values
outside of what is written there are still asked for, and have to be refused.
"""

import json
import sys
import urllib.request

url, token, folder = sys.argv[1:]
base = "/api/v1"


def ask(method, path, body=None):
    """The answer to a request, as JSON."""
    request = urllib.request.Request(
        url + base + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    return json.load(urllib.request.urlopen(request, timeout=30))


document = ask("GET", "/openapi.json")
runs = [json.load(open(f"{folder}/{name}"))["id"] for name in ("run", "failed")]
password = "a long enough phrase 1"
ask("POST", "/users", {"name": "fuzzed", "role": "viewer", "password": password})
spare = ask("POST", "/tokens", {"name": "spare", "role": "viewer"})["id"]
kinds = {kind["kind"]: kind["schema"] for kind in ask("GET", "/connections/kinds")["items"]}

PATH = {
    "run": runs,
    "workflow": ["hello", "e2e_report"],
    "task": ["greet", "validate"],
    "n": [1],
    "version": [1],
    "id": [spare],
    "name": {"/users": ["fuzzed"], "/connections": ["shop"]},
}
QUERY = {"zone": ["UTC", "Europe/Berlin", "Asia/Kathmandu"]}


def narrow_path(path, parameter):
    values = PATH.get(parameter["name"])
    if isinstance(values, dict):
        values = next((found for prefix, found in values.items() if path.startswith(base + prefix)), None)
    if values:
        parameter["examples"] = {str(i): {"value": value} for i, value in enumerate(values)}
        parameter["schema"] = {"anyOf": [{"enum": values}, parameter["schema"]]}


for path, item in document["paths"].items():
    for operation in item.values():
        kept = []
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                narrow_path(path, parameter)
            elif name == "cursor":
                # Its form is nobody's business: what decodes is a cursor, what does not is refused, and no schema tells which.
                continue
            elif name in QUERY:
                parameter["schema"] = {"enum": QUERY[name]}
            kept.append(parameter)
        if "parameters" in operation:
            operation["parameters"] = kept

schemas = document["components"]["schemas"]


def fields(name):
    return schemas[name]["properties"]


# Both workflows have defaults for all they take, and neither takes the other's.
fields("NewRun")["params"] = {"type": ["object", "null"], "additionalProperties": False}
fields("RetryRequest")["tasks"] = {"type": "null"}
fields("RetryRequest")["what"] = {"enum": ["failed", "all", None]}
# Passwords are judged by what they look like; null is none.
for name, field in [("NewUser", "password"), ("UserChange", "password")]:
    fields(name)[field] = {"enum": [password, None]}
scopes = {operation.get("x-permission") for item in document["paths"].values() for operation in item.values()}
fields("NewToken")["scopes"] = {"type": ["array", "null"], "items": {"enum": sorted(scopes - {"public", "known", None})}}
fields("NewConnection")["kind"] = {"enum": ["http"]}
# A field that is null is unset.
http = kinds["http"]
optional = http["properties"].keys() - set(http.get("required", []))
http["properties"] |= {name: {"anyOf": [http["properties"][name], {"type": "null"}]} for name in optional}
fields("NewConnection")["fields"] = http
json.dump(document, open(f"{folder}/openapi.json", "w"))
