"""Every kind of model. A new one is a file here and a line in KINDS."""

from collections.abc import Callable
from pathlib import Path

from cornjacket_model.model import Model
from cornjacket_model.models.isolation_forest import IsolationForestModel

# Each by its name, and how it is made: from the file that `--model` names, or as it comes without one.
KINDS: dict[str, Callable[[Path | None], Model]] = {
    "isolation_forest": IsolationForestModel.make,
}
