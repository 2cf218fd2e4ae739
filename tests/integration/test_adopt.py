"""Another project's model: adopted, unlearned, and served by the same call as before."""

import sys
import textwrap
from functools import partial

import mlflow
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lethe.data.dataset import dataset_rows
from lethe.errors import ModelError
from lethe.models.architecture import Architecture
from lethe.settings import load_settings
from model_registry.adopt import adopt_version
from model_registry.connection import connect
from model_registry.pull import pull_version

CLASSES = tuple("0123456789")


@pytest.fixture
def their_package(tmp_path, monkeypatch):
    """A network defined outside of Lethe, importable as `their_digits.net`."""
    folder = tmp_path / "site" / "their_digits"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "net.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Perceptron(nn.Module):
                def __init__(self, hidden):
                    super().__init__()
                    self.inner = nn.Linear(64, hidden)
                    self.head = nn.Linear(hidden, 10)

                def forward(self, x):
                    return self.head(self.inner(x.flatten(1)).relu())
            """
        )
    )
    monkeypatch.syspath_prepend(str(folder.parent))
    yield "their_digits.net:Perceptron"
    for name in [name for name in sys.modules if name.startswith("their_digits")]:
        del sys.modules[name]


@pytest.fixture
def theirs(prepared, enter, their_package):
    """Their network is registered as theirs/1, in the working folder; what makes it."""
    project, _ = prepared("theirs", partial(log_theirs, their_package, "pt2"))
    enter(project)
    return their_package


def log_theirs(factory, serialization_format, **more):
    """Train their network their way and log it plainly, as they would."""
    from their_digits.net import Perceptron

    assert factory.endswith("Perceptron")
    connect(load_settings())
    data = dataset_rows(".", "data/digits", memory_budget=2**28).rows
    torch.manual_seed(0)
    net = Perceptron(hidden=96)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for epoch in range(25):
        for batch in data.batches(64, seed=epoch):
            loss = F.cross_entropy(net(batch.x), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()
    example = np.zeros((2, 1, 8, 8), np.float32)
    signature = mlflow.models.infer_signature(example, net(torch.tensor(example)).detach().numpy())
    with mlflow.start_run():
        mlflow.pytorch.log_model(
            net,
            name="theirs",
            registered_model_name="theirs",
            signature=signature,
            input_example=example,
            serialization_format=serialization_format,
            pip_requirements=["torch"],
            **more,
        )
    connect(load_settings()).set_registered_model_alias("theirs", "champion", "1")


def file_theirs():
    from lethe.data.forget_set import ForgetSpec
    from lethe.data.selection import Selection
    from lethe.deletion.request import DeletionRequest
    from tasks.one_request import file_request

    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("4",)))
    request = DeletionRequest(model="theirs@champion", forget=spec)
    return file_request(load_settings(), request).id


def served():
    """What their service does, before and after."""
    held_out = dataset_rows(".", "data/digits", split="test", memory_budget=2**28).rows
    batch = next(iter(held_out.batches(len(held_out))))
    answers = mlflow.pyfunc.load_model("models:/theirs@champion").predict(batch.x.numpy())
    return answers.argmax(1), batch.y.numpy()


def test_a_plain_model_is_adopted_unlearned_and_served_again(theirs, monkeypatch):
    from flows.unlearn import unlearn

    settings = load_settings()
    client = connect(settings)
    answers, labels = served()
    assert (answers == labels).mean() > 0.9
    with pytest.raises(ModelError, match="lethe model adopt theirs/1"):
        pull_version(client, "theirs@champion", settings)

    architecture = Architecture(factory=theirs, kwargs={"hidden": 96})
    with pytest.raises(ModelError, match="LETHE_MODELS__FACTORIES"):
        adopt_version(client, "theirs@champion", architecture, CLASSES, settings)
    monkeypatch.setenv("LETHE_MODELS__FACTORIES", '["their_digits"]')
    settings = load_settings()
    adopted = adopt_version(client, "theirs@champion", architecture, CLASSES, settings)
    assert str(adopted) == "theirs/2"

    result = unlearn(file_theirs())
    assert (result.parent, result.successor) == ("theirs/2", "theirs/3")
    after, labels = served()
    assert not (after[labels == 4] == 4).any()
    kept = labels != 4
    assert (after[kept] == labels[kept]).mean() > (answers[kept] == labels[kept]).mean() - 0.03


def test_a_pickle_is_refused_unless_it_is_allowed(project, their_package, monkeypatch):
    from flows.unlearn import unlearn

    log_theirs(their_package, "pickle")
    with pytest.raises(ModelError, match="ALLOW_PICKLE"):
        pull_version(connect(load_settings()), "theirs@champion", load_settings())

    monkeypatch.setenv("LETHE_MODELS__ALLOW_PICKLE", "true")
    result = unlearn(file_theirs())
    assert result.successor == "theirs/2"
    after, labels = served()
    assert not (after[labels == 4] == 4).any()


@pytest.mark.parametrize(
    ("kwargs", "classes", "message"),
    [
        ({"hidden": 95}, CLASSES, "do not fit"),
        ({"wrong": 1}, CLASSES, "cannot be built"),
        ({"hidden": 96}, CLASSES[:9], "9 class names"),
    ],
)
def test_the_wrong_pairing_registers_nothing(theirs, monkeypatch, kwargs, classes, message):
    monkeypatch.setenv("LETHE_MODELS__FACTORIES", '["their_digits"]')
    settings = load_settings()
    architecture = Architecture(factory=theirs, kwargs=kwargs)
    with pytest.raises(ModelError, match=message):
        adopt_version(connect(settings), "theirs/1", architecture, classes, settings)
    assert len(connect(settings).search_model_versions("name = 'theirs'")) == 1


@pytest.mark.usefixtures("theirs")
def test_other_weights_of_the_same_shape_are_noticed(monkeypatch):
    """A factory whose forward differs fits the weights but answers otherwise."""
    import their_digits.net

    class Twisted(their_digits.net.Perceptron):
        def forward(self, x):
            return super().forward(x + 1)

    monkeypatch.setattr(their_digits.net, "Twisted", Twisted, raising=False)
    monkeypatch.setenv("LETHE_MODELS__FACTORIES", '["their_digits"]')
    architecture = Architecture(factory="their_digits.net:Twisted", kwargs={"hidden": 96})
    with pytest.raises(ModelError, match="does not answer as"):
        adopt_version(connect(load_settings()), "theirs/1", architecture, CLASSES, load_settings())


def test_code_inside_a_version_never_stands_in_for_the_allowed_module(
    project, their_package, monkeypatch, tmp_path
):
    evil = tmp_path / "evil"
    (evil / "their_digits").mkdir(parents=True)
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()"
    (evil / "their_digits" / "__init__.py").write_text(text)
    (evil / "their_digits" / "net.py").write_text(text)
    log_theirs(their_package, "pt2", code_paths=[str(evil / "their_digits")])
    for name in [name for name in sys.modules if name.startswith("their_digits")]:
        del sys.modules[name]
    monkeypatch.setenv("LETHE_MODELS__FACTORIES", '["their_digits"]')
    settings = load_settings()
    architecture = Architecture(factory=their_package, kwargs={"hidden": 96})
    ran.unlink(missing_ok=True)  # logging the version may have tried it out
    with pytest.raises(ModelError, match="code of its own"):
        adopt_version(connect(settings), "theirs/1", architecture, CLASSES, settings)
    assert not ran.exists()
