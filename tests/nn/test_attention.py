import copy
import math
import pickle

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.nn import Policy, convert, functional, quantize, to_float
from positcore.nn.audit import audit
from positcore.nn.functional.attention import multi_head_attention, scaled_dot_product_attention
from positcore.nn.mode import PositMode
from tests.nn.reference import array, differences, number
from tests.nn.reference_attention import attention

POLICIES = ["O12-L12-FBG8q", "O16-L12-F10q-B8/1q-G12q", "O12/1-L10/1-F8/1q-B9/0uq-G10/1q"]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN, ABSENT = float("nan"), float("-inf")


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(matrix):
    return [[number(x) for x in row] for row in matrix.detach().double().tolist()]


def check(policy, x, expected):
    """A stack of matrices against those expected of each."""
    for at, matrix in enumerate(x.reshape(-1, *x.shape[-2:])):
        assert not differences(matrix, expected[at])


MASKS = {
    "none": (None, {}),
    "causal": (torch.ones(4, 5).tril() > 0, {"is_causal": True}),
    "boolean": ((torch.arange(20).reshape(4, 5) * 7 % 5 > 1), {}),
    "a query that sees nothing": (torch.tensor([[True] * 5, [False] * 5, [True, False] * 2 + [True], [True] * 5]), {}),
    "floats": (torch.where(torch.arange(20).reshape(4, 5) % 3 > 0, 0.0, ABSENT), {}),
    "a bias": (torch.where(torch.arange(20).reshape(4, 5) % 7 > 0, normal(4, 5, seed=8), ABSENT), {}),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("text", POLICIES)
def test_scaled_dot_product_attention(text, name):
    policy, (mask, options) = Policy.parse(text), MASKS[name]
    query, key, value = (normal(2, n, 3, seed=n + d).double().requires_grad_() for n, d in ((4, 0), (5, 0), (5, 7)))
    sent = normal(2, 4, 3, seed=6)
    given = {} if mask is None or options else {"attn_mask": mask}
    with audit():
        y = scaled_dot_product_attention(query, key, value, policy, **given, **options)
        y.backward(sent.to(y.dtype))
    seen = bias = None
    if mask is not None:
        seen = {at: bool(v) for at, v in array(mask if mask.dtype == torch.bool else mask != ABSENT).items()}
        if name == "a bias":
            bias = array(mask.masked_fill(mask == ABSENT, 0.0))
    results = [
        attention(policy, rows(q), rows(k), rows(v), rows(g), 1 / math.sqrt(3), seen, bias)
        for q, k, v, g in zip(query, key, value, sent, strict=True)
    ]
    for x, expected in zip((y, query.grad, key.grad, value.grad), zip(*results, strict=True), strict=True):
        check(policy, x, expected)


def test_masked_keys_do_not_matter():
    query, key, value = normal(2, 4, 6), normal(2, 5, 6, seed=2), normal(2, 5, 6, seed=3)
    mask = torch.tensor([True, True, False, True, False])
    y = scaled_dot_product_attention(query, key, value, POLICY, mask)
    assert torch.equal(y, scaled_dot_product_attention(query, key[:, mask], value[:, mask], POLICY))


def test_one_tensor_as_query_key_and_value():
    """Its gradient is the sum of the three, rounded once in B."""
    x, sent = normal(4, 3).double().requires_grad_(), normal(4, 3, seed=6).double()
    scaled_dot_product_attention(x, x, x, POLICY).backward(sent)
    parts = [x.detach().clone().requires_grad_() for _ in range(3)]
    scaled_dot_product_attention(*parts, POLICY).backward(sent)
    total = torch.stack([part.grad for part in parts]).double().sum(0)  # exact in float64
    assert torch.equal(x.grad, quantize(POLICY.backward.format, total).double())


def test_a_learned_bias():
    """The gradient of a bias that is added to the scores of all heads is one sum in G; where it masks it is 0."""
    table = nn.Parameter(quantize(POLICY.optimizer.format, normal(4, 4)))
    with torch.no_grad():
        table[0, 1] = ABSENT
    query, key, value = (normal(2, 4, 3, seed=i) for i in range(3))
    scaled_dot_product_attention(query, key, value, POLICY, table).sum().backward()
    assert table.grad[0, 1] == 0
    assert table.grad.count_nonzero() > 8


def test_nar_spoils_what_sees_it():
    query, key, value = (normal(4, 3, seed=i) for i in range(3))
    value[3, 1] = NAN
    y = scaled_dot_product_attention(query, key, value, POLICY, is_causal=True)
    assert y.isnan().sum() == 4  # 0·NaR is NaR


def test_dropout_of_weights():
    """As the operations do it, with PyTorch's mask."""
    query, key, value = (normal(2, 4, 4, seed=i) for i in range(3))
    torch.manual_seed(3)
    y = scaled_dot_product_attention(query, key, value, POLICY, dropout_p=0.4, scale=0.25)
    torch.manual_seed(3)
    scores = functional.matmul(functional.mul(query, 0.25, POLICY), key.mT, POLICY)
    weights = functional.dropout(functional.softmax(scores, -1, POLICY), 0.4, True, POLICY)
    assert torch.equal(y, functional.matmul(weights, value, POLICY))


# Several heads -------------------------------------------------------------------------------------------------


def by_hand(layer, query, key, value, heads, mask=None):
    """Batch first: separate projections of separate weights, head by head. Returns results and leaves."""
    policy = layer.policy
    packed = layer.in_proj_weight is not None
    separate = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    weights = layer.in_proj_weight.chunk(3) if packed else separate
    biases = [None] * 3 if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
    leaves = [x if x is None else x.detach().clone().requires_grad_() for x in (*weights, *biases)]
    parts = [
        functional.linear(x, w, b, policy) for x, w, b in zip((query, key, value), leaves[:3], leaves[3:], strict=True)
    ]
    size = layer.embed_dim // heads
    outputs = []
    for h in range(heads):
        q, k, v = (part[..., h * size : (h + 1) * size] for part in parts)
        outputs.append(scaled_dot_product_attention(q, k, v, policy, mask))
    y = functional.linear(torch.cat(outputs, -1), layer.out_proj.weight, layer.out_proj.bias, policy)
    return y, leaves


def inputs(batch_first, *sizes):
    shapes = [(2, n, width) if batch_first else (n, 2, width) for n, width in sizes]
    return [normal(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "batch second"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("widths", [(8, 8), (6, 5)], ids=["packed", "separate"])
@pytest.mark.parametrize("text", POLICIES)
def test_multi_head_attention_of_three_tensors(text, widths, bias, batch_first):
    policy = Policy.parse(text)
    torch.manual_seed(4)
    layer = convert(
        nn.MultiheadAttention(8, 2, bias=bias, kdim=widths[0], vdim=widths[1], batch_first=batch_first), policy
    )
    query, key, value = inputs(batch_first, (4, 8), (5, widths[0]), (5, widths[1]))
    sent = normal(*query.shape, seed=9)
    with audit(layer):
        y, weights = layer(query, key, value, need_weights=False)
        y.backward(sent.to(y.dtype))
    assert weights is None
    got = {name: p.grad for name, p in layer.named_parameters()}
    layer.zero_grad()
    copies = [x.detach().clone().requires_grad_() for x in (query, key, value)]
    wanted, leaves = by_hand(layer, *(copies if batch_first else [x.transpose(0, 1) for x in copies]), 2)
    wanted.backward((sent if batch_first else sent.transpose(0, 1)).to(wanted.dtype))
    assert torch.equal(y, wanted if batch_first else wanted.transpose(0, 1))
    assert all(torch.equal(x.grad, copied.grad) for x, copied in zip((query, key, value), copies, strict=True))
    packed = torch.cat([g.reshape(-1) for name, g in got.items() if "proj_weight" in name])
    assert torch.equal(packed, torch.cat([x.grad.reshape(-1) for x in leaves[:3]]))
    assert torch.equal(got["out_proj.weight"], layer.out_proj.weight.grad)
    if bias:
        assert torch.equal(got["in_proj_bias"], torch.cat([x.grad for x in leaves[3:]]))


@pytest.mark.parametrize("text", POLICIES)
def test_self_attention_is_one_projection(text):
    """The gradient of its input is one sum over all three; three equal tensors give the same result."""
    policy = Policy.parse(text)
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 2, batch_first=True), policy)
    x = normal(2, 4, 8).requires_grad_()
    y, _ = layer(x, x, x)
    sent = normal(2, 4, 8, seed=9).to(y.dtype)
    y.backward(sent)
    assert torch.equal(y, layer(x, x.clone(), x.clone())[0])
    copied = x.detach().clone().requires_grad_()
    parts = functional.linear(copied, layer.in_proj_weight, layer.in_proj_bias, policy).chunk(3, -1)
    heads = [part.unflatten(-1, (2, 4)).transpose(1, 2) for part in parts]
    merged = scaled_dot_product_attention(*heads, policy).transpose(1, 2).flatten(2)
    functional.linear(merged, layer.out_proj.weight, layer.out_proj.bias, policy).backward(sent)
    assert torch.equal(x.grad, copied.grad)


def test_accumulate_gives_the_bits_of_one_pass():
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 2, batch_first=True), POLICY)
    x, memory, sent = normal(6, 4, 8), normal(6, 5, 8, seed=2), normal(6, 4, 8, seed=3)
    gradients = []
    for parts in (1, 3):
        with pnn.accumulate(layer.parameters()):
            for a, m, g in zip(x.chunk(parts), memory.chunk(parts), sent.chunk(parts), strict=True):
                layer(a, m, m)[0].backward(g)
        gradients.append([p.grad.clone() for p in layer.parameters()])
    layer.zero_grad()
    layer(x, memory, memory)[0].backward(sent)
    for got in gradients:
        assert all(torch.equal(g, p.grad) for g, p in zip(got, layer.parameters(), strict=True))


