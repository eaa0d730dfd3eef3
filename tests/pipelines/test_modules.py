"""The facts about classes of modules, against the classes themselves."""

import importlib
import inspect
import warnings
from dataclasses import replace

import diffusers
import pytest
import torch
import transformers

from imagemill.engine.batch_axes import AUTOENCODERS, DENOISERS, ENCODERS, FACTS, Rows, parked
from imagemill.engine.exact_batching import Exact
from imagemill.engine.module_call import describe

# Arguments that carry no rows: all calls of a group have the same.
SHARED = {
    "img_ids", "txt_ids", "image_rotary_emb", "return_dict", "joint_attention_kwargs",
    "attention_kwargs", "cross_attention_kwargs", "skip_layers", "controlnet_blocks_repeat",
    "conditioning_scale", "guess_mode", "control_type_idx", "from_multi", "patch_size",
    "f_patch_size", "num_ref_tokens", "ref_fixed_timestep", "output_attentions",
    "output_hidden_states", "interpolate_pos_encoding", "logits_to_keep", "labels",
    "use_cache", "inputs_embeds", "kwargs", "self",
}  # fmt: skip
ELSEWHERE = {
    "OverlappingAutoencoder": "imagemill.pico.autoencoder",
    "SettingEncoder": "imagemill.pico.setting",
    "LookEncoder": "imagemill.pico.looks",
    "PlacementControlNet": "imagemill.pico.control",
    "SketchTransformer": "imagemill.pico.denoiser",
    "Editor": "imagemill.pico.editing",
    "ReferenceEncoder": "imagemill.pico.reference",
    "ImageProjection": "diffusers.models.embeddings",
    "IPAdapterFullImageProjection": "diffusers.models.embeddings",
    "IPAdapterPlusImageProjection": "diffusers.models.embeddings",
    "IPAdapterTimeImageProjection": "diffusers.models.embeddings",
    "ChatGLMModel": "diffusers.pipelines.kolors.text_encoder",
    "StableDiffusionSafetyChecker": "diffusers.pipelines.stable_diffusion.safety_checker",
    "SD3ControlNetModel": "diffusers.models.controlnets.controlnet_sd3",
    "MultiControlNetUnionModel": "diffusers.models.controlnets.multicontrolnet_union",
    "QwenImageMultiControlNetModel": "diffusers.models.controlnets.controlnet_qwenimage",
}


def class_of(name: str) -> type[torch.nn.Module]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Kolors' encoder scripts a function
        elsewhere = [importlib.import_module(ELSEWHERE[name])] if name in ELSEWHERE else []
    places = (diffusers, transformers, *elsewhere)
    kind: type[torch.nn.Module] = next(getattr(m, name) for m in places if hasattr(m, name))
    return kind


@pytest.mark.parametrize(("name", "method"), sorted(FACTS))
def test_every_argument_of_a_class_is_accounted_for(name: str, method: str) -> None:
    facts = FACTS[name, method]
    if facts.alone:
        return
    taken = set(inspect.signature(getattr(class_of(name), method)).parameters)
    known = facts.rowed | facts.listed | facts.solo | facts.unused | {facts.timestep}
    assert taken - known - facts.addends - SHARED == set()
    assert taken & (facts.rowed | facts.listed)


@pytest.mark.parametrize("name", sorted({**DENOISERS, **ENCODERS, **AUTOENCODERS}))
def test_what_is_listed_parks(name: str) -> None:
    methods = {method for each, method in FACTS if each == name}
    kind = class_of(name)
    assert methods <= set(parked(kind.__new__(kind)))


class Model(torch.nn.Module):
    """Named as others, whose facts it then has."""

    def __init__(self, **config: object) -> None:
        super().__init__()
        self.config = type("Config", (), config)()


class SD3Transformer2DModel(Model):
    def forward(
        self, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, timestep: object
    ) -> None: ...


class FluxTransformer2DModel(SD3Transformer2DModel): ...


class UNet2DConditionModel(Model):
    def forward(
        self, sample: torch.Tensor, timestep: object, encoder_hidden_states: torch.Tensor
    ) -> None: ...


class ControlNetModel(UNet2DConditionModel): ...


class ZImageTransformer2DModel(Model):
    def forward(self, x: list[torch.Tensor], t: object, cap_feats: list[torch.Tensor]) -> None: ...


