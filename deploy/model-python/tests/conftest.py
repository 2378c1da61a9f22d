"""What several tests need: a model that is fitted once."""

import pytest

from cornjacket_model.models.isolation_forest import IsolationForestModel


@pytest.fixture(scope="session")
def model() -> IsolationForestModel:
    return IsolationForestModel.make(None)
