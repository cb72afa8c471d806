import copy
import pickle
import random
from dataclasses import replace

import pytest
import torch

import positcore as pc
from positcore.gemm.patches import Geometry, unfold
from positcore.nn import Override, Policy, Stage, quantize
from positcore.nn.functional import conv2d, linear

QUIRE = pc.Quire()


def test_parse_reads_formats_and_accumulators():
    p = Policy.parse("O16-L12-F8q-B10/1q-G9/0uq")
    assert p.optimizer == Stage(pc.posit16)
    assert p.loss == Stage(pc.PositFormat(12, 2))
    assert p.forward == Stage(pc.posit8, QUIRE)
    assert p.backward == Stage(pc.PositFormat(10, 1), QUIRE)
    assert p.gradient == Stage(pc.PositFormat(9, 0, underflow=True), QUIRE)


@pytest.mark.parametrize("text", ["OLFBG8q", " O8q-LFBG8q ", "FBG8q-L8q-O8q", "GBFLO8/2q"])
def test_order_and_grouping_do_not_matter(text):
    assert Policy.parse(text) == Policy.parse("O8q-L8q-F8q-B8q-G8q")


@pytest.mark.parametrize("text", ["O8-L8-FBG8uq", "O8-L8-FBG8qu"])
def test_flags_in_either_order(text):
    p = Policy.parse(text)
    assert p.forward == Stage(pc.PositFormat(8, 2, underflow=True), QUIRE)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("OL12-FBG8q", "O12-L12-FBG8q"),
        ("O16-L12-FBG8q", "O16-L12-FBG8q"),
        ("O16/1-L12u-F8q-B8/0q-G10/1uq", "O16/1-L12u-F8q-B8/0q-G10/1uq"),
        ("O32-L16q-FBG8/2q", "O32-L16q-FBG8q"),
        ("O8q-L12-FBG8q", "O8q-L12-FBG8q"),
        ("OLFBG8q7", "O8q7-L8q7-FBG8q7"),
        ("O16-L12f4-FBG8q31f0", "O16-L12f4-FBG8f0q"),
        ("O8-L8-FBG8", "O8-L8-FBG8"),
        ("O8-L8-FBG8+rounded", "O8-L8-FBG8"),
        ("O8+rounded-L8+rounded-FBG8/1u", "O8+rounded-L8+rounded-FBG8/1u"),
        ("O12-L12-F8-B8q-G8", "O12-L12-F8-B8q-G8"),
        ("O12-L12-F8f3+fused-BG8+aligned4x14", "O12-L12-F8f3+fused-BG8+aligned4x14"),
        ("O12-L12-FBG8q@exact", "O12-L12-FBG8q"),
        (" O12-L12-FBG8q @ positnn ", "O12-L12-FBG8q@positnn"),
        ("O12-L12-FBG8q;conv1=GF10q-B9 ; head.*=F16", "O12-L12-FBG8q; conv1=F10q-B9-G10q; head.*=F16"),
        ("O12-L12-FBG8q@positnn; a=FBG10q; a=FBG10q", "O12-L12-FBG8q@positnn; a=FBG10q; a=FBG10q"),
    ],
)
def test_prints_what_it_parses(text, printed):
    policy = Policy.parse(text)
    assert str(policy) == printed
    assert Policy.parse(str(policy)) == policy
    assert hash(Policy.parse(str(policy))) == hash(policy)


ACCUMULATORS = [None, pc.Quire(), pc.Quire(7), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(64, 256)]


def draw_stage(rng):
    variant = rng.choice([{}, {"underflow": True}, {"flush": rng.randrange(9)}])
    return Stage(pc.PositFormat(rng.randrange(2, 17), rng.randrange(5), **variant), rng.choice(ACCUMULATORS))


def draw_override(rng):
    stages = {name: draw_stage(rng) for name in ("forward", "backward", "gradient") if rng.random() < 0.5}
    return Override(rng.choice(["conv1", "head.*", "a.?.[!b]", "3"]), **(stages or {"forward": draw_stage(rng)}))


