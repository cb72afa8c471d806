"""SoftPosit and Universal compute the same codes as we do, but for faults of theirs that are named here.

Where they disagree with us, a named fault must explain it and the rational reference must be on our side.
Versions: PyPI's softposit 0.3.4.4 and universal-dtypes 2.5.1. A package that is not installed skips its tests.
"""

import ctypes
import importlib.util
import math
from collections import Counter
from ctypes import c_bool, c_double, c_int, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import positcore as pc
from tests.rational_tables import place
from tests.reference import all_pairs, exact, rounded, some_pairs, special_codes, value

PAIRS = 10000

EXACT = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else None,
    "fma": lambda x, y, z: x * y + z,
    "reciprocal": lambda x: 1 / x if x else None,
}


@pytest.fixture(scope="module")
def tallies():
    """What was compared, printed at the end (seen with `pytest -s`)."""
    counters = {}
    yield counters
    for name, counter in counters.items():
        print(f"\n{name}: {counter['compared']} compared, of which {counter['excused']} differ by a named fault")


@pytest.fixture
def tally(request, tallies):
    return tallies.setdefault(request.node.originalname.split("_")[1], Counter())


# Where a result lies ---------------------------------------------------------------------------------


def at_the_ends(fmt, code):
    """Within four codes of zero, maxpos or −maxpos: the regime leaves no room for both exponent bits."""
    magnitude = min(code, -code & fmt.mask)
    return min(magnitude, fmt.maxpos_code - magnitude) <= 4


def next_to_a_tie(fmt, x):
    """Not a tie, but less than 2^−32 units of the last place away from one."""
    rest = abs(place(fmt, abs(x)) % 1 - Fraction(1, 2)) if x else Fraction(1, 2)
    return 0 < rest < Fraction(1, 1 << 32)


def three_quarters_above_even(fmt, x):
    """The first bit that is cut off is 1, of the others only the next; the code below is even."""
    return x != 0 and place(fmt, abs(x)) % 2 == Fraction(3, 4)


# Their faults ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An operation on codes (or on two vectors of them), the exact result before rounding, and its right code."""

    fmt: pc.PositFormat
    operation: str
    codes: tuple
    exact: Fraction | None
    right: int


def case_of(fmt, operation, codes):
    if operation == "dot":
        terms = [(value(fmt, int(x)), value(fmt, int(y))) for x, y in zip(*codes, strict=True)]
        number = None if None in {x for term in terms for x in term} else sum(x * y for x, y in terms)
        return Case(fmt, operation, codes, number, fmt.nar if number is None else rounded(fmt, number))
    if operation in EXACT:
        operands = [value(fmt, c) for c in codes]
        number = None if None in operands else EXACT[operation](*operands)
        return Case(fmt, operation, codes, number, exact(fmt, EXACT[operation], *codes))
    return Case(fmt, operation, codes, None, getattr(pc.Posit(fmt, codes[0]), operation)().code)


def p32_mul_fault(case):
    """`p32_mul` forgets what it cut off of the exponent where the regime has 29 or 30 bits."""
    return at_the_ends(case.fmt, case.right)


def p32_fma_fault(case):
    """`p32_mulAdd` does not look at the second bit that is cut off, and forgets what is below a tie at the ends."""
    return three_quarters_above_even(case.fmt, case.exact) or quire_fault(case)


def quire_fault(case):
    """`q32_to_p32` and `qX2_to_pX2` forget, at the ends, what is more than 64 bits below the leading bit."""
    return at_the_ends(case.fmt, case.right) and next_to_a_tie(case.fmt, case.exact)


def px2_fma_fault(case):
    """`pX2_mulAdd` forgets what the alignment shifted out, so a sum just above a tie is taken for the tie."""
    return next_to_a_tie(case.fmt, case.exact)


def px2_ends_fault(case):
    """`pX2` with n = 32 shifts the exponent by a negative count at the ends."""
    return at_the_ends(case.fmt, case.right)


def px2_32_fma_fault(case):
    """Both faults: that of `pX2_mulAdd` and that of `pX2` with n = 32."""
    return px2_ends_fault(case) or px2_fma_fault(case)


