import pytest

import positcore as pc
from positcore.nn import Policy, Stage

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
    ],
)
def test_prints_what_it_parses(text, printed):
    policy = Policy.parse(text)
    assert str(policy) == printed
    assert Policy.parse(str(policy)) == policy
    assert hash(Policy.parse(str(policy))) == hash(policy)


def test_datapaths():
    p = Policy.parse("O16-L12-F8q-B10q-G9q")
    f, b, g, loss = p.forward.format, p.backward.format, p.gradient.format, p.loss.format
    assert p.forward_mac == pc.MacSpec((f, f), f, QUIRE)
    assert p.backward_mac == pc.MacSpec((b, b), b, QUIRE)
    assert p.gradient_mac == pc.MacSpec((b, f), g, QUIRE)
    assert p.loss_mac == pc.MacSpec(loss, loss, QUIRE)
    assert Policy.parse("O16-L12q-FBG8q").loss_mac == p.loss_mac


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
        ("O12-L12-F8-BG8q", ValueError, "Policy: the forward stage sums products .*; write F8q for a quire"),
        ("O12-L12-FB8/1q-G9/1u", ValueError, "the gradient stage sums products .*; write G9/1uq for a quire"),
        ("O12-L12-FG8q-B8", ValueError, "the backward stage sums products .*; write B8q for a quire"),
        ("O32-L24-FBG8q", ValueError, "the loss stage needs exp and log, built for n ≤ 16, not posit<24,2>; take L16"),
    ],
)
def test_errors(text, error, message):
    with pytest.raises(error, match=message):
        Policy.parse(text)