@pytest.mark.parametrize("way", ["boolean", "floats"])
def test_masks(way):
    """Keys to ignore and pairs to ignore, merged; PyTorch's booleans say what takes no part."""
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 2, batch_first=True), POLICY)
    x, memory = normal(2, 4, 8), normal(2, 5, 8, seed=2)
    padding = torch.tensor([[False] * 4 + [True], [False] * 5])
    pairs = torch.arange(20).reshape(4, 5) % 3 == 0
    seen = ~(pairs[None] | padding[:, None])
    given = [padding, pairs]
    if way == "floats":
        given = [torch.zeros(mask.shape).masked_fill(mask, ABSENT) for mask in given]
    y, _ = layer(x, memory, memory, key_padding_mask=given[0], attn_mask=given[1])
    wanted, _ = by_hand(layer, x, memory, memory, 2, seen)
    assert torch.equal(y, wanted)
    for_heads = given[1].repeat(4, 1, 1)
    assert torch.equal(layer(x, memory, memory, key_padding_mask=given[0], attn_mask=for_heads)[0], wanted)


def test_weights():
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 4, batch_first=True), POLICY)
    x = normal(2, 3, 8)
    _, each = layer(x, x, x, average_attn_weights=False)
    _, averaged = layer(x, x, x)
    assert each.shape == (2, 4, 3, 3)
    assert torch.equal(averaged, functional.mean(each, 1, POLICY))
    assert not averaged.isnan().any()


