import pytest

from positcore.fpga.boards.pll import find_pll

MHZ = 1_000_000


@pytest.mark.parametrize(
    ("family", "in_mhz", "out_mhz", "dividers"),
    [
        ("ecp5", 25, 25, (1, 16, 16)),
        ("ecp5", 25, 40, (1, 16, 10)),
        ("ecp5", 25, 50, (1, 16, 8)),
        ("ice40", 12, 18, (1, 48, 32)),
        ("ice40", 12, 24, (1, 64, 32)),
    ],
)
def test_dividers(family, in_mhz, out_mhz, dividers):
    pll = find_pll(family, in_mhz * MHZ, out_mhz * MHZ)
    assert (pll.reference, pll.feedback, pll.output) == dividers


@pytest.mark.parametrize(("family", "in_mhz", "slowest", "fastest"), [("ecp5", 25, 400, 800), ("ice40", 12, 533, 1066)])
def test_each_clock_is_exact_and_within_the_ranges(family, in_mhz, slowest, fastest):
    made = 0
    for out_mhz in range(1, 101):
        try:
            pll = find_pll(family, in_mhz * MHZ, out_mhz * MHZ)
        except ValueError:
            continue
        made += 1
        assert pll.out_hz * pll.reference * pll.output == pll.in_hz * pll.feedback
        assert slowest * MHZ <= pll.oscillator_hz <= fastest * MHZ
        assert pll.oscillator_hz * pll.reference == pll.in_hz * pll.feedback
        assert pll.in_hz / pll.reference >= 10 * MHZ
        assert pll.feedback <= 128
    assert made > 15


def test_no_such_clock():
    with pytest.raises(ValueError, match=r"the PLL of ecp5 makes no 41 MHz of 25 MHz; take one of: \d+ MHz, \d+ MHz"):
        find_pll("ecp5", 25 * MHZ, 41 * MHZ)


def test_no_such_family():
    with pytest.raises(ValueError, match="family must be one of ecp5, ice40, not 'xc7'"):
        find_pll("xc7", 25 * MHZ, 50 * MHZ)
