"""Learning from a teacher: the loss, and the stage that asks it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tfedge.data.index import Index
from tfedge.errors import MissingDependency
from tfedge.modeling.nets import backbone
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.nets.weights import source
from tfedge.modeling.training import classes, features, loop, transfer
from tfedge.modeling.training.part import Samples
from tfedge.stages.heads import head_of
from tfedge.tflite.runtime import predict

NAME, ALPHA, SIZE = "MobileNet", 0.25, 48  # another net than the student's, larger images
LATER = ("prune", "quantize", "convert", "evaluate")
ITEMS = 2 * sum(tiny.TRAIN)  # each image and one view


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


# ------------------------------------------------------------------ the loss


RNG = np.random.default_rng(1)
SAID = RNG.normal(0, 2, (7, 5))  # the student's logits
TAUGHT = RNG.normal(0, 3, (7, 5))  # the teacher's
HARD = np.eye(5)[RNG.integers(0, 5, 7)]
WEIGHTS = RNG.uniform(0.5, 2, 7)


def gradient(loss, *wanted: np.ndarray) -> tuple[float, np.ndarray]:
    """Value, and gradient by the student's logits."""
    logits = tf.constant(SAID, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits, [w.astype(np.float32) for w in wanted], WEIGHTS.astype(np.float32))
    return float(value), tape.gradient(value, logits).numpy()


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_loss_is_the_one_of_hinton(share, temperature):
    """Tolerances: float32 against float64."""
    soft = softmax(TAUGHT / temperature)
    found = classes.softened(TAUGHT.astype(np.float32), temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, soft, rtol=1e-5, atol=1e-7)

    plain = -(HARD * np.log(softmax(SAID))).sum(-1)
    student = softmax(SAID / temperature)
    far = (soft * np.log(soft / student)).sum(-1)  # KL(teacher ‖ student)
    wanted = np.mean(((1 - share) * plain + share * temperature**2 * far) * WEIGHTS)
    value, slope = gradient(classes.distilled(share, temperature), HARD, soft)
    assert value == pytest.approx(wanted, rel=1e-5)
    # By hand: one 1/T comes from the student's logits over T, the other is left of the T².
    pull = (1 - share) * (softmax(SAID) - HARD) + share * temperature * (student - soft)
    np.testing.assert_allclose(slope, pull * WEIGHTS[:, None] / 7, rtol=1e-4, atol=1e-6)


def test_gradients_of_soft_scores_keep_their_size_at_any_temperature():
    """At a high one they are (student − teacher) / classes of the logits, less their means."""
    sizes = {}
    for temperature in (10.0, 40.0):
        soft = softmax(TAUGHT / temperature)
        _, slope = gradient(classes.distilled(1.0, temperature), HARD, soft)
        sizes[temperature] = np.abs(slope).mean()
    assert sizes[40.0] == pytest.approx(sizes[10.0], rel=0.1)  # without T²: a sixteenth


def test_a_student_that_agrees_has_nothing_to_learn():
    value, slope = gradient(classes.distilled(1.0, 3.0), HARD, softmax(SAID / 3))
    assert value == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_at_temperature_1_it_teaches_as_mixed_targets_do():
    soft = softmax(TAUGHT)
    value, slope = gradient(classes.distilled(0.7, 1.0), HARD, soft)
    mixed = classes.mix(HARD, TAUGHT, 0.7)
    other, same = gradient(classes.cross_entropy, mixed)
    np.testing.assert_allclose(slope, same, atol=1e-6)
    entropy = -(soft * np.log(soft)).sum(-1)  # what no student can change
    assert other - value == pytest.approx(0.7 * np.mean(entropy * WEIGHTS), rel=1e-4)


def test_a_teacher_that_is_certain_leaves_numbers():
    sure = np.eye(5)[[0] * 7]
    value, slope = gradient(classes.distilled(0.5, 1.0), HARD, sure)
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_hints_come_on_top_of_it():
    soft, taught = softmax(TAUGHT / 2), RNG.normal(size=(7, 3)).astype(np.float32)
    hints = RNG.normal(size=(7, 3)).astype(np.float32)
    weights = WEIGHTS.astype(np.float32)
    wanted = [HARD.astype(np.float32), soft.astype(np.float32)]
    plain = classes.distilled(0.6, 2.0)
    logits = SAID.astype(np.float32)
    both = loop.hinted(0.5, 2.0, plain)((taught, logits), (*wanted, hints), weights)
    far = np.mean(np.square(taught * 2.0 - hints).mean(-1) * weights)
    assert float(both) == pytest.approx(float(plain(logits, wanted, weights)) + 0.5 * far, rel=1e-5)