def test_one_sample():
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 4), POLICY)
    x, memory, padding = normal(3, 8), normal(5, 8, seed=2), torch.tensor([True] + [False] * 4)
    y, weights = layer(x, memory, memory, key_padding_mask=padding)
    batch = (x[:, None], memory[:, None], memory[:, None])
    wanted, shown = layer(*batch, key_padding_mask=padding[None])
    assert torch.equal(y, wanted[:, 0])
    assert torch.equal(weights, shown[0])


def test_dropout_only_in_training():
    torch.manual_seed(4)
    layer = convert(nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), POLICY)
    x = normal(2, 3, 8)
    results = [layer(x, x, x)[0] for _ in range(2)]
    assert not torch.equal(*results)
    layer.eval()
    assert torch.equal(layer(x, x, x)[0], layer(x, x, x)[0])


def test_names_copies_and_the_way_back():
    torch.manual_seed(4)
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    layer = convert(model, POLICY)
    assert list(layer.state_dict()) == list(model.state_dict())
    for key, parameter in layer.named_parameters():
        assert torch.equal(parameter, quantize(POLICY.optimizer.format, model.state_dict()[key])), key
    x = normal(2, 3, 8)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x, x, x)[0], layer(x, x, x)[0])
    loaded = pnn.MultiheadAttention(8, 2, batch_first=True, policy=POLICY)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded(x, x, x)[0], layer(x, x, x)[0])
    for back in (to_float(layer), copy.deepcopy(layer).to_float()):
        assert type(back) is nn.MultiheadAttention
        assert type(back.out_proj) is type(model.out_proj)
        assert back(x, x, x)[0].shape == (2, 3, 8)


# Models of PyTorch's that are made of it -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True], ids=["norm last", "norm first"])
def test_an_encoder_layer(norm_first, activation):
    """Its forward runs in posits: the same as its parts one after another."""
    torch.manual_seed(4)
    model = nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation, batch_first=True, norm_first=norm_first)
    twin = convert(model, POLICY)
    x = normal(2, 4, 8).requires_grad_()
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    with audit(twin):
        y = twin(x, src_mask=mask, is_causal=True)
        y.backward(normal(2, 4, 8, seed=5))
    assert all(p.grad is not None and p.grad.any() for p in twin.parameters())

    def attend(x):
        return twin.self_attn(x, x, x, attn_mask=mask, need_weights=False)[0]

    def feed(x):
        return twin.linear2(getattr(nn.functional if activation == "relu" else functional, activation)(
            twin.linear1(x), *([] if activation == "relu" else [POLICY])))  # fmt: skip

    with torch.no_grad():
        if norm_first:
            z = functional.add(x, attend(twin.norm1(x)), POLICY)
            z = functional.add(z, feed(twin.norm2(z)), POLICY)
        else:
            z = twin.norm1(functional.add(x, attend(x), POLICY))
            z = twin.norm2(functional.add(z, feed(z), POLICY))
    assert torch.equal(y, z)