def px2_round_fault(case):
    """`pX2_roundToInt` gives maxpos for −maxpos of posit<8,2>."""
    return case.fmt == pc.posit8 and case.codes == (case.fmt.nar + 1,)


def through_float64(case):
    """Universal's `sqrt` and `reciprocal` are float64's, which rounds what is next to a tie to the tie."""
    x = value(case.fmt, case.codes[0])
    naive = Fraction(math.sqrt(x) if case.operation == "sqrt" else 1 / float(x))
    is_tie = place(case.fmt, abs(naive)) % 1 == Fraction(1, 2)
    return is_tie and (naive**2 != x if case.operation == "sqrt" else naive * x != 1)


FAULTS = {
    ("p32", "mul"): p32_mul_fault,
    ("p32", "fma"): p32_fma_fault,
    ("p32", "dot"): quire_fault,
    ("pX2<8>", "round_to_int"): px2_round_fault,
    **{(f"pX2<{n}>", "fma"): px2_fma_fault for n in range(2, 32)},
    **{(f"pX2<{n}>", "dot"): quire_fault for n in range(2, 32)},
    **{("pX2<32>", name): px2_ends_fault for name in ("add", "sub", "mul", "div", "dot")},
    ("pX2<32>", "fma"): px2_32_fma_fault,
    ("posit32", "sqrt"): through_float64,
    ("posit32", "reciprocal"): through_float64,
}


def excuse(kind, fmt, operation, codes, theirs, ours):
    """A disagreement must be a named fault of theirs, and ours the code of the rational reference."""
    case = case_of(fmt, operation, codes)
    label = f"{operation} {fmt} of {codes}: {theirs:#x} by {kind}, {ours:#x} by us, {case.right:#x} by the reference"
    fault = FAULTS.get((kind, operation))
    assert ours == case.right, label
    assert fault, label
    assert fault(case), f"{label}; that is not this: {fault.__doc__}"


def compare(tally, kind, fmt, operation, operands, theirs):
    """Their codes for arrays of operands are ours, but for a fault of `kind` and `operation` that explains them."""
    ours = getattr(pc, operation)(fmt, *operands).tolist()
    theirs = np.asarray(theirs).tolist()
    assert len(theirs) == len(ours) > 0
    tally["compared"] += len(ours)
    wrong = [i for i, (x, y) in enumerate(zip(theirs, ours, strict=True)) if x != y]
    tally["excused"] += len(wrong)
    for i in wrong:
        excuse(kind, fmt, operation, tuple(int(a[i]) for a in operands), theirs[i], ours[i])


def test_what_no_fault_explains_fails():
    """Planted: a wrong code of theirs, and one of ours."""
    fmt, codes = P8.fmt, np.arange(256, dtype=np.uint8)
    right = pc.add(fmt, codes, codes)
    compare(Counter(), "p8", fmt, "add", (codes, codes), right)
    with pytest.raises(AssertionError, match=r"add posit<8,0> of \(3, 3\): 0x7 by p8, 0x6 by us, 0x6 by the reference"):
        compare(Counter(), "p8", fmt, "add", (codes, codes), right ^ (codes == 3))
    with pytest.raises(AssertionError, match="0x2 by pX2<32>, 0x2 by us, 0x3 by the reference"):
        excuse("pX2<32>", pc.posit32, "add", (1, 3), 2, 2)
    with pytest.raises(AssertionError, match="that is not this: `pX2` with n = 32 shifts"):
        excuse("pX2<32>", pc.posit32, "add", (0x40000000, 0x40000000), 0, 0x48000000)


# SoftPosit -------------------------------------------------------------------------------------------


@cache
def library():
    found = importlib.util.find_spec("_softposit")
    if found is None:
        pytest.skip("needs softposit: pip install softposit==0.3.4.4")
    return ctypes.CDLL(found.origin)


@cache
def function(name, result, *arguments):
    """A C function of SoftPosit; a posit, which is a struct of one integer, is passed as the integer."""
    found = getattr(library(), name)
    found.restype, found.argtypes = result, arguments
    return found