@pytest.mark.parametrize("seed", range(5))
def test_every_policy_is_read_as_it_is_printed(seed):
    rng = random.Random(seed)
    seen = set()
    for _ in range(200):
        overrides = tuple(draw_override(rng) for _ in range(rng.randrange(4)))
        policy = Policy(*[draw_stage(rng) for _ in range(5)], rng.choice(["exact", "positnn"]), overrides)
        again = Policy.parse(str(policy))
        assert again == policy, str(policy)
        assert (str(again), hash(again)) == (str(policy), hash(policy))
        seen.add(policy)
    assert len(seen) == 200


def test_pickle_and_copy():
    policy = Policy.parse("O12-L12+fused-FBG8@positnn; conv1=FBG10q; head.*=F16q-BG12+aligned4x14")
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert copy.deepcopy(policy) == policy


# Single layers ---------------------------------------------------------------------------------------


def test_layers_of_their_own():
    policy = Policy.parse("O12-L12-FBG8q@positnn; conv*=FBG10; head.*=F16q; head.0=BG9q-F9+fused; head.0=G12q")
    assert str(policy.for_layer("fc")) == "O12-L12-FBG8q@positnn"
    assert str(policy.for_layer("conv2")) == "O12-L12-FBG10@positnn"
    assert str(policy.for_layer("head.1")) == "O12-L12-F16q-BG8q@positnn"
    assert str(policy.for_layer("head.1.a")) == "O12-L12-F16q-BG8q@positnn"
    assert str(policy.for_layer("head.0")) == "O12-L12-F9+fused-B9q-G12q@positnn"  # the last that matches, by stage
    assert str(policy.for_layer("Conv2")) == "O12-L12-FBG8q@positnn"
    plain = policy.for_layer("fc")
    assert plain.for_layer("conv2") is plain


def test_overrides_that_match_no_layer_are_refused():
    policy = Policy.parse("O12-L12-FBG8q; conv1=FBG10q; head.*=F16q")
    policy.check_layers(["conv1", "head.0", "fc"])
    with pytest.raises(ValueError, match=r"Policy: head\.\*=F16q matches no layer; there are conv1, fc"):
        policy.check_layers(iter(["conv1", "fc"]))


# Sums -------------------------------------------------------------------------------------------------


def test_datapaths():
    p = Policy.parse("O16-L12-F8q-B10q-G9q")
    f, b, g, loss = p.forward.format, p.backward.format, p.gradient.format, p.loss.format
    assert p.forward_mac == pc.MacSpec((f, f), f, QUIRE)
    assert p.backward_mac == pc.MacSpec((b, b), b, QUIRE)
    assert p.gradient_mac == pc.MacSpec((b, f), g, QUIRE)
    assert p.loss_mac == pc.MacSpec(loss, loss, QUIRE)
    assert Policy.parse("O16-L12q-FBG8q").loss_mac == p.loss_mac


def test_sums_without_an_accumulator():
    p = Policy.parse("O8-L8-FBG8")
    assert p.forward == p.backward == p.gradient == Stage(pc.posit8, pc.Rounded())
    assert p == Policy.parse("O8-L8-FBG8+rounded") == Policy(*[Stage(pc.posit8)] * 5)
    assert p.loss_mac == pc.MacSpec(pc.posit8, pc.posit8, pc.Quire())
    assert Policy.parse("O8-L8+rounded-FBG8").loss_mac == pc.MacSpec(pc.posit8, pc.posit8, pc.Rounded())


def matmul(spec, a, b, bias=None):
    """The golden product of values, by way of codes."""
    codes = [x if x is None else fmt.encode(x) for fmt, x in ((spec.a, a), (spec.b, b), (spec.a, bias))]
    return torch.from_numpy(spec.out.decode(pc.matmul(spec, *codes)))


