import pytest

from positcore.fpga.boards.pll import RANGES, find_pll, mhz_text

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
    for out_mhz in range(1, 401):
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
        assert RANGES[family].out[0] <= pll.out_hz <= RANGES[family].out[1]
    assert made > 15


def test_no_such_clock():
    with pytest.raises(ValueError, match=r"the PLL of ecp5 makes no 41 MHz of 25 MHz; take one of: \d+ MHz, \d+ MHz"):
        find_pll("ecp5", 25 * MHZ, 41 * MHZ)


def test_no_such_family():
    with pytest.raises(ValueError, match="family must be one of ecp5, ice40, not 'xc7'"):
        find_pll("xc7", 25 * MHZ, 50 * MHZ)


@pytest.mark.parametrize(
    ("family", "in_hz", "out_hz", "message"),
    [
        ("ecp5", 25 * MHZ, 3_000_000, "the PLL of ecp5 makes 3.125 to 400 MHz, not 3 MHz"),
        ("ecp5", 25 * MHZ, 425 * MHZ, "the PLL of ecp5 makes 3.125 to 400 MHz, not 425 MHz"),
        ("ecp5", 5 * MHZ, 40 * MHZ, "the PLL of ecp5 takes 8 to 400 MHz, not 5 MHz"),
        ("ecp5", 25 * MHZ, 0, "the PLL of ecp5 makes 3.125 to 400 MHz, not 0 MHz"),
        ("ice40", 12 * MHZ, 15 * MHZ, "the PLL of ice40 makes 16 to 275 MHz, not 15 MHz"),
        ("ice40", 12 * MHZ, 276 * MHZ, "the PLL of ice40 makes 16 to 275 MHz, not 276 MHz"),
        ("ice40", 200 * MHZ, 50 * MHZ, "the PLL of ice40 takes 10 to 133 MHz, not 200 MHz"),
    ],
)
def test_clocks_beyond_the_data_sheets(family, in_hz, out_hz, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        find_pll(family, in_hz, out_hz)


def test_the_ends_of_the_ranges():
    assert find_pll("ecp5", 25 * MHZ, 400 * MHZ).output == 1
    assert find_pll("ecp5", 25 * MHZ, 3_125_000).output == 128
    assert find_pll("ice40", 16 * MHZ, 16 * MHZ).output == 64
    assert find_pll("ice40", 11 * MHZ, 275 * MHZ).output == 2


def test_hertz_are_told_exactly():
    assert [mhz_text(hz) for hz in (40 * MHZ, 12_890_625, 100, 0)] == ["40", "12.890625", "0.0001", "0"]