def test_what_is_wanted_comes_in_its_order():
    scores, soft = np.eye(3, dtype=np.float32), np.full((3, 3), 1 / 3, np.float32)
    hints = np.ones((3, 2), np.float16)
    picked = loop.LearningTargets(scores, hints, soft)[np.array([2, 0])]
    assert [array.shape for array in picked] == [(2, 3), (2, 3), (2, 2)]
    np.testing.assert_array_equal(picked[0], scores[[2, 0]])
    np.testing.assert_array_equal(picked[1], soft[:2])


# ------------------------------------------------------------------ the stage


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> tiny.Run:
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> dict:
    """A ``distill`` section whose teacher is another net, of weights that say something."""
    fresh(1)
    net = backbone.bare(NAME, ALPHA, SIZE)
    pixels = np.stack([tiny.image(label, seed, SIZE) for label in range(3) for seed in range(8)])
    path = tmp_path_factory.mktemp("teacher") / "teacher.npz"
    np.savez(path, **tiny.lively(net, pixels.astype(np.float32) / 127.5 - 1, seed=2))
    named = {"name": NAME, "alpha": ALPHA, "weights": str(path), "image_size": SIZE}
    return {"teacher": named, "epochs": 12, "batch_size": 8, "learning_rate": 0.01}


def labels_of(samples: Samples) -> np.ndarray:
    """The class of each item."""
    return samples.examples.targets(samples.item_rows)


class Spy:
    """Keeps the teacher's model, which no file holds."""

    def __init__(self, monkeypatch) -> None:
        self.model = self.samples = None
        learn = transfer.learn

        def kept(samples, spec, model, *arguments, **more):
            self.samples, self.model = samples, model
            return learn(samples, spec, model, *arguments, **more)

        monkeypatch.setattr(transfer, "learn", kept)


def test_another_net_at_another_size_says_what_it_thinks_of_every_item(
    chain, teacher, tmp_path, monkeypatch
):
    spy = Spy(monkeypatch)
    run = chain.again(tmp_path / "first", but=LATER, distill=teacher)("distill")
    logits, facts = run.arrays("distill/teacher.npz")["logits"], run.json("distill/distill.json")
    assert logits.dtype == np.float32 and logits.shape == (ITEMS, 3)
    file = float_pixels(spy.model, SIZE, serve=tf.nn.softmax)
    scores = predict(file, spy.samples.source.inputs(spy.samples.items))
    np.testing.assert_allclose(softmax(logits), scores, atol=1e-4)  # LiteRT against numpy
    (first,) = spy.samples.source.inputs(spy.samples.items[:1])
    assert first.shape == (SIZE, SIZE, 3)
    # The items are those of the student's stages: it is they who look its answers up.
    assert spy.samples.items == head_of(run.context("prune")).samples.items
    assert (logits.argmax(-1) == labels_of(spy.samples)).mean() > 0.8

    rows = spy.samples.val_rows
    said = predict(file, spy.samples.source.images.pixels(rows))
    right = (said.argmax(-1) == spy.samples.examples.targets(rows)).mean()
    assert facts["val_accuracy"] == pytest.approx(right) and right > 0.8
    plain = chain.json("finetune/history.json")["val"]
    assert facts["float"] == {"val_accuracy": plain["top1"], "val_loss": plain["loss"]}
    assert (facts["name"], facts["net"]["image_size"]) == (NAME, SIZE)
    assert len(facts["net"]["weights"]["sha256"]) == 64
    assert any(line.startswith(f"teacher: {NAME}, ") for line in run.progress.lines)

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "Pool", refuse)
    again = chain.again(tmp_path / "again", but=LATER, distill=teacher, prune={"sparsity": 0.2})
    again("distill")
    for file in ("distill/teacher.npz", "distill/distill.json"):
        assert again.read(file) == run.read(file)


def test_top_blocks_of_the_teacher_train_when_asked(chain, teacher, tmp_path):
    opened = {"epochs": 2, "unfreeze": 1, "unfreeze_epochs": 2, "unfreeze_learning_rate": 1e-3}
    run = chain.again(tmp_path, but=LATER, distill=teacher | opened)("distill")
    facts = run.json("distill/distill.json")
    assert [len(facts["history"][what]) for what in ("head", "blocks")] == [
        2,
        3,
    ]  # and the state before
    last = min(facts["history"]["blocks"], key=lambda row: row["val_loss"])
    assert facts["val_accuracy"] == last["val_accuracy"]
    assert run.arrays("distill/teacher.npz")["logits"].shape == (ITEMS, 3)


def test_weights_that_can_not_be_had_name_the_key_of_the_teacher(
    chain, teacher, tmp_path, monkeypatch
):
    def away(*_):
        raise MissingDependency("no net", "set backbone.weights to a file")

    monkeypatch.setattr(source, "load", away)
    run = chain.again(tmp_path, but=LATER, distill=teacher)
    with pytest.raises(MissingDependency) as caught:
        run("distill")
    assert caught.value.hint == "set distill.teacher.weights to a file"
    assert list((tmp_path / "distill").iterdir()) == []