@dataclass(frozen=True)
class SoftPosit:
    """One of SoftPosit's types: p8, p16 and p32, or pX2 of n bits, whose codes lie at the top of 32."""

    name: str
    fmt: pc.PositFormat
    c_type: type

    @property
    def sized(self):
        return self.name.startswith("pX2")

    @property
    def prefix(self):
        return "pX2" if self.sized else self.name

    @property
    def shift(self):
        return 32 - self.fmt.n if self.sized else 0

    def codes(self, name, *operands):
        """The codes that a function of this type gives for lists of codes."""
        shift, n = self.shift, self.fmt.n
        if not self.sized:
            call = function(f"{self.name}_{name}", self.c_type, *[self.c_type] * len(operands))
            return list(map(call, *operands))
        call = function(f"pX2_{name}", self.c_type, *[self.c_type] * len(operands), c_int)
        return [call(*[c << shift for c in codes], n) >> shift for codes in zip(*operands, strict=True)]

    def to(self, name, result, *operands):
        """What a function from posits of this type to `result` gives, without a size."""
        call = function(name, result, *[self.c_type] * len(operands))
        return list(map(call, *[[c << self.shift for c in codes] for codes in operands]))

    def of(self, name, argument, numbers):
        """The codes that a function from `argument` to this type gives."""
        if not self.sized:
            return list(map(function(name, self.c_type, argument), numbers))
        call = function(name, self.c_type, argument, c_int)
        return [call(x, self.fmt.n) >> self.shift for x in numbers]


P8 = SoftPosit("p8", pc.PositFormat(8, 0), c_uint8)
P16 = SoftPosit("p16", pc.PositFormat(16, 1), c_uint16)
P32 = SoftPosit("p32", pc.posit32, c_uint32)
SIZED = {n: SoftPosit(f"pX2<{n}>", pc.PositFormat(n, 2), c_uint32) for n in range(2, 33)}
SOFT = [P8, P16, P32, *[SIZED[n] for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 16, 20, 24, 28, 31, 32)]]
QUIRES = {"p8": ("q8", c_uint32 * 1, 7), "p16": ("q16", c_uint64 * 2, 15), "p32": ("q32", c_uint64 * 8, 31)}
BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div"}
UNARY = {"sqrt": "sqrt", "round_to_int": "roundToInt"}
ORDER = {"equal": "eq", "less": "lt", "less_equal": "le"}
INTEGERS = {"i32": (32, True, c_int32), "i64": (64, True, c_int64), "ui32": (32, False, c_uint32),
            "ui64": (64, False, c_uint64)}  # fmt: skip


def soft_id(x):
    return f"{x.name}: {x.fmt}" if isinstance(x, SoftPosit) else None


def pairs_of(fmt, count=PAIRS):
    a, b = all_pairs(fmt) if fmt.n <= 8 else some_pairs(fmt, np.random.default_rng(50), count)
    return a, b


def codes_of(fmt):
    return np.arange(1 << fmt.n, dtype=fmt.dtype) if fmt.n <= 16 else np.unique(pairs_of(fmt)[0])


def triples_of(fmt):
    """Pairs with random third operands, special ones, and those that cancel the product or nearly."""
    rng = np.random.default_rng(51)
    a, b = some_pairs(fmt, rng, PAIRS)
    near = (-pc.mul(fmt, a, b).astype(np.int64) + rng.integers(-1, 2, a.size)) & fmt.mask
    third = [rng.integers(0, 1 << fmt.n, a.size), near, rng.choice(special_codes(fmt), a.size)]
    return a, b, np.choose(rng.integers(0, 3, a.size), third).astype(fmt.dtype)


@pytest.mark.parametrize("operation", BINARY)
@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_pairs(kind, operation, tally):
    a, b = pairs_of(kind.fmt)
    theirs = kind.codes(BINARY[operation], a.tolist(), b.tolist())
    compare(tally, kind.name, kind.fmt, operation, (a, b), theirs)


