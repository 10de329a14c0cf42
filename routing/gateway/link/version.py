"""The version that every process tells of itself."""

from typing import Final

VERSION: Final = "0.1.0"