def test_the_float_model_as_teacher_costs_nothing(chain, tmp_path):
    run = chain.again(tmp_path, but=LATER, distill={"teacher": "float"})("distill")
    said = chain.arrays("finetune/teacher.npz")["logits"]
    np.testing.assert_array_equal(run.arrays("distill/teacher.npz")["logits"], said)
    facts = run.json("distill/distill.json")
    assert facts["val_accuracy"] == facts["float"]["val_accuracy"] and "net" not in facts


# ------------------------------------------------------------------ the students


HEAD = {"unfreeze": "none", "learning_rate": 0.02}  # the head alone learns: fast
SPARSE = {"sparsity": 0.001}  # which is as much as it can carry


def taught(chain, folder, logits: np.ndarray, distill: dict, **sections) -> tiny.Run:
    """The stages after a ``distill`` that has said ``logits``."""
    run = chain.again(folder, but=LATER, distill={"teacher": "float", **distill}, **sections)
    folder.mkdir(exist_ok=True)
    np.savez(folder / "said.npz", logits=logits.astype(np.float32))
    run.files["distill/teacher.npz"] = folder / "said.npz"
    return run


def test_students_believe_a_teacher_that_is_wrong(chain, tmp_path):
    """All of the loss is the teacher's, who takes each class for the next: so does the int8 file.

    Pruning learns it anew. Quantization starts from there and has little left to learn, which its
    loss says: against labels, or the float model, it would be several times as large.
    """
    labels = labels_of(head_of(chain.context("finetune")).samples)
    logits = 6.0 * np.eye(3)[(labels + 1) % 3]
    settings = {"temperature": 2.0}
    prune = HEAD | SPARSE | {"epochs": 25, "hints": 0, "teacher": 1.0}
    quantize = HEAD | {"epochs": 1, "hints": 0, "teacher": 1.0, "learning_rate": 1e-5}
    run = taught(chain, tmp_path, logits, settings, prune=prune, quantize=quantize)
    run("prune", "quantize", "convert")
    index = Index.load(run.files["data/index.json"])
    rows = index.rows_of("val")
    images = head_of(run.context("finetune")).samples.source.images
    answers = predict(run.read("convert/model.tflite"), images.pixels(rows)).argmax(-1)
    assert run.json("convert/model.json")["recipe"] == "qat"
    wrong = (np.asarray(index.labels_of(rows)) + 1) % 3
    assert (answers == wrong).mean() > 0.8
    (last,) = run.json("quantize/quantize.json")["history"]
    assert last["loss"] < 0.5 * run.json("prune/history.json")[0]["loss"]


def test_a_stage_that_gives_the_teacher_no_share_learns_from_labels(chain, tmp_path):
    """Nobody's answers but those of the labels move the weights, whatever the teacher says."""
    silly = 9.0 * np.ones((ITEMS, 3)) * [1, 0, 0]
    prune = HEAD | SPARSE | {"optimizer": "sgd", "learning_rate": 1e-3, "teacher": 0.0}
    plain = chain.again(tmp_path / "plain", but=LATER, prune=prune)("prune")
    plain, far = plain.arrays("prune/model.npz")["logits/kernel"], {}
    for share in (0.0, 0.7):
        settings = prune | {"teacher": share}
        run = taught(chain, tmp_path / f"{share}", silly, {}, prune=settings)("prune")
        far[share] = np.abs(run.arrays("prune/model.npz")["logits/kernel"] - plain).max()
    assert far[0.0] < 1e-6 < 0.001 < far[0.7]


def test_the_float_model_at_temperature_1_teaches_as_its_share_does(chain, tmp_path):
    """The same gradient up to float32, and as SGD adds gradients up, the same weights.

    (Adam would blow up what is left of a gradient near zero.)
    """
    logits = chain.arrays("finetune/teacher.npz")["logits"]
    prune = HEAD | SPARSE | {"optimizer": "sgd", "learning_rate": 1e-3}
    share = chain.again(tmp_path / "share", but=LATER, prune=prune)("prune")
    moved = {}
    for temperature in (1.0, 8.0):
        settings = {"temperature": temperature}
        run = taught(chain, tmp_path / str(temperature), logits, settings, prune=prune)("prune")
        moved[temperature] = run.arrays("prune/model.npz")

    def far(one, other):
        return np.sqrt(sum(np.square(one[k] - other[k]).sum() for k in one))

    start, share = chain.arrays("finetune/model.npz"), share.arrays("prune/model.npz")
    assert far(moved[1.0], share) < 1e-4 * far(start, share)
    assert far(moved[8.0], share) > 0.05 * far(start, share)
