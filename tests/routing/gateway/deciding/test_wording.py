import pytest

from routing.gateway.deciding.wording import lasting

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"),
     (3504, "58 min 24 s"), (7200, "2 h"), (90_061, "1 d 1 h")],
)  # fmt: skip
def test_a_stretch_of_time_is_told_in_two_units_at_most(seconds: float, said: str) -> None:
    assert lasting(seconds) == said