@pytest.mark.parametrize(
    ("module", "latents"),
    [
        (SD3Transformer2DModel(patch_size=2), torch.empty(1, 16, 128, 128)),
        (FluxTransformer2DModel(patch_size=1), torch.empty(1, 4096, 64)),
        (UNet2DConditionModel(), torch.empty(1, 4, 128, 128)),
        (UNet2DConditionModel(), torch.empty(1, 9, 128, 128)),
        (ControlNetModel(), torch.empty(1, 4, 128, 128)),
    ],
)
def test_a_picture_of_1024_px_costs_the_same_in_every_kind_of_network(
    module: Model, latents: torch.Tensor
) -> None:
    more = {"controlnet_cond": torch.empty(1, 3, 1024, 1024)} if "Control" in str(module) else {}
    call = describe(
        module, "forward", (latents,),
        {"timestep": 1.0, "encoder_hidden_states": torch.empty(1, 77, 8), **more},
    )  # fmt: skip
    assert (call.rows, call.cells) == (1, 64 * 64)


def test_lists_of_latents_cost_as_much_as_their_largest() -> None:
    module = ZImageTransformer2DModel(all_patch_size=(2,))
    call = describe(
        module, "forward", ([torch.empty(16, 1, 128, 128), torch.empty(16, 1, 64, 64)],),
        {"t": torch.empty(2), "cap_feats": [torch.empty(20, 8), torch.empty(50, 8)]},
    )  # fmt: skip
    assert (call.rows, call.cells) == (2, 64 * 64)


def test_sizes_and_texts_of_lists_are_of_one_group_and_known_apart() -> None:
    module = ZImageTransformer2DModel(all_patch_size=(2,))
    calls = [
        describe(
            module, "forward", ([torch.empty(16, 1, side, 64)],),
            {"t": torch.empty(1), "cap_feats": [torch.empty(length, 8)]},
        )
        for side, length in ((64, 20), (64, 30), (64, 40), (32, 20))
    ]  # fmt: skip
    assert len({call.group for call in calls}) == 1
    assert len({call.shapes for call in calls}) == 3


def test_masks_that_leave_nothing_out_are_not_mixed_with_others() -> None:
    class T5EncoderModel(Model):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> None: ...

    module, ids = T5EncoderModel(), torch.zeros(1, 4, dtype=torch.int64)
    full, some, more = (
        describe(module, "forward", (ids, torch.tensor([mask])), {})
        for mask in ([1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0])
    )
    assert full.group != some.group
    assert some.group == more.group


def test_masks_that_decide_the_shape_are_mixed_with_none_of_another_length() -> None:
    class Lumina2Transformer2DModel(Model):
        def forward(
            self,
            hidden_states: torch.Tensor,
            timestep: object,
            encoder_attention_mask: torch.Tensor,
        ) -> None: ...

    module, latents = Lumina2Transformer2DModel(), torch.empty(1, 4, 8, 8)
    a, b, c = (
        describe(module, "forward", (latents, torch.empty(1), torch.tensor([mask])), {})
        for mask in ([1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0])
    )
    assert a.group != b.group
    assert a.group == c.group


class HiDreamImageTransformer2DModel(Model):
    def forward(self, hidden_states: torch.Tensor, timesteps: object) -> object:
        self.seen = len(hidden_states)
        return (hidden_states * self.seen,)


def test_a_mixture_of_experts_runs_call_by_call_as_it_was_called() -> None:
    module, exact = HiDreamImageTransformer2DModel(), Exact(enough=1)
    calls = [describe(module, "forward", (torch.ones(rows, 4), 1.0), {}) for rows in (1, 2)]
    assert not any(exact.shares(call) for call in calls)
    for _ in range(2):
        assert [output[0][0, 0].item() for output in exact.run(calls)] == [1.0, 2.0]


class ChatGLMModel(Model):
    """Gives what it makes of each row in another axis, and a cache where it is let."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: object = None, use_cache: bool = True
    ) -> dict[str, object]:
        hidden = input_ids.T[..., None] * 2.0
        return {"hidden": hidden, "cache": object() if use_cache else None}


def test_rows_may_come_out_in_another_axis_and_without_a_cache() -> None:
    module, exact = ChatGLMModel(), Exact(enough=1)
    calls = [
        describe(module, "forward", (torch.tensor([[i, 7]]),), {"use_cache": None})
        for i in range(4)
    ]
    for _ in range(2):
        outputs = exact.run(calls)
        assert [output["hidden"].flatten().tolist() for output in outputs] == [
            [2.0 * i, 14.0] for i in range(4)
        ]
        assert all(output["cache"] is None for output in outputs)


def test_a_call_that_goes_on_from_another_runs_alone() -> None:
    module = ChatGLMModel()
    ids = torch.zeros(1, 2)
    assert describe(module, "forward", (ids,), {"past_key_values": [ids]}).alone
    assert not describe(module, "forward", (ids,), {"past_key_values": None}).alone


def test_facts_can_be_compared_and_kept() -> None:
    assert len({Rows(), replace(Rows(), serial=True), Rows()}) == 2
