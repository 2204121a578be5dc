"""What the environment may say, and what is refused."""

from pathlib import Path

import pytest

from domain.shared.errors import InvalidInputError
from ops.settings import LEAST_STORE_BYTES, Settings


def read(home: Path, **given: str) -> Settings:
    return Settings.from_environment(home, environment=given)


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    read_settings = read(tmp_path)
    assert read_settings == Settings(home=tmp_path)
    assert not read_settings.production
    assert read_settings.upload_limit_bytes == 1024**3


def test_what_is_said_is_taken(tmp_path: Path) -> None:
    said = read(tmp_path, IMEWE_PRODUCTION="1", IMEWE_UPLOAD_LIMIT="5000", IMEWE_HTTP_PORT="80")
    assert (said.production, said.upload_limit_bytes, said.http_port) == (True, 5000, 80)
    assert not read(tmp_path, IMEWE_PRODUCTION="0").production


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMEWE_PRODUCTION", "yes"),
        ("IMEWE_UPLOAD_LIMIT", "0"),
        ("IMEWE_UPLOAD_LIMIT", "1GiB"),
        ("IMEWE_HTTP_PORT", "65536"),
        ("IMEWE_STORE_BYTES", str(LEAST_STORE_BYTES - 1)),
        ("IMEWE_LOG_FORMAT", "xml"),
        ("IMEWE_PROJECTIONS_SWITCH", "never"),
        ("IMEWE_TOKEN_TTL", "-1"),
        ("IMEWE_BRIDGE_ID", "hall.2"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        read(tmp_path, **{name: value})
    assert refusal.value.field == name
