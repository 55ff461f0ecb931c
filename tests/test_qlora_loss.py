"""What a step of training costs: the output layer where answers stand, inputs of adapters kept once."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import tiny_lm
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not all(find_spec(name) for name in ("torch", "transformers", "peft")), reason="needs `qlora`"),
    pytest.mark.filterwarnings("default"),
]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=5))
def test_the_loss_at_the_positions_kept_is_that_of_all_positions(rows):
    import torch

    from workbench.lm.chat import Example
    from workbench.lm.loss import answer_loss, kept
    from workbench.train.qlora.rows import collate

    batch = collate([Example((5,) * prompt, (7,) * answer) for prompt, answer in rows], 0)
    labels = batch["labels"]
    logits = torch.randn((*labels.shape, 11), generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 11), labels[:, 1:].reshape(-1))
    places = kept(labels)
    ours = answer_loss(SimpleNamespace(logits=logits[:, places]), labels)
    assert torch.allclose(ours, whole, atol=1e-6)
    assert len(places) == max(answer for _, answer in rows)


def test_what_is_cut_out_for_the_output_layer_has_no_gaps():
    import torch

    from workbench.lm.loss import kept

    labels = torch.full((3, 10), -100)
    labels[:, 8:] = 4
    cut = torch.randn(3, 10, 6)[:, kept(labels), :]
    assert cut.shape == (3, 2, 6)
    assert cut.is_contiguous()  # else torch multiplies row by row, with a copy of the output layer for each


@pytest.mark.parametrize("quantise", ["nf4", "none"])
def test_inputs_of_adapters_are_kept_once_under_autocast_with_the_same_loss_and_gradients(tmp_path, quantise):
    import torch

    from workbench.lm.adapters import attach, inputs_cast
    from workbench.lm.load import load_base

    if quantise == "nf4":
        pytest.importorskip("bitsandbytes")
    base = tiny_lm.glm4(tmp_path / "glm4")
    torch.manual_seed(0)
    model = attach(load_base(str(base), quantise=quantise, precision="bf16"), r=4, alpha=8, dropout=0.0).train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for parameter in trained.values():
        torch.nn.init.normal_(parameter, std=0.1)  # B begins at zero, and would hide A's gradient
    ids = torch.arange(5, 45).reshape(2, 20)

    def step(cast):
        held = {}

        def note(tensor):
            held[tensor.untyped_storage().data_ptr()] = (tensor, tensor.untyped_storage().nbytes())
            return tensor

        model.zero_grad()
        with inputs_cast(model, cast), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
        gradients = {name: p.grad.clone() for name, p in trained.items()}
        return float(loss), gradients, sum(size for _, size in held.values())

    loss, gradients, size = step(cast=False)
    usual_loss, usual, usual_size = step(cast=True)
    assert loss == usual_loss
    assert all(torch.equal(gradients[name], usual[name]) for name in usual)
    assert size < usual_size


def test_adapters_cast_again_once_it_is_over(tmp_path):
    import torch

    from workbench.lm.adapters import attach, inputs_cast
    from workbench.lm.load import load_base

    base = tiny_lm.glm4(tmp_path / "glm4")
    model = attach(load_base(str(base), quantise="none", precision="bf16"), r=4, alpha=8, dropout=0.0)
    ids = torch.arange(5, 15)[None]
    with inputs_cast(model, False), pytest.raises(RuntimeError, match="dtype"):
        model(input_ids=ids)  # no autocast
    model(input_ids=ids)
