from __future__ import annotations

import pytest

from bareboat.resolve.python.credentials import credentials, with_credentials

from .conftest import Folder


def test_users_are_found_where_people_write_them(project: Folder) -> None:
    project.write("requirements.txt", "--index-url https://bob:${TOKEN}@index.example/simple/\nx\n")
    project.write("pyproject.toml", '[[tool.uv.index]]\nname = "my-own"\nurl = "https://own.example/simple"\n')
    request = project.request()
    env = {"HOME": "/nonexistent", "TOKEN": "t0k", "UV_EXTRA_INDEX_URL": "https://eve@more.example/s/",
           "UV_INDEX_MY_OWN_USERNAME": "me", "UV_INDEX_MY_OWN_PASSWORD": "p/w"}
    request = type(request)(request.root, request.dependencies, request.target, request.scratch, env=env)
    assert credentials(request) == (
        "https://eve@more.example/s/",
        "https://bob:t0k@index.example/simple/",
        "https://me:p%2Fw@own.example/simple",
    )


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://index.example/a/x.whl", "one:1@"),
        ("https://index.example/b/x.whl", "two:2@"),
        ("https://INDEX.example/b/x.whl", "two:2@"),
        ("http://index.example/b/x.whl", ""),  # another scheme
        ("https://index.example:8443/b/x.whl", ""),  # another port
        ("https://sub.index.example/b/x.whl", ""),
        ("https://index.example.evil.example/b/x.whl", ""),
        ("file:///b/x.whl", ""),
    ],
)
def test_a_user_goes_to_its_own_scheme_host_and_port_only(url: str, user: str) -> None:
    known = ("https://one:1@index.example/a/simple/", "https://two:2@index.example/b/simple/")
    assert with_credentials(url, known) == url.replace("://", f"://{user}", 1)
    assert with_credentials(f"git+{url}", known) == f"git+{with_credentials(url, known)}"
