"""What musweep.py does to a model and says of an optimizer, through its public functions, in one process.

Initial weights and masks are held against test/torch/draws.py, which is written from docs/trainer-protocol.md alone.
PLANS names a JSON file: name to plan, made by script-plan.ts.
"""

import copy
import json
import math
import os
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "torch"))
import draws

import musweep

PLANS = json.loads(Path(os.environ["PLANS"]).read_text())
WIDTH = 64


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return x + self.down(F.relu(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(WIDTH, 11, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


ROLES = {
    "embed.*": "embedding",
    "blocks.*.up.weight": "hidden",
    "blocks.*.down.weight": "residual_output",
    "head.*": "unembedding",
    "blocks.*.norm.*": "vector",
    "*.bias": "vector",
}
# Biases of norms are matched by two patterns above.
RIGHT = {**{k: v for k, v in ROLES.items() if k != "*.bias"}, "blocks.*.up.bias": "vector"}


class Looked(Exception):
    pass


def alone(plan, train):
    """Runs train(run) for a plan, as --musweep-plan does."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "plan.json"
        path.write_text(json.dumps(plan))
        musweep.main(train, plan=path)


def look(plan, see):
    """Calls see(run), and ends there."""

    def train(run):
        see(run)
        raise Looked

    try:
        alone(plan, train)
    except Looked:
        return
    raise AssertionError("the run ended before it was looked at")


def changed(plan, **fields):
    return {**copy.deepcopy(plan), **fields}


def batch(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randint(11, (16, 4), generator=generator)
    return x, (x + 3) % 11


def training(make_optimizer, make_scheduler=None, before_step=None, roles=RIGHT, after=None, init="normal"):
    """A training script whose parts can be wrong."""

    def train(run):
        run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
        torch.manual_seed(0)
        model = Net()
        groups = run.apply(model, roles, init=init)
        optimizer = make_optimizer(groups, model)
        scheduler = (make_scheduler or (lambda run, optimizer: run.scheduler(optimizer)))(run, optimizer)
        for step in run.steps():
            x, y = batch(step)
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            run.clip(model)
            if before_step:
                before_step(model, optimizer, step)
            optimizer.step()
            if scheduler:
                scheduler.step()
            run.report(train_loss=loss)
            if after:
                after(model, optimizer, step)
        run.evaluate(validation_loss=loss)

    return train


def adamw(groups, _model):
    return torch.optim.AdamW(groups)


class Draws(unittest.TestCase):
    def test_the_reference_is_right(self):
        self.assertTrue(draws.known_answers_hold())

    def test_words_are_those_of_the_page(self):
        ours = musweep._words(4294967295, "mask/blocks.0.up.weight", 7, 5, torch.device("cpu"))
        theirs = draws.words(4294967295, "mask/blocks.0.up.weight", 7, 5)
        self.assertEqual(ours.tolist(), theirs.tolist())

    def test_initial_weights_and_masks_of_every_parameter(self):
        for name in ("sp", "mup", "supar", "supar bernoulli"):
            plan = PLANS[name]
            kind, seed = plan["mask"], plan["seed"]

            def see(run, plan=plan, kind=kind, seed=seed):
                model = Net()
                run.apply(model, RIGHT)
                for parameter, tensor in model.named_parameters():
                    pattern = next(p for p in RIGHT if musweep.fnmatch.fnmatchcase(parameter, p))
                    role = plan["roles"][RIGHT[pattern]]
                    if role["init_std"] is None:
                        continue
                    expected = draws.normal(seed, parameter, tensor.numel(), role["init_std"])
                    if role["density"] < 1:
                        expected = expected * draws.mask(seed, parameter, tensor.numel(), role["density"], kind)
                    actual = tensor.detach().flatten().numpy()
                    self.assertEqual((actual == 0).tolist(), (expected == 0).tolist(), parameter)
                    # Libraries may differ in the last bit.
                    np.testing.assert_allclose(actual, expected, rtol=3e-7, atol=0)

            look(plan, see)

    def test_a_stream_in_pieces_and_sizes_that_are_no_multiple_of_four(self):
        whole = musweep._BLOCKS_AT_ONCE
        try:
            for musweep._BLOCKS_AT_ONCE in (1, 3, whole):
                for size in (1, 2, 5, 37):
                    ours = musweep._draw_normal(3, "x", size, 0.7, torch.device("cpu"))
                    np.testing.assert_allclose(ours.numpy(), draws.normal(3, "x", size, 0.7), rtol=3e-7)
                    for kind in ("exact", "bernoulli"):
                        dropped = musweep._draw_dropped(3, "x", size, 0.4, kind, torch.device("cpu"))
                        kept = draws.mask(3, "x", size, 0.4, kind)
                        self.assertEqual((~dropped).float().tolist(), kept.tolist())
        finally:
            musweep._BLOCKS_AT_ONCE = whole

    def test_a_mask_does_not_depend_on_how_the_script_wraps_its_model(self):
        masks = []

        def see(run):
            model = Net()
            run.apply(torch.compile(model) if masks else model, RIGHT)
            masks.append(model.blocks[0].up.weight == 0)

        look(PLANS["supar"], see)
        look(PLANS["supar"], see)
        self.assertTrue(torch.equal(*masks))
        self.assertEqual(int(masks[0].sum()), 3 * 256 * 64 // 4)


class Roles(unittest.TestCase):
    def refused(self, roles, message, model=Net):
        with self.assertRaisesRegex(musweep.ScriptError, message):
            alone(PLANS["supar"], lambda run: run.apply(model(), roles))

    def test_a_parameter_that_matches_nothing_is_named(self):
        self.refused(
            {k: v for k, v in RIGHT.items() if k != "head.*"}, r"head.weight \[11, 64\] is matched by no pattern"
        )

    def test_a_parameter_that_matches_twice_is_named(self):
        self.refused(ROLES, r"blocks.0.norm.bias \[64\] is matched by 'blocks.\*.norm.\*' and '\*.bias'")

    def test_a_gain_or_bias_is_no_matrix(self):
        self.refused({**RIGHT, "blocks.*.up.bias": "hidden"}, r"blocks.1.up.bias .* as hidden, but gains and biases")

    def test_an_unknown_role_says_which_there_are(self):
        self.refused({**RIGHT, "head.*": "output"}, "no role 'output'; there are embedding, hidden")

    def test_a_tied_parameter_is_one(self):
        def tied():
            model = Net()
            model.head.weight = model.embed.weight
            return model

        self.refused(
            RIGHT, r"embed.weight = head.weight \[11, 64\] is matched by 'embed.\*' and 'head.\*'; a tied", tied
        )

        def see(run):
            model = tied()
            groups = run.apply(model, {k: v for k, v in RIGHT.items() if k != "head.*"})
            self.assertEqual(sum(len(g["params"]) for g in groups), len(list(model.parameters())))

        look(PLANS["supar"], see)

    def test_a_frozen_parameter_needs_no_role(self):
        def see(run):
            model = Net()
            model.embed.weight.requires_grad = False
            groups = run.apply(model, {k: v for k, v in RIGHT.items() if k != "embed.*"})
            self.assertNotIn("embedding", [g["role"] for g in groups])

        look(PLANS["supar"], see)

    def test_a_neuron_keeps_at_least_one_weight(self):
        plan = changed(PLANS["supar"])
        plan["roles"]["hidden"]["density"] = 1 / 128
        with self.assertRaisesRegex(musweep.ScriptError, "blocks.0.up.weight: 64 inputs times density 0.0078125"):
            alone(plan, lambda run: run.apply(Net(), RIGHT))

    def test_the_groups_hold_the_plan_s_numbers(self):
        def see(run):
            groups = {g["role"]: g for g in run.apply(Net(), RIGHT)}
            # Width 2 times the base's, density 1/4: m_d m_ρ = 1/2; λ η = 0.1 · 2^-7 for every matrix.
            rates = {
                "embedding": 2**-7,
                "hidden": 2**-6,
                "residual_output": 2**-6,
                "unembedding": 2**-7,
                "vector": 2**-7,
            }
            self.assertEqual({k: g["lr"] for k, g in groups.items()}, rates)
            for role, group in groups.items():
                decay = 0 if role == "vector" else 0.1 * 2**-7
                self.assertAlmostEqual(group["lr"] * group["weight_decay"], decay, delta=1e-18)
                self.assertEqual((group["eps"], group["betas"]), (1e-8, (0.9, 0.95)))

        look(PLANS["supar"], see)

    def test_a_matrix_with_a_width_of_its_own(self):
        def see(run):
            model = Net()
            wide = run.role("residual_output", width_multiplier=8)
            groups = {g["role"]: g for g in run.apply(model, {**RIGHT, "blocks.*.down.weight": wide})}
            # Rate η/(m_d m_ρ) with m_d = 8 and m_ρ = 1/4; init σ/√(m_d m_ρ · 2 layers); decay does not depend on it.
            group = groups["residual_output (width multiplier 8)"]
            self.assertEqual(group["lr"], 2**-7 / 2)
            self.assertAlmostEqual(group["lr"] * group["weight_decay"], 0.1 * 2**-7, delta=1e-18)
            weights = model.blocks[0].down.weight.detach()
            std = float(weights[weights != 0].std())
            self.assertAlmostEqual(std / (0.1 / math.sqrt(2 * 4)), 1, delta=0.05)
            with self.assertRaisesRegex(musweep.ScriptError, "embedding does not depend on width"):
                run.role("embedding", width_multiplier=8)

        look(PLANS["supar"], see)

    def test_the_script_s_own_initial_weights_take_density_s_factor_alone(self):
        for name, factor in (("supar", 2.0), ("mup", 1.0)):

            def see(run, factor=factor):
                torch.manual_seed(5)
                model = Net()
                before = copy.deepcopy(model.state_dict())
                run.apply(model, RIGHT, init="keep")
                for parameter, tensor in model.state_dict().items():
                    hidden = parameter.endswith(("up.weight", "down.weight"))
                    kept = tensor != 0 if hidden else torch.ones_like(tensor, dtype=torch.bool)
                    expected = before[parameter] * (factor if hidden else 1)
                    torch.testing.assert_close(tensor[kept], expected[kept])
                    self.assertEqual(hidden, not kept.all())

            look(PLANS[name], see)


class Masks(unittest.TestCase):
    def test_masked_weights_stay_0_over_steps_with_decay(self):
        first = {}

        def after(model, optimizer, step):
            for name, tensor in model.named_parameters():
                if not name.endswith(("up.weight", "down.weight")):
                    continue
                missing = first.setdefault(name, tensor.detach() == 0)
                self.assertEqual(int(missing.sum()), missing.numel() * 3 // 4)
                self.assertTrue(bool((tensor.detach()[missing] == 0).all()))
                self.assertTrue(bool((tensor.grad[missing] == 0).all()))
                state = optimizer.state[tensor]
                self.assertTrue(
                    bool((state["exp_avg"][missing] == 0).all() and (state["exp_avg_sq"][missing] == 0).all())
                )
                self.assertTrue(bool((tensor.detach()[~missing] != 0).all()))

        alone(PLANS["supar"], training(adamw, after=after))
        self.assertEqual(len(first), 4)

    def test_what_else_writes_to_a_weight_is_cleared_after_the_step(self):
        def before_step(model, _optimizer, step):
            if step > 1:
                model.blocks[0].up.weight.data.add_(0.01)

        def after(model, _optimizer, _step):
            self.assertEqual(int((model.blocks[0].up.weight == 0).sum()), 3 * 256 * 64 // 4)

        alone(PLANS["supar"], training(adamw, before_step=before_step, after=after))

    def test_the_masks_follow_a_model_to_another_precision(self):
        def train(run):
            run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
            model = Net()
            optimizer = torch.optim.AdamW(run.apply(model, RIGHT))
            model.double()
            scheduler = run.scheduler(optimizer)
            for step in run.steps():
                x, y = batch(step)
                loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
                optimizer.zero_grad()
                loss.backward()
                run.clip(model)
                optimizer.step()
                scheduler.step()
                run.report(train_loss=loss)
            self.assertEqual(int((model.blocks[0].up.weight == 0).sum()), 3 * 256 * 64 // 4)
            run.evaluate(validation_loss=loss)

        alone(PLANS["supar"], train)


class Optimizers(unittest.TestCase):
    def refused(self, message, *parts, plan="supar", **more):
        with self.assertRaisesRegex(musweep.ScriptError, message):
            alone(PLANS[plan] if isinstance(plan, str) else plan, training(*parts, **more))

    def test_the_parameters_instead_of_the_groups(self):
        self.refused(
            "holds parameters of several roles .embedding, hidden.*what run.apply returned",
            lambda _groups, model: torch.optim.AdamW(model.parameters(), lr=2**-7),
        )

    def test_an_optimizer_without_a_rule(self):
        self.refused("steps with SGD, but the plan's rates are AdamW's", lambda groups, _: torch.optim.SGD(groups))

    def test_decay_through_the_gradient(self):
        self.refused("Adam adds decay to the gradient", lambda groups, _: torch.optim.Adam(groups))

    def test_another_decay(self):
        def make(groups, _model):
            groups[0]["weight_decay"] = 0.01
            return torch.optim.AdamW(groups)

        self.refused("group embedding has weight_decay 0.01, the plan says 0.1", make)

    def test_a_group_that_is_left_out(self):
        self.refused(
            "no optimizer steps head.weight: give it all groups", lambda groups, _: torch.optim.AdamW(groups[:-1])
        )

    def test_weights_that_are_written_to_after_apply(self):
        def before_step(model, _optimizer, _step):
            nn.init.normal_(model.blocks[1].up.weight, std=0.02)

        self.refused("blocks.1.up.weight was written to between run.apply and the first step", adamw, None, before_step)

    def test_a_schedule_that_sets_one_rate_for_all(self):
        def before_step(_model, optimizer, step):
            for group in optimizer.param_groups:
                group["lr"] = 3e-4 * (step / 20)

        for plan in ("supar", "supar without schedule"):
            self.refused(
                "rates at step 1 are not in the plan's proportion: embedding .*hidden .*initial_lr",
                adamw,
                lambda *_: None,
                before_step,
                plan=plan,
            )

    def test_a_schedule_that_sets_one_rate_for_all_later(self):
        def before_step(_model, optimizer, step):
            if step > 5:
                for group in optimizer.param_groups:
                    group["lr"] = 1e-3

        self.refused(
            "rates at step 6 are not in the plan's", adamw, lambda *_: None, before_step, plan="supar without schedule"
        )

    def test_torch_s_schedule_with_one_highest_rate(self):
        self.refused(
            "not in the plan's proportion",
            adamw,
            lambda _run, o: torch.optim.lr_scheduler.OneCycleLR(o, 1e-2, 20, cycle_momentum=False),
            plan="supar without schedule",
        )

    def test_a_schedule_of_the_script_s_own_that_is_not_the_plan_s(self):
        self.refused(
            "rates at step 1 are 1 of the plan's peak, its schedule says 0.5.*Without a schedule in the sweep file",
            adamw,
            lambda _run, optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        )

    def test_a_schedule_that_is_stepped_too_seldom(self):
        self.refused(
            "rates at step 2 are 0.5 of the plan's peak, its schedule says 1",
            adamw,
            lambda run, optimizer: [run.scheduler(optimizer), None][1],
        )

    def test_rates_above_the_plan_s_and_far_below(self):
        def scaled(factor):
            return lambda _run, optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: factor)

        plan = "supar without schedule"
        self.refused("rates at step 1 are above the plan's", adamw, scaled(2.0), plan=plan)
        self.refused("never came above 0.1 of the plan's", adamw, scaled(0.1), plan=plan)

    def test_schedules_that_scale_are_right(self):
        plan = PLANS["supar without schedule"]
        schedulers = torch.optim.lr_scheduler
        alone(plan, training(adamw, lambda _run, optimizer: schedulers.CosineAnnealingLR(optimizer, T_max=20)))
        alone(plan, training(adamw, lambda _run, optimizer: schedulers.LinearLR(optimizer, 0.1, 1.0, 5)))
        alone(plan, training(adamw, lambda *_: None))

        def one_cycle(**more):
            return lambda _run, o: schedulers.OneCycleLR(o, [g["lr"] for g in o.param_groups], 20, **more)

        alone(plan, training(adamw, one_cycle(cycle_momentum=False)))
        # Its cycle of β1 is not the plan's.
        self.refused("has betas .*the plan says", adamw, one_cycle(), plan=plan)


class Schedules(unittest.TestCase):
    def factors(self, schedule, steps):
        found = []

        def see(run):
            found.extend(run.schedule_factor(t) for t in range(1, steps + 1))
            parameter = nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.AdamW([parameter], lr=0.25)
            scheduler = run.scheduler(optimizer)
            for factor in found:
                self.assertAlmostEqual(optimizer.param_groups[0]["lr"], 0.25 * factor, delta=1e-15)
                optimizer.step()
                scheduler.step()

        look(changed(PLANS["sp"], schedule=schedule, steps=steps), see)
        return found

    def test_known_factors(self):
        # Warm-up t/2; then 1 − 0.8·(t − 2)/4, and 0.2 + 0.8·(1 + cos π(t − 2)/4)/2.
        linear = {"warmup_steps": 2, "decay": "linear", "final_fraction": 0.2}
        np.testing.assert_allclose(self.factors(linear, 6), [0.5, 1, 0.8, 0.6, 0.4, 0.2], rtol=1e-12)
        cosine = self.factors({**linear, "decay": "cosine"}, 6)
        np.testing.assert_allclose(cosine, [0.5, 1, 0.6 + 0.4 * 0.5**0.5, 0.6, 0.6 - 0.4 * 0.5**0.5, 0.2], rtol=1e-12)
        self.assertEqual(self.factors({**linear, "decay": "constant"}, 4), [0.5, 1, 1, 1])
        np.testing.assert_allclose(self.factors({**linear, "warmup_steps": 0}, 5), [1, 0.8, 0.6, 0.4, 0.2], rtol=1e-12)

    def test_without_a_schedule_there_is_no_factor(self):
        with self.assertRaisesRegex(musweep.ScriptError, "the sweep file gives no schedule"):
            alone(PLANS["supar without schedule"], lambda run: run.schedule_factor(1))


class Multipliers(unittest.TestCase):
    def one_step(self, *read, clip=True):
        def train(run):
            for name in read:
                run.attention_scale(16) if name == "attention_scale" else getattr(run, name)
            for _ in run.steps():
                if clip:
                    run.clip(nn.Linear(2, 2))
                run.report(train_loss=1.0)
            run.evaluate(validation_loss=1.0)

        return train

    def test_values(self):
        def see(run):
            values = (run.embedding_multiplier, run.residual_multiplier, run.logits_multiplier, run.attention_scale(16))
            self.assertEqual(values, (2, 1, 0.25, 1 / 16))

        look(PLANS["supar"], see)
        look(PLANS["sp"], lambda run: self.assertEqual(run.attention_scale(16), 1 / 4))

    def test_one_that_is_never_read_is_an_error(self):
        names = ["embedding_multiplier", "attention_scale", "residual_multiplier", "logits_multiplier"]
        for missing in (0, 1, 3):
            read = [n for i, n in enumerate(names) if i != missing]
            with self.assertRaisesRegex(
                musweep.ScriptError, f"plan's {names[missing]} is .*, and the script never read it"
            ):
                alone(PLANS["supar"], self.one_step(*read))
        # The residual multiplier is 1 here: said, no error.
        alone(PLANS["supar"], self.one_step(*(n for n in names if n != "residual_multiplier")))

    def test_a_model_may_have_none(self):
        def train(run):
            run.without("attention_scale", "embedding_multiplier")
            self.one_step("residual_multiplier", "logits_multiplier")(run)

        alone(PLANS["supar"], train)
        with self.assertRaisesRegex(musweep.ScriptError, "knows no 'attention'"):
            alone(PLANS["supar"], lambda run: run.without("attention"))

    def test_clipping_and_precision_are_asked_for_too(self):
        with self.assertRaisesRegex(musweep.ScriptError, "clip_norm is 1, and the script never read it"):
            alone(PLANS["sp"], self.one_step(clip=False))
        with self.assertRaisesRegex(musweep.ScriptError, "precision is bfloat16, and the script never read it"):
            alone(changed(PLANS["sp"], precision="bfloat16"), self.one_step())
        alone(changed(PLANS["sp"], clip_norm=None), self.one_step(clip=False))

    def test_clipping(self):
        def see(run):
            model = nn.Linear(2, 1, bias=False)
            model.weight.grad = torch.tensor([[3.0, 4.0]])
            self.assertAlmostEqual(run.clip(model), 5, delta=1e-6)
            self.assertAlmostEqual(float(model.weight.grad.norm()), 1, delta=1e-5)

        look(PLANS["sp"], see)


class SettingsAndPlans(unittest.TestCase):
    def test_settings(self):
        def see(run):
            settings = run.settings
            self.assertEqual((settings.width, settings["width"], settings.get("dropout", 0.5)), (64, 64, 0.5))
            self.assertTrue("layers" in settings and "dropout" not in settings and not hasattr(settings, "dropout"))
            for wrong in (lambda: settings.widht, lambda: settings["widht"]):
                with self.assertRaisesRegex(
                    musweep.ScriptError, "no setting 'widht'; did you mean 'width'. There are: layers,"
                ):
                    wrong()

        look(PLANS["sp"], see)

    def test_a_plan_that_cannot_be_trained_says_why(self):
        plan = PLANS["sp"]
        for wrong, message in (
            ({"groups": []}, "the plan has no valid"),
            (changed(plan, version=3), "no plan with version 3"),
            (changed(plan, seed=-1), "seed -1 is not"),
            (changed(plan, mask="blocks"), "no plan with mask 'blocks'"),
            (
                changed(plan, roles={"hidden": {"learning_rate": "fast"}}),
                'role hidden has no valid learning_rate: "fast"',
            ),
            (
                changed(plan, schedule={"warmup_steps": 0, "decay": "sqrt", "final_fraction": 0}),
                "no plan with schedule 'sqrt'",
            ),
            ([], "the plan has no valid version"),
        ):
            if "groups" in wrong:
                message = "this plan is for the built-in trainer"
            with self.assertRaisesRegex(musweep.PlanError, message):
                alone(wrong, lambda run: None)

    def test_how_many_steps(self):
        def train(steps):
            return lambda run: next(run.steps(steps))

        with self.assertRaisesRegex(musweep.ScriptError, r"says 20 steps, run.steps\(30\)"):
            alone(PLANS["sp"], train(30))
        with self.assertRaisesRegex(musweep.ScriptError, "how many steps"):
            alone(changed(PLANS["sp"], steps=None), train(None))


class Coordinates(unittest.TestCase):
    def test_measuring_leaves_training_alone(self):
        def result(plan):
            weights, seen = {}, []

            def train(run):
                run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
                torch.manual_seed(3)
                model = nn.Sequential(Net(), nn.Dropout(0.5), nn.BatchNorm1d(4))
                roles = {**{f"0.{k}": v for k, v in RIGHT.items()}, "2.*": "vector"}
                optimizer = torch.optim.AdamW(run.apply(model, roles))
                scheduler = run.scheduler(optimizer)
                x, _ = batch(0)

                def forward():
                    seen.append(model.training)
                    model(x)

                run.modules({"block": model[0].blocks, "end": model}, forward)
                for step in run.steps():
                    x, y = batch(step)
                    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
                    optimizer.zero_grad()
                    loss.backward()
                    run.clip(model)
                    optimizer.step()
                    scheduler.step()
                    run.report(train_loss=loss)
                self.assertTrue(model.training)
                weights.update(copy.deepcopy(model.state_dict()))
                run.evaluate(validation_loss=loss)

            alone(plan, train)
            return weights, seen

        plain, unseen = result(PLANS["supar"])
        measured, seen = result(changed(PLANS["supar"], coordinates={"steps": 3}))
        self.assertEqual((unseen, seen), ([], [False] * 4))
        self.assertTrue(all(torch.equal(plain[k], measured[k]) for k in plain))

    def test_a_module_that_does_not_run(self):
        def train(run):
            run.modules({"lost": nn.Linear(1, 1)}, lambda: None)
            next(run.steps())

        with self.assertRaisesRegex(musweep.ScriptError, "run.modules names 'lost'"):
            alone(changed(PLANS["sp"], coordinates={"steps": 1}), train)


if __name__ == "__main__":
    unittest.main(verbosity=2)
