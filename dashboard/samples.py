"""Connection strings and programs that send a request through a proxy. Pure."""

from __future__ import annotations

import json
import shlex
from typing import Final, NamedTuple
from urllib.parse import quote

NO_PASSWORD: Final = "YOUR_PASSWORD"  # noqa: S105  # a placeholder
NO_ENDPOINT: Final = "PROXY_HOST:PORT"
TARGET: Final = "https://example.com/"


class CodeSample(NamedTuple):
    """``id`` identifies it on its page, ``label`` is its title.

    ``password`` says how a password is written in place of ``NO_PASSWORD``: percent-encoded (``url``), in a string
    literal (``literal``), or as it is (``plain``).
    """

    id: str
    label: str
    text: str
    password: str = ""


def connection_strings(endpoint: str, login: str) -> list[CodeSample]:
    """Connection strings in common notations. Parts are not quoted where a notation has no quoting."""
    url = f"http://{quote(login, safe='')}:{NO_PASSWORD}@{endpoint}"
    return [
        CodeSample("url", "URL", url, "url"),
        CodeSample("list", "host:port:user:password", f"{endpoint}:{login}:{NO_PASSWORD}", "plain"),
        CodeSample("at", "user:password@host:port", f"{login}:{NO_PASSWORD}@{endpoint}", "plain"),
    ]


def programs(endpoint: str, login: str) -> list[CodeSample]:
    """The same request with curl, and in Python, Node.js and Go."""
    # curl decodes the escapes. The quotes protect what a customer writes in place of the password.
    curl = f"curl -x {shlex.quote(f'http://{endpoint}')} -U '{quote(login, safe='')}:{NO_PASSWORD}' {TARGET}"
    # requests sends Latin-1, so UTF-8 bytes are given as Latin-1 characters.
    user = quote(login.encode().decode("latin-1"), safe="")
    python = f"""# pip install requests
from urllib.parse import quote

import requests

password = quote("{NO_PASSWORD}", safe="")
proxy = f"http://{user}:{{password}}@{endpoint}"
response = requests.get("{TARGET}", proxies={{"http": proxy, "https": proxy}}, timeout=30)
print(response.status_code)"""
    node = f"""// npm install undici
import {{ ProxyAgent, fetch }} from "undici";

const credentials = Buffer.from({_text(f"{login}:{NO_PASSWORD}")}).toString("base64");
const dispatcher = new ProxyAgent({{ uri: {_text(f"http://{endpoint}")}, token: `Basic ${{credentials}}` }});
const response = await fetch("{TARGET}", {{ dispatcher }});
console.log(response.status);"""
    go = f"""package main

import (
	"fmt"
	"net/http"
	"net/url"
)

func main() {{
	user := url.UserPassword({_text(login)}, "{NO_PASSWORD}")
	proxy := &url.URL{{Scheme: "http", User: user, Host: {_text(endpoint)}}}
	client := &http.Client{{Transport: &http.Transport{{Proxy: http.ProxyURL(proxy)}}}}
	response, err := client.Get("{TARGET}")
	if err != nil {{
		panic(err)
	}}
	defer response.Body.Close()
	fmt.Println(response.Status)
}}"""
    return [
        CodeSample("curl", "curl", curl, "url"),
        CodeSample("python", "Python", python, "literal"),
        CodeSample("node", "Node.js", node, "literal"),
        CodeSample("go", "Go", go, "literal"),
    ]


def _text(value: str) -> str:
    """A string literal that is valid in JavaScript and Go; a login has no control characters."""
    return json.dumps(value, ensure_ascii=False)
