"""A model in this process: batches and errors with a scripted model; the words with a real one, where one is here."""

import asyncio
import threading
import time
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import models
from workbench.errors import ConfigError, MissingExtra, WorkbenchError
from workbench.generate import parse_reply
from workbench.llm import LlmConfig, LocalEndpoint, Refused, Request, identity, open_client
from workbench.llm.local import Local, source_of
from workbench.prompts import Prompt, continued, load, numbered

USERS_MODELS = models.home()  # before tests get a home of their own
TORCH = all(find_spec(name) for name in ("torch", "transformers"))


def request(draw=0, prompt="hello", begun="", rows=3):
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": prompt}]
    messages += [{"role": "assistant", "content": begun}] if begun else []
    return Request("a", "", "minority", rows, draw, 0, "p@1", (), tuple(messages))


# --- settings


def test_an_endpoint_of_kind_local_is_read():
    config = LlmConfig.read({"endpoints": [{"kind": "local", "path": "smollm2", "threads": 1}]}, where="x")
    assert config.endpoints == (LocalEndpoint(path="smollm2", threads=1),)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"dtype": "int3"}, {"top_p": 0}, {"threads": -1}, {"model": "x"}])
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LlmConfig.read({"endpoints": [{"kind": "local", "path": "smollm2", **wrong}]}, where="x")


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, package):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    if package == "transformers":
        monkeypatch.setitem(__import__("sys").modules, "torch", __import__("types"))
    with pytest.raises(MissingExtra) as caught:
        open_client(LlmConfig(endpoints=(LocalEndpoint(path="m.gguf"),)), tmp_path)
    assert package in caught.value.message
    assert "intent-workbench[local]" in caught.value.hint


# --- what a path means


def test_files_and_folders_are_relative_to_the_bench(tmp_path):
    (tmp_path / "m.gguf").touch()
    (tmp_path / "folder").mkdir()
    assert source_of("m.gguf", tmp_path) == str((tmp_path / "m.gguf").resolve())
    assert source_of("folder", tmp_path) == str((tmp_path / "folder").resolve())


def test_another_name_is_the_hubs(tmp_path):
    assert source_of("HuggingFaceTB/SmolLM2-135M-Instruct", tmp_path) == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("path", ["no.gguf", "./no", "/no/where", "a/b/c"])
def test_a_path_to_nothing_is_no_hub_name(tmp_path, path):
    with pytest.raises(ConfigError, match="There is no model"):
        source_of(path, tmp_path)


def test_an_unfetched_model_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WB_MODELS", str(tmp_path))
    with pytest.raises(WorkbenchError, match="not on this machine") as caught:
        source_of("smollm2", tmp_path)
    assert "wb models get smollm2" in caught.value.hint


# --- batches


class Scripted:
    """Stands in for a loaded model: says how many prompts it got at once."""

    context = 100

    def __init__(self):
        self.batches, self.threads, self.fault, self.pause, self.cut = [], set(), None, 0.0, False

    def prompt(self, messages):
        return [0] * len(messages[1]["content"])

    def run(self, jobs, *, temperature, top_p, most, stopped):
        from workbench.llm.causal import Continued

        self.batches.append(list(jobs))
        self.threads.add(threading.current_thread())
        end = time.monotonic() + self.pause
        while time.monotonic() < end and not stopped():
            time.sleep(0.005)
        self.cut = stopped()
        if self.fault:
            raise self.fault
        return [Continued(f"{job.messages[1]['content']} {job.seed}", "stop", 3, 5) for job in jobs]


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    (tmp_path / "m.gguf").touch()
    model = Scripted()
    monkeypatch.setattr("workbench.llm.causal.load", lambda *_: model)
    return model


def client(tmp_path, **options):
    return Local(LocalEndpoint(path="m.gguf", **options), LlmConfig(), tmp_path)


def ask(tmp_path, requests, **options):
    async def run():
        opened = client(tmp_path, **options)
        try:
            return await asyncio.gather(*(opened.answer(one) for one in requests), return_exceptions=True)
        finally:
            await opened.close()

    return asyncio.run(run())


