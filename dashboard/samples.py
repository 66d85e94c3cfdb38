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
    """``id`` identifies it on its page, ``label`` is its title."""

    id: str
    label: str
    text: str


def connection_strings(endpoint: str, login: str) -> list[CodeSample]:
    """Connection strings in common notations. Parts are not quoted where a notation has no quoting."""
    return [
        CodeSample("url", "URL", _url(endpoint, login)),
        CodeSample("list", "host:port:user:password", f"{endpoint}:{login}:{NO_PASSWORD}"),
        CodeSample("at", "user:password@host:port", f"{login}:{NO_PASSWORD}@{endpoint}"),
    ]


def programs(endpoint: str, login: str) -> list[CodeSample]:
    """The same request with curl, and in Python, Node.js and Go."""
    url = _text(_url(endpoint, login))
    credentials = f"{quote(login, safe='')}:{NO_PASSWORD}"  # curl decodes the escapes
    curl = f"curl -x {shlex.quote(f'http://{endpoint}')} -U {shlex.quote(credentials)} {TARGET}"
    python = f"""# pip install requests
import requests

proxy = {url}
response = requests.get("{TARGET}", proxies={{"http": proxy, "https": proxy}}, timeout=30)
print(response.status_code)"""
    node = f"""// npm install undici
import {{ ProxyAgent, fetch }} from "undici";

const dispatcher = new ProxyAgent({url});
const response = await fetch("{TARGET}", {{ dispatcher }});
console.log(response.status);"""
    go = f"""package main

import (
	"fmt"
	"net/http"
	"net/url"
)

func main() {{
	proxy, err := url.Parse({url})
	if err != nil {{
		panic(err)
	}}
	client := &http.Client{{Transport: &http.Transport{{Proxy: http.ProxyURL(proxy)}}}}
	response, err := client.Get("{TARGET}")
	if err != nil {{
		panic(err)
	}}
	defer response.Body.Close()
	fmt.Println(response.Status)
}}"""
    return [
        CodeSample("curl", "curl", curl),
        CodeSample("python", "Python", python),
        CodeSample("node", "Node.js", node),
        CodeSample("go", "Go", go),
    ]


def _url(endpoint: str, login: str) -> str:
    return f"http://{quote(login, safe='')}:{NO_PASSWORD}@{endpoint}"


def _text(value: str) -> str:
    """A string literal that is valid in Python, JavaScript and Go: a URL has neither quotes nor control characters."""
    return json.dumps(value)