@pytest.mark.parametrize("operation", UNARY)
@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_unary(kind, operation, tally):
    codes = codes_of(kind.fmt)
    theirs = kind.codes(UNARY[operation], codes.tolist())
    compare(tally, kind.name, kind.fmt, operation, (codes,), theirs)


@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_fma(kind, tally):
    operands = triples_of(kind.fmt)
    theirs = kind.codes("mulAdd", *[x.tolist() for x in operands])
    compare(tally, kind.name, kind.fmt, "fma", operands, theirs)


@pytest.mark.parametrize("operation", ORDER)
@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_order(kind, operation, tally):
    a, b = pairs_of(kind.fmt)
    theirs = kind.to(f"{kind.prefix}_{ORDER[operation]}", c_bool, a.tolist(), b.tolist())
    assert theirs == getattr(pc, operation)(kind.fmt, a, b).tolist()
    tally["compared"] += len(theirs)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_to_integers(kind, name, tally):
    """But for NaR and what does not fit: there SoftPosit, older than the standard, gives 0 or saturates."""
    bits, signed, c_type = INTEGERS[name]
    codes = codes_of(kind.fmt)
    ours = pc.to_int(kind.fmt, codes, bits, signed=signed)
    fits = ours != (np.iinfo(ours.dtype).min if signed else 1 << (bits - 1))
    assert fits.sum() > codes.size // 4
    tally["compared"] += int(fits.sum())
    assert kind.to(f"{kind.prefix}_to_{name}", c_type, codes[fits].tolist()) == ours[fits].tolist()
    beyond = kind.to(f"{kind.prefix}_to_{name}", c_type, [kind.fmt.nar, kind.fmt.nar >> 1])
    assert beyond == [0, 1]


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_from_integers(kind, name, tally):
    """But for the unsigned integer whose top bit alone is set, which SoftPosit takes for NaR."""
    bits, signed, c_type = INTEGERS[name]
    dtype = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    rng = np.random.default_rng(52)
    numbers = {int.from_bytes(rng.bytes(8)) >> (64 - k) for k in range(1, bits + 1) for _ in range(40)}
    numbers |= {2**k + d for k in range(bits) for d in (-1, 0, 1)}
    limits = np.iinfo(dtype)
    numbers = sorted(s * x for s in (-1, 1) for x in numbers if limits.min <= s * x <= limits.max)
    numbers = [x for x in numbers if signed or x != 1 << (bits - 1)]
    theirs = kind.of(f"{name}_to_{kind.prefix}", c_type, numbers)
    assert theirs == pc.from_int(kind.fmt, np.array(numbers, dtype)).tolist()
    tally["compared"] += len(theirs)
    if not signed:
        assert kind.of(f"{name}_to_{kind.prefix}", c_type, [1 << (bits - 1)]) == [kind.fmt.nar]


def doubles_of(fmt):
    """Ties, their neighbors, what lies between and far outside, zeros, infinity."""
    rng = np.random.default_rng(53)
    longer = pc.PositFormat(min(fmt.n + 1, 32), fmt.es)
    codes = np.arange(1 << longer.n) if fmt.n <= 12 else rng.integers(0, 1 << longer.n, 10000)
    ties = longer.decode(codes)
    ties = ties[~np.isnan(ties)]
    beside = [np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), ties * 1e5, ties * 1e-5]
    return np.concatenate([ties, *beside, rng.normal(size=3000), [0.0, -0.0, np.inf, -np.inf, 5e-324, 1.7e308]])


@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_doubles(kind, tally):
    """But for the double of NaR, which is an infinity for all but p32."""
    fmt, name = kind.fmt, "PX2" if kind.sized else kind.name.upper()
    x = doubles_of(fmt)
    assert kind.of(f"convertDoubleTo{name}", c_double, x.tolist()) == fmt.encode(x).tolist()
    codes = codes_of(fmt)
    codes = codes[codes != fmt.nar]
    assert kind.to(f"convert{name}ToDouble", c_double, codes.tolist()) == fmt.decode(codes).tolist()
    tally["compared"] += x.size + codes.size