def test_requests_that_arrive_together_share_a_batch_up_to_its_size(scripted, tmp_path):
    answers = ask(tmp_path, [request(i, f"q{i}") for i in range(7)], batch=3)
    assert [len(batch) for batch in scripted.batches] == [3, 3, 1]
    assert [answer.text.split()[0] for answer in answers] == [f"q{i}" for i in range(7)]
    assert {(answer.finish, answer.tokens_in, answer.tokens_out, answer.cost) for answer in answers} == {
        ("stop", 3, 5, Decimal(0))
    }


def test_the_event_loop_lives_while_the_model_writes(scripted, tmp_path):
    scripted.pause = 0.3

    async def run():
        opened = client(tmp_path)
        task = asyncio.create_task(opened.answer(request()))
        ticks = 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await opened.close()
        return ticks

    assert asyncio.run(run()) > 10
    assert threading.current_thread() not in scripted.threads


def test_a_failing_batch_fails_those_who_wait_for_it_and_nobody_else(scripted, tmp_path):
    async def run():
        opened = client(tmp_path)
        scripted.fault = RuntimeError("out of memory")
        first = await asyncio.gather(*(opened.answer(request(i)) for i in range(2)), return_exceptions=True)
        scripted.fault = None
        second = await opened.answer(request(2))
        await opened.close()
        return first, second

    first, second = asyncio.run(run())
    assert [str(error) for error in first] == ["out of memory"] * 2
    assert second.finish == "stop"


def test_a_request_that_was_given_up_is_not_written(scripted, tmp_path):
    async def run():
        opened = client(tmp_path)
        gone = asyncio.create_task(opened.answer(request(0, "gone")))
        stays = asyncio.create_task(opened.answer(request(1, "stays")))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await stays
        await opened.close()
        return answer

    assert asyncio.run(run()).text.startswith("stays")
    assert [job.messages[1]["content"] for job in scripted.batches[0]] == ["stays"]


def test_closing_ends_what_is_under_way(scripted, tmp_path):
    scripted.pause = 30

    async def run():
        opened = client(tmp_path)
        task = asyncio.create_task(opened.answer(request()))
        await asyncio.sleep(0.2)
        task.cancel()
        await opened.close()

    start = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - start < 5
    assert scripted.cut


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(scripted, tmp_path):
    (error,) = ask(tmp_path, [request(0, "x" * 100)])
    assert isinstance(error, Refused)
    assert "100 tokens" in error.message
    assert "generate.examples" in error.hint


def test_draws_and_settings_make_other_requests(scripted, tmp_path):
    one, other = client(tmp_path), client(tmp_path, top_p=0.5)
    assert len({identity(one, request(0)), identity(one, request(1)), identity(other, request(0))}) == 3
    assert ask(tmp_path, [request(0)])[0].text != ask(tmp_path, [request(1)])[0].text
    assert ask(tmp_path, [request(0)])[0].text == ask(tmp_path, [request(0)])[0].text


def test_only_a_list_that_was_begun_ends_after_as_many_lines_as_rows_are_asked_for(scripted, tmp_path):
    ask(tmp_path, [request(0), request(1, begun="1. hi\n2."), request(2, begun="Here it is:")])
    assert [job.lines for job in scripted.batches[0]] == [0, 3, 0]


# --- an answer that the prompt begins

PREFILLED = (
    "{% block system %}s{% endblock %}{% block user %}u{% endblock %}{% block assistant %}1. a\n2.{% endblock %}"
)


def test_a_third_block_begins_the_answer():
    messages = Prompt("mine.en.j2", PREFILLED).messages({})
    assert messages[-1] == {"role": "assistant", "content": "1. a\n2."}
    assert numbered(messages) == "2."