@pytest.mark.parametrize("sums", ["", "+fused", "+aligned4x14", "q7"])
def test_layers_sum_as_their_policy_says(sums):
    policy = Policy.parse(f"O12-L12-F8{sums}-B9{sums}-G10{sums}")
    generator = torch.Generator().manual_seed(1)

    def draw(fmt, *shape):
        return quantize(fmt, torch.randn(shape, generator=generator))

    f, b = policy.forward.format, policy.backward.format
    x, w, bias, g = draw(f, 5, 30), draw(f, 4, 30), draw(f, 4), draw(b, 5, 4)
    leaves = [t.clone().requires_grad_() for t in (x, w, bias)]
    y = linear(*leaves, policy)
    assert torch.equal(y.double(), matmul(policy.forward_mac, x, w.T, bias))
    y.backward(g)
    grad_x, grad_w, grad_b = (t.grad.double() for t in leaves)
    assert torch.equal(grad_x, matmul(policy.backward_mac, g, quantize(b, w)))
    assert torch.equal(grad_w, matmul(policy.gradient_mac, g.T, x))
    assert torch.equal(grad_b, matmul(policy.gradient_mac, g.T, torch.ones(5, 1))[:, 0])

    images, kernels, g = draw(f, 2, 3, 6, 6), draw(f, 4, 3, 3, 3), draw(b, 2, 4, 4, 4)
    leaves = [t.clone().requires_grad_() for t in (images, kernels, bias)]
    geometry = Geometry((3, 3), (1, 1), (0, 0), (1, 1))
    y = conv2d(*leaves, geometry, 1, policy)
    patches = torch.from_numpy(unfold(images.numpy(), geometry))
    rows = matmul(policy.forward_mac, kernels.reshape(4, -1), patches, bias[:, None])
    assert torch.equal(y.double(), rows.reshape(4, 2, 4, 4).transpose(0, 1))
    y.backward(g)
    expected = matmul(policy.gradient_mac, g.transpose(0, 1).reshape(4, -1), patches.T)
    assert torch.equal(leaves[1].grad.double(), expected.reshape(4, 3, 3, 3))