@pytest.mark.parametrize("kind", SOFT, ids=soft_id)
def test_softposit_conversions(kind, tally):
    codes = codes_of(kind.fmt)
    count = 0
    for to in (P8, P16, P32):
        if to.name == kind.name or (kind.sized and to is P32):  # there is no pX2_to_p32
            continue
        theirs = kind.to(f"{kind.prefix}_to_{to.name}", to.c_type, codes.tolist())
        assert theirs == pc.convert(kind.fmt, to.fmt, codes).tolist(), to.name
        count += codes.size
    for to in [SIZED[n] for n in (2, 3, 4, 5, 8, 12, 16, 24, 31, 32)]:
        call = function(f"{kind.prefix}_to_pX2", c_uint32, kind.c_type, c_int)
        theirs = [call(c << kind.shift, to.fmt.n) >> to.shift for c in codes.tolist()]
        assert theirs == pc.convert(kind.fmt, to.fmt, codes).tolist(), to.name
        count += codes.size
    tally["compared"] += count


def vectors(fmt, count):
    """Dot products of 1 to 16 terms: random, special, such that all but a few terms cancel, and of numbers near 1."""
    rng = np.random.default_rng(54)
    special = special_codes(fmt)
    for i in range(count):
        size = int(rng.integers(1, 8))
        if i % 4 == 0:
            a, b = rng.integers(0, 1 << fmt.n, (2, size))
        elif i % 4 == 1:
            a, b = rng.choice(special, (2, size)).astype(np.int64)
        elif i % 4 == 2:
            x, y = rng.integers(0, 1 << fmt.n, (2, size))
            last = rng.choice(special, (2, 2)).astype(np.int64)
            a, b = np.concatenate([x, -x & fmt.mask, last[0]]), np.concatenate([y, y, last[1]])
        else:
            a, b = fmt.encode(rng.normal(size=(2, size)))
        yield a.astype(fmt.dtype), b.astype(fmt.dtype)


def undefined_in_q16(fmt, a, b):
    """`q16_fdp_add` reads bits that nothing has set, if a product is 2^36 or more."""
    x, y = fmt.decode(a), fmt.decode(b)
    return fmt.n == 16 and bool((np.abs(x * y) >= 2.0**36).any())


def soft_dot(kind, a, b):
    """SoftPosit's quire: products are added and, of every third, the negative is subtracted."""
    name, words, _ = QUIRES.get(kind.name, ("qX2", c_uint64 * 8, 31))
    register_type = register_of(words)
    steps = [
        function(f"{name}_fdp_{step}", register_type, register_type, kind.c_type, kind.c_type)
        for step in ("add", "sub")
    ]
    register = register_type()
    for i, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        x = -x & kind.fmt.mask if i % 3 == 2 else x
        register = steps[i % 3 == 2](register, x << kind.shift, y << kind.shift)
    sizes = (c_int,) if kind.sized else ()
    finish = function(f"{name}_to_{kind.prefix}", kind.c_type, register_type, *sizes)
    return finish(register, *[kind.fmt.n for _ in sizes]) >> kind.shift


@cache
def register_of(words):
    return type("Register", (ctypes.Structure,), {"_fields_": [("v", words)]})


def our_dot(kind, a, b):
    _, _, carry_bits = QUIRES.get(kind.name, ("qX2", None, 31))
    return int(pc.dot(pc.MacSpec(inputs=kind.fmt, output=kind.fmt, accumulator=pc.Quire(carry_bits)), a, b))


@pytest.mark.parametrize("kind", [P8, P16, P32, *[SIZED[n] for n in (2, 3, 5, 8, 12, 16, 24, 31, 32)]], ids=soft_id)
def test_softposit_quire(kind, tally):
    fmt = kind.fmt
    compared = wrong = 0
    for a, b in vectors(fmt, 800):
        if kind is P16 and undefined_in_q16(fmt, a, b):
            continue
        theirs, ours = soft_dot(kind, a, b), our_dot(kind, a, b)
        compared += 1
        if theirs != ours:
            wrong += 1
            excuse(kind.name, fmt, "dot", (a.tolist(), b.tolist()), theirs, ours)
    assert compared > 600
    tally["compared"] += compared
    tally["excused"] += wrong