def test_an_encoder_in_evaluation():
    """PyTorch's fast paths are for floats; padding is masked by the layers."""
    torch.manual_seed(4)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    twin = convert(nn.TransformerEncoder(layer, 2, enable_nested_tensor=True), POLICY).eval()
    x, padding = normal(2, 4, 8), torch.tensor([[False] * 4, [False, False, True, True]])
    with torch.no_grad():
        y = twin(x, src_key_padding_mask=padding)
        assert torch.equal(y[1:, :2], twin(x[1:, :2]))
        assert torch.equal(y[:1], twin(x[:1]))
    assert type(to_float(twin).layers[0].self_attn) is nn.MultiheadAttention


def test_a_whole_transformer():
    torch.manual_seed(4)
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    twin = convert(model, POLICY)
    with audit(twin):
        y = twin(normal(2, 3, 8), normal(2, 4, 8, seed=2))
        y.backward(normal(2, 4, 8, seed=3))
    assert y.shape == (2, 4, 8)
    assert all(p.grad is not None for p in twin.parameters())


def in_a_forward(function, *args, **options):
    with PositMode(POLICY):
        return function(*args, **options)


def test_attention_in_a_forward():
    query, key, value = (normal(2, 4, 6, seed=i) for i in range(3))
    wanted = scaled_dot_product_attention(query, key, value, POLICY, is_causal=True, scale=0.5)
    y = in_a_forward(nn.functional.scaled_dot_product_attention, query, key, value, is_causal=True, scale=0.5)
    assert torch.equal(y, wanted)


WIDE = Policy.parse("O32-L16-F32q-BG16q")
LAYER = convert(nn.MultiheadAttention(8, 2, batch_first=True), POLICY)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: convert(nn.MultiheadAttention(8, 2), WIDE), "MultiheadAttention needs tables in F, .* posit<32,2>"),
        (lambda x: convert(nn.MultiheadAttention(8, 2, add_bias_kv=True), POLICY), "there is no add_bias_kv in posits"),
        (lambda x: convert(nn.MultiheadAttention(8, 2, add_zero_attn=True), POLICY), "there is no add_zero_attn in"),
        (
            lambda x: LAYER(x, x, x, is_causal=True),
            "MultiheadAttention: is_causal says of what kind .*; give attn_mask",
        ),
        (lambda x: LAYER(x, x[0], x[0]), "query, key and value must all have 3 dimensions, .* not 3, 2 and 2"),
        (lambda x: LAYER(x, x[..., :6], x), "query, key and value must end in 8, 8, 8, not 8, 6, 8"),
        (lambda x: LAYER(x, x, x, attn_mask=torch.ones(3, 3) > 0), r"attn_mask must be \(4, 4\) or \(4, 4, 4\), not"),
        (lambda x: LAYER(x, x, x, torch.ones(2, 3) > 0), r"key_padding_mask must be \(2, 4\), not \(2, 3\)"),
        (lambda x: scaled_dot_product_attention(x, x, x, WIDE), "scaled_dot_product_attention needs tables in F"),
        (
            lambda x: scaled_dot_product_attention(x, x[..., :6], x, POLICY),
            r"must be \(..., L, E\), .* not \(2, 4, 8\), \(2, 4, 6\) and \(2, 4, 8\)",
        ),
        (
            lambda x: scaled_dot_product_attention(x, x, x, POLICY, torch.ones(4, 4) > 0, is_causal=True),
            "give attn_mask or is_causal, not both",
        ),
        (
            lambda x: in_a_forward(nn.functional.scaled_dot_product_attention, x, x, x, enable_gqa=True),
            "there is no enable_gqa in posits; repeat the heads",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(2, 4, 8))


def test_weights_may_be_frozen():
    layer = convert(nn.MultiheadAttention(8, 2), POLICY)
    layer.in_proj_weight.requires_grad_(False)
    x, memory = normal(3, 2, 8), normal(4, 2, 8, seed=2)
    layer(x, memory, memory)[0].sum().backward()
    assert layer.in_proj_weight.grad is None
    assert layer.in_proj_bias.grad is not None
    with pytest.raises(ValueError, match="must all have 3 dimensions"):
        multi_head_attention(x[0, 0], memory, memory, 2, [], None, x, None, POLICY)