def test_rounding_at_every_step_is_seen():
    """The accumulators differ on these operands, so that taking one for another would be seen above."""
    x, w = (
        quantize(pc.posit8, torch.randn(s, generator=torch.Generator().manual_seed(2))) for s in ((20, 30), (9, 30))
    )
    found = {
        sums: linear(x, w, None, Policy.parse(f"O8-L8-FBG8{sums}")).sum().item()
        for sums in ("", "+fused", "+aligned4x14", "q")
    }
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (8, TypeError, "Policy.parse: a policy is written like O12-L12-FBG8q: .*; not 8"),
        (None, TypeError, "not None"),
        ("O12-L12-FBG8uf3q", ValueError, "is not a stage"),
        ("O12-L12-FBG8uqf3", ValueError, "names two rules for tiny values; give one"),
        ("", ValueError, "Policy.parse: '' in '' is not a stage; a policy is written like O12-L12-FBG8q"),
        ("O12-L12-FBG8q-", ValueError, "'' in 'O12-L12-FBG8q-' is not a stage"),
        ("O12-X12-FBG8q", ValueError, "'X12' in 'O12-X12-FBG8q' is not a stage"),
        ("o12-L12-FBG8q", ValueError, "'o12' in"),
        ("O12-L12-FBG8x", ValueError, "'FBG8x' in"),
        ("O12-L12-FBGq", ValueError, "'FBGq' in"),
        ("O12-L12-FBG8/q", ValueError, "'FBG8/q' in"),
        ("O12-L12-FBG8qq", ValueError, "'FBG8qq' in"),
        ("O12-L12-FFBG8q", ValueError, "stage F is named twice in 'O12-L12-FFBG8q'"),
        ("O12-L12-FBG8q-O8", ValueError, "stage O is named twice"),
        ("O12-FB8q", ValueError, "stage L, G is missing in 'O12-FB8q'; a policy is written like"),
        ("O65-L12-FBG8q", ValueError, r"PositFormat: n must be an integer in 2\.\.32, not 65"),
        ("O12-L12/7-FBG8q", ValueError, r"PositFormat: es must be an integer in 0\.\.4, not 7"),
        (
            "O12-L12-FBG8+fussed",
            ValueError,
            r"'\+fussed' in 'O12-L12-FBG8\+fussed' is no accumulator; write q \(or q7, ",
        ),
        ("O12-L12-FBG8+fusedu", ValueError, r"'\+fusedu' in .* is no accumulator"),
        (
            "O12-L12-FBG8+aligned4",
            ValueError,
            r"\+fused, \+rounded, or \+aligned4x14 for 4 lanes and a grid of 14 bits",
        ),
        ("O12-L12-FBG8+", ValueError, r"'FBG8\+' in"),
        ("O12-L12-FBG8+aligned65x9", ValueError, r"Aligned: lanes must be an integer in 1\.\.64, not 65"),
        ("O12-L12-FBG8q0", ValueError, r"Quire: carry_bits must be an integer in 1\.\.63, not 0"),
        ("O12-L12-FBG8q@thesis", ValueError, "after @ stands exact or positnn, not 'thesis' in 'O12-L12-FBG8q@thesis'"),
        ("O12-L12-FBG8q@", ValueError, "after @ stands exact or positnn, not ''"),
        ("O12-L12-FBG8q;", ValueError, "'' in 'O12-L12-FBG8q;' is not of the form layer=stages, such as conv1=FBG10q"),
        ("O12-L12-FBG8q; conv1", ValueError, "'conv1' in .* is not of the form layer=stages"),
        ("O12-L12-FBG8q; conv1=", ValueError, "'' in .* is not a stage"),
        ("O12-L12-FBG8q; conv1=O16-F8q", ValueError, "'conv1=O16-F8q' in .* its own O or L; only F, B and G differ"),
        ("O12-L12-FBG8q; conv1=F8q-F9q", ValueError, "stage F is named twice"),
        (
            "O12-L12-FBG8q; a b=F8q",
            ValueError,
            r"Override: a pattern is a layer's name, .* such as head\.\*; not 'a b'",
        ),
        ("O12-L12-FBG8q; =F8q", ValueError, "such as head.*; not ''"),
        ("O32-L24-FBG8q", ValueError, "the loss stage needs exp and log, built for n ≤ 16, not posit<24,2>; take L16"),
    ],
)
def test_errors(text, error, message):
    with pytest.raises(error, match=message):
        Policy.parse(text)


STAGE = Stage(pc.posit8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Stage("8,2"), TypeError, "Stage: format must be a PositFormat, not '8,2'"),
        (lambda: Stage(pc.posit8, "q"), TypeError, "Stage: accumulator must be a Quire, Fused, Rounded or Aligned"),
        (lambda: Policy(*[STAGE] * 4, pc.posit8), TypeError, "Policy: gradient must be a Stage, not PositFormat"),
        (
            lambda: Policy(*[STAGE] * 5, "thesis"),
            ValueError,
            "Policy: order must be one of exact, positnn, not 'thesis'",
        ),
        (
            lambda: Policy(*[STAGE] * 5, "exact", [Override("a", STAGE)]),
            TypeError,
            "overrides must be a tuple of Override",
        ),
        (lambda: Override("a"), ValueError, "Override: 'a' changes no stage; give forward, backward or gradient"),
        (lambda: Override("a", pc.posit8), TypeError, "Override: forward must be a Stage, not PositFormat"),
        (lambda: Override(3, STAGE), ValueError, "Override: a pattern is a layer's name"),
        (
            lambda: replace(Policy.parse("OLFBG8q"), loss=Stage(pc.posit32)),
            ValueError,
            "the loss stage needs exp and log",
        ),
    ],
)
def test_errors_of_fields(call, error, message):
    with pytest.raises(error, match=message):
        call()
