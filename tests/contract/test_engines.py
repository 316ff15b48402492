"""What every engine driver must keep, whoever wrote it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.engines import CPU, make_request, make_version

from aicp.core.errors import InvalidError
from aicp.core.launch import LaunchSpec
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType, ModelVersion
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, Flag, LaunchRequest, Sizing
from aicp.gateway.endpoints import served_by

REGISTRY = Registry[Engine]("aicp.engines")
PLACEHOLDERS = {"python", "model", "model_file", "listen", "port", "token", "home", "threads"}


@pytest.fixture(params=REGISTRY.names())
def engine(request: pytest.FixtureRequest) -> Engine:
    return REGISTRY.get(request.param)


def fitting_type(engine: Engine) -> ModelType:
    """Chat where the engine serves it, else the first type that it does."""
    return next(kind for kind in ModelType if engine.endpoints(kind))


def fitting_version(engine: Engine) -> ModelVersion:
    if fitting_type(engine) is ModelType.EMBEDDING:
        files = [
            ModelFile(path=path, sha256="0" * 64, size_bytes=9) for path in ("model.safetensors", "tokenizer.json")
        ]
        return make_version(
            files=files, architecture=make_version().architecture.model_copy(update={"name": "BertModel"})
        )
    if ModelFormat.SAFETENSORS in engine.formats:
        return make_version()
    file = ModelFile(path="model-q8_0.gguf", sha256="0" * 64, size_bytes=200_000_000)
    architecture = make_version().architecture.model_copy(update={"name": "qwen3"})
    return make_version(format=ModelFormat.GGUF, files=[file], architecture=architecture)


def asked(engine: Engine, **more: Any) -> LaunchRequest:
    return make_request(fitting_version(engine), model_type=fitting_type(engine), **more)


def launch(engine: Engine, **more: Any) -> LaunchSpec:
    request = asked(engine, engine_version=engine.versions[0], **more)
    return engine.launch(request)


def test_it_is_named_as_its_file(engine: Engine) -> None:
    assert REGISTRY.get(engine.name) is engine
    assert engine.title
    assert engine.versions


def test_it_serves_a_fitting_model_on_a_processor_and_says_so(engine: Engine) -> None:
    fit = engine.supports(fitting_version(engine), fitting_type(engine), [CPU])
    assert fit.fits, fit.reason
    assert engine.variants([CPU])
    natural = "/v1/chat/completions" if fitting_type(engine) is ModelType.CHAT else "/v1/embeddings"
    assert natural in engine.endpoints(fitting_type(engine))


def test_it_serves_nothing_without_an_accelerator(engine: Engine) -> None:
    fit = engine.supports(fitting_version(engine), fitting_type(engine), [])
    assert not fit.fits
    assert fit.reason


def test_a_type_without_endpoints_does_not_fit(engine: Engine) -> None:
    for model_type in ModelType:
        if not engine.endpoints(model_type):
            assert not engine.supports(fitting_version(engine), model_type, [CPU]).fits


def test_every_endpoint_can_be_called_through_the_gateway(engine: Engine) -> None:
    for model_type in ModelType:
        for path in engine.endpoints(model_type):
            assert served_by(frozenset({path})) != "nothing", path


def test_formats_off_its_list_do_not_fit(engine: Engine) -> None:
    for format in set(ModelFormat) - engine.formats:
        version = fitting_version(engine).model_copy(update={"format": format})
        fit = engine.supports(version, fitting_type(engine), [CPU])
        assert not fit.fits
        assert fit.suggestions


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("cores", [1, 2, 64])
def test_defaults_fit_the_model_and_the_node_and_have_reasons(engine: Engine, mode: Mode, cores: int) -> None:
    version = fitting_version(engine)
    defaults = engine.defaults(version, fitting_type(engine), mode, cores)
    assert version.context_length is not None
    assert 16 <= defaults.context_length <= version.context_length
    assert 0 < defaults.cpu_cores <= cores
    assert defaults.users >= 1
    assert set(defaults.reasons) == {"context_length", "users", "cpu_cores"}
    assert all(defaults.reasons.values())


@pytest.mark.parametrize("mode", list(Mode))
def test_every_setting_has_a_reason_and_one_place(engine: Engine, mode: Mode) -> None:
    choices = engine.settings(asked(engine, mode=mode))
    assert all(choice.reason and choice.chosen_by == "platform" for choice in choices)
    assert len({choice.name for choice in choices}) == len(choices)


def test_a_launch_holds_only_known_placeholders_and_no_secret(engine: Engine) -> None:
    spec = launch(engine)
    words = [*spec.command, *spec.env.values()]
    used = {name for word in words for name in re.findall(r"\{(\w+)\}", word)}
    assert used <= PLACEHOLDERS
    assert spec.command[0] == "{python}"
    assert not any("{token}" in word for word in spec.command), "a list of processes would show it"
    assert any("{token}" in value for value in spec.env.values())
    assert any("{listen}" in word for word in words)
    assert spec.environment is engine.environment
    assert spec.engine == engine.name


def test_the_served_name_is_what_was_asked(engine: Engine) -> None:
    assert "m" in launch(engine).command


def test_a_hostile_name_stays_one_word(engine: Engine) -> None:
    request = asked(engine, served_name="$(reboot); --help")
    assert "$(reboot); --help" in engine.launch(request).command


def test_launches_are_pure(engine: Engine) -> None:
    assert launch(engine) == launch(engine)


def test_memory_parts_add_up_and_grow_with_what_is_asked(engine: Engine) -> None:
    version = fitting_version(engine)

    def total(context: int, users: int) -> int:
        parts = engine.estimate(version, fitting_type(engine), Mode.BALANCED, Sizing(context, users, 2.0))
        assert all(part.bytes >= 0 and part.explanation for part in parts)
        assert len({part.name for part in parts}) == len(parts)
        return sum(part.bytes for part in parts)

    assert total(4096, 8) >= total(4096, 4) >= total(1024, 4) > 0


def _beyond(flag: Flag) -> list[Any]:
    wrong: list[Any] = [None, [], {}]
    if flag.type == "bool":
        return [*wrong, "true", 1]
    if flag.type == "str":
        return [*wrong, 3, "--trust-remote-code"]
    limits = [limit for limit in (flag.maximum,) if limit is not None]
    return [*wrong, "1", True, *(type(limit)(limit + 1) for limit in limits)]


def _within(flag: Flag) -> Any:
    if flag.type == "bool":
        return True
    if flag.type == "str":
        return flag.choices[-1]  # the first may stand for not using it
    return int(flag.minimum or 0) if flag.type == "int" else float(flag.minimum or 0)


def test_allowed_flags_reach_the_command_as_the_users_choice(engine: Engine) -> None:
    for name, flag in engine.flags.items():
        assert flag.description
        assert flag.type != "str" or flag.choices, "a free text could be anything"
        assert flag.type not in ("int", "float") or flag.maximum is not None, "a number without an upper limit"
        request = asked(engine, mode=Mode.CUSTOM, flags={name: _within(flag)})
        [choice] = [choice for choice in engine.settings(request) if choice.name == name]
        assert choice.chosen_by == "user"
        assert any(name.replace("_", "-") in word for word in engine.launch(request).command)


def test_flags_off_the_list_or_out_of_range_are_refused(engine: Engine) -> None:
    for name, flag in engine.flags.items():
        for value in _beyond(flag):
            with pytest.raises(InvalidError):
                engine.settings(asked(engine, mode=Mode.CUSTOM, flags={name: value}))
    for name in ("trust_remote_code", "--model", "model", "host", "api_key", "tools"):
        with pytest.raises(InvalidError):
            engine.launch(asked(engine, mode=Mode.CUSTOM, flags={name: "x"}))


def test_flags_need_the_custom_mode(engine: Engine) -> None:
    name, flag = next(iter(engine.flags.items()))
    with pytest.raises(InvalidError) as caught:
        engine.settings(asked(engine, flags={name: _within(flag)}))
    assert "custom" in (caught.value.hint or "")


def test_fields_that_steer_the_engine_are_refused_and_public_ones_are_not(engine: Engine) -> None:
    assert {"priority", "request_id"} <= set(engine.refused_fields)
    public = {"model", "messages", "prompt", "stream", "temperature", "tools", "max_tokens", "response_format", "user"}
    assert not public & set(engine.refused_fields)


def test_what_it_goes_on_with_is_what_it_serves(engine: Engine) -> None:
    assert set(engine.continues) <= {"/v1/chat/completions", "/v1/completions"} & set(engine.endpoints(ModelType.CHAT))
    assert engine.continues.get("/v1/completions", "prompt") == "prompt"
    assert engine.continues.get("/v1/chat/completions", "prefill") in ("prefill", "continue_final_message")


def test_metrics_have_platform_names(engine: Engine) -> None:
    assert {"requests_running", "prompt_tokens_total", "generation_tokens_total"} <= set(engine.metrics)


def test_an_unknown_architecture_is_never_tried(engine: Engine) -> None:
    if engine.internal:
        pytest.skip("it stands for any model")
    version = fitting_version(engine).model_copy(update={"architecture": Architecture(name="NobodyKnowsForCausalLM")})
    fit = engine.supports(version, fitting_type(engine), [CPU])
    assert not fit.fits
    assert "NobodyKnowsForCausalLM" in fit.reason