@given(
    rows=st.lists(st.text("abcé 余额?", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=8),
    shown=st.integers(0, 30),
)
def test_every_row_behind_a_begun_number_is_read_and_no_shown_example(rows, shown):
    begun = "".join(f"{i + 1}. real {i}\n" for i in range(shown)) + f"{shown + 1}."
    messages = ({"role": "user", "content": "u"}, {"role": "assistant", "content": begun})
    text = " " + "\n".join(row if i == 0 else f"{shown + 1 + i}. {row}" for i, row in enumerate(rows)) + "\n"
    drafts, rejects = parse_reply("r", continued(messages, text), "stop", ("user",))
    assert [draft.turns[0].text for draft in drafts] == rows
    assert rejects == []


@pytest.mark.parametrize("text", ['["a", "b"]', "1. a\n2. b", '```json\n["a", "b"]\n```', " 1) a\n2) b"])
def test_a_server_that_answers_anew_is_read_as_it_wrote(text):
    messages = ({"role": "user", "content": "u"}, {"role": "assistant", "content": "7."})
    assert continued(messages, text) == text
    assert [draft.turns[0].text for draft in parse_reply("r", text, "stop", ("user",))[0]] == ["a", "b"]


def test_without_a_begun_list_nothing_is_put_before_a_reply():
    for last in ({"role": "user", "content": "7."}, {"role": "assistant", "content": "Of course:"}):
        assert continued((last,), " x") == " x"
    assert continued((), " x") == " x"
    assert continued(({"role": "assistant", "content": "7."},), "  ") == "  "


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("examples", [[], ["one"], ["one", "two", "three"]])
def test_the_few_shot_prompt_begins_the_next_number(language, examples):
    values = {"label": "a", "against": "", "about": "", "about_against": "", "count": 5, "dialogue": False}
    made = load(f"fewshot.{language}.j2").messages({**values, "examples": examples, "against_examples": []})
    assert [message["role"] for message in made] == ["system", "user", "assistant"]
    assert numbered(made) == f"{len(examples) + 1}."
    listed = made[-1]["content"].splitlines()[:-1]
    assert listed[len(listed) - len(examples) :] == [f"{i + 1}. {text}" for i, text in enumerate(examples)]


# --- real models

real = pytest.mark.skipif(not TORCH, reason="torch and transformers are not installed: pip install '.[local]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model of random weights with a character vocabulary, in Hugging Face form."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    letters = ["<end>", "\n", *map(chr, range(32, 127))]
    core = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="?"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role[0] + ':' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}a:{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(letters), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=200, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def job(seed=0, prompt="hello", begun="", lines=0):
    from workbench.llm.causal import Job

    return Job(request(0, prompt, begun).messages, seed, lines)


def run(folder, jobs, *, temperature=1.0, most=30, stopped=lambda: False):
    from workbench.llm.causal import load

    return load(str(folder), "float32").run(jobs, temperature=temperature, top_p=0.95, most=most, stopped=stopped)


@real
@pytest.mark.model
def test_a_last_message_of_the_assistant_is_continued(folder):
    from workbench.llm.causal import load

    model = load(str(folder), "float32")
    assert model._tokenizer.decode(model.prompt(request(0, "hi").messages)) == "s:s\nu:hi\na:"
    assert model._tokenizer.decode(model.prompt(request(0, "hi", "1. x\n2.").messages)) == "s:s\nu:hi\na:1. x\n2."


@real
@pytest.mark.model
def test_a_row_is_the_same_alone_and_in_a_padded_batch(folder):
    jobs = [job(1), job(2, "a longer question than the other one"), job(3, "?", "1. x\n2.")]
    together = run(folder, jobs)
    assert together == run(folder, jobs)
    assert together == [run(folder, [one])[0] for one in jobs]
    assert len({one.text for one in run(folder, [job(seed) for seed in range(5)])}) == 5


@real
@pytest.mark.model
def test_temperature_zero_needs_no_seed(folder):
    assert len({one.text for one in run(folder, [job(seed) for seed in range(3)], temperature=0)}) == 1


@real
@pytest.mark.model
def test_a_cut_answer_and_a_full_list_say_so(folder):
    (cut,) = run(folder, [job(most := 7)], most=most)
    assert (cut.finish, cut.tokens_out, len(cut.text)) == ("length", 7, 7)
    rows = run(folder, [job(seed, "x", "1.", lines=2) for seed in range(8)], most=10_000)
    full = [row for row in rows if row.text.count("\n") == 2]
    assert full
    assert all(row.text.endswith("\n") and row.finish == "stop" for row in full)
    assert all(row.text.count("\n") <= 2 for row in rows)


@real
@pytest.mark.model
def test_draws_follow_the_models_probabilities(folder):
    import torch

    from workbench.llm.causal import _sampler

    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    draw = _sampler([0], 1.0, 0.9)
    counts = [0, 0, 0, 0]
    for _ in range(4000):
        counts[int(draw(None, scores).argmax())] += 1
    # Of the likeliest tokens that make up 90 %, the fourth is none; the others keep their odds.
    assert counts[3] == 0
    for count, share in zip(counts, (0.5, 0.3, 0.15), strict=False):
        assert abs(count / 4000 - share / 0.95) < 0.03


@real
@pytest.mark.model
def test_a_stopped_batch_ends_at_once(folder):
    assert [one.tokens_out for one in run(folder, [job()], most=10_000, stopped=lambda: True)] == [1]


@real
@pytest.mark.model
@pytest.mark.parametrize("content", [b"GGUF rubbish", b""])
def test_a_broken_file_is_a_sentence(tmp_path, content):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        open_client(LlmConfig(endpoints=(LocalEndpoint(path="m.gguf"),)), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or path.suffix == ".hf"] == []


@real
@pytest.mark.model
def test_a_folder_without_a_model_is_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        open_client(LlmConfig(endpoints=(LocalEndpoint(path="empty"),)), tmp_path)


@pytest.fixture
def smollm2(monkeypatch):
    monkeypatch.setenv("WB_MODELS", str(USERS_MODELS))
    if not models.stored(models.KNOWN["smollm2"]).fetched:
        pytest.skip("SmolLM2 is not here: wb models get smollm2")
    return Path(models.path_of("smollm2"))


@real
@pytest.mark.model
def test_smollm2_continues_a_list_and_is_converted_once(smollm2, tmp_path):
    opened = open_client(
        LlmConfig(max_tokens=60, temperature=0.7, endpoints=(LocalEndpoint(path="smollm2"),)), tmp_path
    )
    begun = "1. Where is my card?\n2. My card has not arrived yet.\n3."

    async def write():
        try:
            return await asyncio.gather(*(opened.answer(request(i, "Write 3 samples.", begun)) for i in range(2)))
        finally:
            await opened.close()

    answers = asyncio.run(write())
    for answer in answers:
        text = continued(request(0, "u", begun).messages, answer.text)
        drafts, _ = parse_reply("r", text, answer.finish, ("user",))
        assert drafts
        assert answer.text.isascii() or answer.text
    assert list(smollm2.parent.glob("*.hf/model.safetensors"))
    assert opened.model == "SmolLM2-135M-Instruct.Q4_1"


@real
@pytest.mark.model
def test_smollm2_writes_through_wb_generate_and_no_draw_is_written_twice(smollm2, tmp_path, wb):
    rows = {
        "card_arrival": [
            "Where is my card?",
            "My card has not come yet.",
            "When will the card arrive?",
            "Track my card",
        ],
        "exchange_rate": [
            "What is the rate today?",
            "Is the rate good?",
            "Which rate do you use?",
            "Show me the rates",
        ],
    }
    lines = [f"{text},{label}" for label, texts in rows.items() for text in texts]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    prompt = load("fewshot.en.j2").text
    (tmp_path / "prompts" / "minority.en.j2").write_text(prompt, encoding="utf-8")
    (tmp_path / "wb.yaml").write_text(
        "encoder: {name: hashed}\nllm: {endpoints: [{kind: local, path: smollm2}], max_tokens: 100, concurrency: 2}\n"
        "generate: {batch_size: 5, language: en}\n"
    )
    assert wb("data", "add", "rows.csv", "--split", "train").code == 0
    command = ("generate", "--class", "card_arrival", "--accept", 500, "--max-requests", 2, "--json")
    first, second = wb(*command).json, wb(*command).json
    assert (first["new_replies"], second["new_replies"]) == (2, 2)
    assert second["replies"] == 4
    assert first["price_known"]
    assert first["cost"] == 0
    assert first["tokens_in"] > 0
    from workbench.ledger import Ledger

    ledger = Ledger.open(tmp_path / "wb.db")
    replies = ledger.replies()
    read = [candidate.sample.text for candidate in ledger.candidates()]
    ledger.close()
    assert {reply.model for reply in replies} == {"SmolLM2-135M-Instruct.Q4_1"}
    assert sorted(reply.draw for reply in replies) == [0, 1, 2, 3]
    assert read
    assert not set(read) & {f"{i}. {text}" for i, text in enumerate(rows["card_arrival"], 1)}
