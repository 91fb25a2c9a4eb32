from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.record.secrets import looks_secret, withhold, without_userinfo

SECRET = [
    "HF_TOKEN",
    "WANDB_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "PGPASSWORD",
    "githubToken",
    "DB_PASS",
    "GH_PAT",
    "OPENAI_APIKEY",
    "MY_CREDENTIALS",
    "npm_config__auth",
    "SSH_PASSPHRASE",
    "SESSION_COOKIE",
    "SENTRY_DSN",
    "ANTHROPIC_AUTH_TOKEN",
    "MYSQL_PWD",
    "JWT",
    "private_key",
    "TOKENS",
    "AZURE_CLIENT_SECRET",
]
HARMLESS = [
    "PATH",
    "HOME",
    "PWD",
    "OLDPWD",
    "TOKENIZERS_PARALLELISM",
    "OMP_NUM_THREADS",
    "KEYBOARD",
    "PYTHONHASHSEED",
    "LANG",
    "PASSENGERS",
    "AUTHOR",
    "SSH_AUTH_SOCK",
    "LR",
    "COMPASS",
]


@pytest.mark.parametrize("name", SECRET)
def test_names_of_secrets(name):
    assert looks_secret(name, "x")


@pytest.mark.parametrize("name", HARMLESS)
def test_names_of_no_secrets(name):
    assert not looks_secret(name, "x")


def test_a_count_of_tokens_is_a_parameter():
    assert not looks_secret("MAX_TOKENS", "2048")
    assert looks_secret("MY_TOKENS", "abc")


@pytest.mark.parametrize(
    "value",
    [
        "ghp_" + "a" * 36,
        "hf_" + "b" * 34,
        "sk-" + "c" * 40,
        "AKIA" + "D" * 16,
        "-----BEGIN RSA PRIVATE KEY-----\nMII",
        "eyJhbGciOiJI.eyJzdWIiOiIx.sig",
        "Bearer abcdefghijklmnop",
    ],
)
def test_values_shaped_like_tokens_are_kept_out_whatever_the_name(value):
    kept, withheld = withhold([("NOTE", value)])
    assert (kept, withheld) == ((), ("NOTE",))


def test_credentials_in_urls_are_masked_and_named():
    kept, withheld = withhold([("DATABASE_URL", "postgres://me:hunter2@db.example/x"), ("A", "1")])
    assert kept == (("A", "1"), ("DATABASE_URL", "postgres://***@db.example/x"))
    assert withheld == ("DATABASE_URL",)
    assert without_userinfo("https://tok@git.example/r.git") == "https://***@git.example/r.git"
    assert without_userinfo("https://git.example/a@b") == "https://git.example/a@b"


@given(st.lists(st.tuples(st.sampled_from(SECRET), st.text("abcXYZ019", min_size=8)), min_size=1))
def test_no_secret_value_is_ever_kept(env):
    kept, withheld = withhold([*env, ("PLAIN", "v")])
    assert kept == (("PLAIN", "v"),)
    assert set(withheld) == {name for name, _ in env}


def test_a_control_that_keeps_everything_is_caught():
    def broken(env):
        return tuple(env), ()

    kept, _ = broken([("HF_TOKEN", "hf_secret")])
    assert any("hf_secret" in value for _, value in kept)  # what the test above refuses