FAULT_EXAMPLES = [
    (P32, "mul", (0x7FFF8000, 0x7FFF6000)),  # 2^60 · 2^59
    (P32, "fma", (0x7FFFF001, 0x3, 0xFF800001)),
    (P32, "fma", (0x7FFF8000, 0x7FFF4000, 0x1)),  # 2^60 · 2^58, a tie, and minpos
    (P32, "dot", ((0x7FFF6000, 0x1), (0x7FFF6000, 0x1))),
    (SIZED[8], "dot", ((0x76, 0x1), (0x76, 0x1))),
    (SIZED[12], "dot", ((0x7D8, 0x1), (0x7D8, 0x1))),
    (SIZED[31], "dot", ((0x3FFF9000, 0x1), (0x3FFF9000, 0x1))),
    (SIZED[32], "dot", ((0x40000000, 0x1), (0x3, 0x1))),
    (SIZED[8], "round_to_int", (0x81,)),
    (SIZED[15], "fma", (0x5000, 0x4003, 0x3EB)),
    (SIZED[24], "fma", (0x7FFFE1, 0x600000, 0x6F7F1D)),
    (SIZED[32], "fma", (0x7F000001, 0x2, 0xFFFFFF80)),
    (SIZED[32], "add", (0x1, 0x3)),
    (SIZED[32], "sub", (0x80000003, 0x1)),
    (SIZED[32], "mul", (0x40000000, 0x3)),
    (SIZED[32], "div", (0x1FFFFFFF, 0x1)),
]


@pytest.mark.parametrize(("kind", "operation", "codes"), FAULT_EXAMPLES, ids=soft_id)
def test_a_fault_of_softposit(kind, operation, codes):
    """Each excuse is needed: here they and the rational reference differ, and we agree with it."""
    fmt = kind.fmt
    if operation == "dot":
        a, b = np.array(codes, fmt.dtype)
        theirs, ours = soft_dot(kind, a, b), our_dot(kind, a, b)
    else:
        theirs = kind.codes({**BINARY, **UNARY, "fma": "mulAdd"}[operation], *[[c] for c in codes])[0]
        ours = int(getattr(pc, operation)(fmt, *codes))
    assert theirs != ours
    excuse(kind.name, fmt, operation, codes, theirs, ours)


def test_every_fault_of_softposit_has_an_example():
    shown = {FAULTS[kind.name, operation] for kind, operation, _ in FAULT_EXAMPLES}
    assert shown == set(FAULTS.values()) - {through_float64}


# Universal -------------------------------------------------------------------------------------------


UNIVERSAL = {
    "posit8e0": (8, 0), "posit8e1": (8, 1), "posit8": (8, 2), "posit12": (12, 2), "posit16e1": (16, 1),
    "posit16": (16, 2), "posit20": (20, 2), "posit24": (24, 2), "posit28": (28, 2), "posit32": (32, 2),
}  # fmt: skip
UNIVERSAL_UNARY = {
    "sqrt": "sqrt", "neg": "negative", "abs": "absolute", "sign": "sign", "round_to_int": "rint", "floor": "floor",
    "ceil": "ceil", "trunc": "trunc", "reciprocal": "reciprocal",
}  # fmt: skip
UNIVERSAL_BINARY = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "minimum": "minimum"}
UNIVERSAL_ORDER = {"equal": "equal", "less": "less", "less_equal": "less_equal"}


@pytest.fixture(params=UNIVERSAL)
def universal(request):
    """A NumPy dtype of Universal, its name and its format; NaR makes NumPy warn of invalid values."""
    dtypes = pytest.importorskip("universal_dtypes", reason="needs universal-dtypes: pip install universal-dtypes")
    with np.errstate(all="ignore"):
        yield request.param, pc.PositFormat(*UNIVERSAL[request.param]), np.dtype(getattr(dtypes, request.param))


def universal_pairs(fmt):
    return pairs_of(fmt, 4 * PAIRS)


def near_powers_of_four(fmt):
    """Codes whose roots lie next to ties of float64."""
    powers = fmt.encode(4.0 ** np.arange(-fmt.max_scale // 2, fmt.max_scale // 2 + 1)).astype(np.int64)
    return np.unique(((powers[:, None] + np.arange(-64, 65)) & fmt.mask).astype(fmt.dtype))


@pytest.mark.parametrize("operation", UNIVERSAL_BINARY)
def test_universal_pairs(universal, operation, tally):
    name, fmt, dtype = universal
    a, b = universal_pairs(fmt)
    theirs = getattr(np, UNIVERSAL_BINARY[operation])(a.view(dtype), b.view(dtype)).view(fmt.dtype)
    compare(tally, name, fmt, operation, (a, b), theirs)


@pytest.mark.parametrize("operation", UNIVERSAL_UNARY)
def test_universal_unary(universal, operation, tally):
    name, fmt, dtype = universal
    codes = np.union1d(codes_of(fmt), near_powers_of_four(fmt))
    theirs = getattr(np, UNIVERSAL_UNARY[operation])(codes.view(dtype)).view(fmt.dtype)
    compare(tally, name, fmt, operation, (codes,), theirs)


@pytest.mark.parametrize("operation", [*UNIVERSAL_ORDER, "maximum"])
def test_universal_order(universal, operation, tally):
    """But for NaR, which compares like an IEEE nan and which `maximum` prefers, like NumPy a nan."""
    _, fmt, dtype = universal
    a, b = universal_pairs(fmt)
    theirs = getattr(np, operation)(a.view(dtype), b.view(dtype))
    theirs = theirs.view(fmt.dtype) if operation == "maximum" else theirs
    real = (a != fmt.nar) & (b != fmt.nar)
    assert np.array_equal(theirs[real], getattr(pc, operation)(fmt, a, b)[real])
    tally["compared"] += int(real.sum())
    assert real.sum() > 0.9 * a.size
    assert (theirs[~real] == (fmt.nar if operation == "maximum" else 0)).all()


def test_universal_floats(universal, tally):
    _, fmt, dtype = universal
    x = doubles_of(fmt)
    count = 0
    for floats in (np.float64, np.float32):
        narrowed = x.astype(floats)
        assert np.array_equal(narrowed.astype(dtype).view(fmt.dtype), fmt.encode(narrowed))
        count += x.size
    codes = np.union1d(codes_of(fmt), universal_pairs(fmt)[1])
    for name in ("float64", "float32", "float16"):
        assert np.array_equal(codes.view(dtype).astype(name), pc.to_float(fmt, codes, name), equal_nan=True)
        count += codes.size
    tally["compared"] += count


@pytest.mark.parametrize("to", UNIVERSAL)
def test_universal_conversions(universal, to, tally):
    dtypes = pytest.importorskip("universal_dtypes")
    _, fmt, dtype = universal
    other = pc.PositFormat(*UNIVERSAL[to])
    codes = np.union1d(codes_of(fmt), universal_pairs(fmt)[1])
    theirs = codes.view(dtype).astype(getattr(dtypes, to)).view(other.dtype)
    assert np.array_equal(theirs, pc.convert(fmt, other, codes))
    tally["compared"] += codes.size


@pytest.mark.parametrize(("operation", "count"), [("sqrt", 12), ("reciprocal", 8)])
def test_a_fault_of_universal(operation, count):
    dtypes = pytest.importorskip("universal_dtypes", reason="needs universal-dtypes: pip install universal-dtypes")
    fmt = pc.posit32
    codes = near_powers_of_four(fmt)
    with np.errstate(all="ignore"):
        theirs = getattr(np, operation)(codes.view(dtypes.posit32)).view(fmt.dtype)
    ours = getattr(pc, operation)(fmt, codes)
    wrong = np.flatnonzero(theirs != ours)
    assert wrong.size == count
    for i in wrong:
        excuse("posit32", fmt, operation, (int(codes[i]),), int(theirs[i]), int(ours[i]))
