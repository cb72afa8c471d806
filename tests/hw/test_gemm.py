"""The gemm's RTL, compiled: products of many shapes under stalls, its clock cycles, resets, and what it refuses."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

import positcore as pc
from positcore.fpga.targets import TARGETS
from positcore.fpga.yosys import parse_netlist, run_yosys
from positcore.hw.driver import GemmDriver
from positcore.hw.emit import emit_verilog
from positcore.hw.gemm import Gemm
from positcore.hw.gemm_job import plan
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.registers import register_table
from positcore.hw.units import Design
from positcore.sim.gemm import BusError, NativeGemm
from positcore.sim.stream import StreamError
from tests.hw.gemm_model import ModelGemm
from tests.reference import format_id

pytestmark = pytest.mark.rtl

F4 = pc.PositFormat(4, 0)
ONE = F4.nar >> 1
SPEC = pc.MacSpec(F4, accumulator=pc.Quire(7))
ROWS, COLUMNS, DEPTH = 2, 3, 8
STATUS = {"busy": 1, "done": 2, "rejected": 4, "stuck_a": 8, "stuck_b": 16}


@pytest.fixture(scope="module")
def compiled():
    return NativeGemm(Gemm(SPEC, rows=ROWS, columns=COLUMNS, depth=DEPTH), optimize="-O0")


@pytest.fixture
def gemm(compiled):
    compiled.reset()
    compiled.pace(0)
    return compiled


def operands(rng, spec, m, k, n, *, nar=False):
    found = []
    for fmt, shape in ((spec.a, (m, k)), (spec.b, (k, n))):
        codes = rng.integers(0, 1 << fmt.n, shape)
        codes[codes == fmt.nar] = 0
        if nar and codes.size and rng.random() < 0.5:
            codes[tuple(rng.integers(codes.shape))] = fmt.nar
        found.append(codes.astype(fmt.dtype))
    return found


def set_up(driver, job, mode=None):
    for name, word in job.settings.items():
        driver.write(name, word if mode is None or name != "mode" else mode)


def random_products(gemm, rng, count):
    driver, spec = GemmDriver(gemm), gemm.gemm.spec
    for number in range(count):
        pace = {name: int(rng.choice([40, 128, 256])) for name in ("a", "b", "results", "bus")}
        gemm.pace(number, **pace)
        m, n = rng.integers(1, 3 * driver.rows + 2), rng.integers(1, 3 * driver.columns + 2)
        k = rng.integers(0, rng.choice([driver.depth // 2 + 1, 2 * driver.depth + 4]))
        a, b = operands(rng, spec, m, k, n, nar=True)
        bias = [None, *(side.copy() for side in operands(rng, spec, m, 1, n))][number % 3]
        if bias is not None and number % 3 == 2:
            bias = pc.convert(spec.b, spec.a, bias)
            if not np.array_equal(pc.convert(spec.a, spec.b, bias), pc.convert(spec.a, spec.b, bias)):
                bias = None
        np.testing.assert_array_equal(driver.matmul(a, b, bias), pc.matmul(spec, a, b, bias), f"{number}, {pace}")


def test_products_of_random_shapes_under_stalls(gemm):
    """K from 0 to more than twice the buffers, M and N to more than three tiles, biases, and NaR."""
    random_products(gemm, np.random.default_rng(1), 40)


def test_nar_stays_in_its_row_or_column(gemm):
    a, b = np.full((5, 4), ONE, np.uint8), np.full((4, 7), ONE, np.uint8)
    a[1, 2] = b[3, 4] = F4.nar
    got = GemmDriver(gemm).matmul(a, b)
    nar = got == F4.nar
    assert nar[1].all()
    assert nar[:, 4].all()
    assert nar.sum() == 7 + 5 - 1
    np.testing.assert_array_equal(got, pc.matmul(SPEC, a, b))


@pytest.mark.parametrize("steps", [4, DEPTH, 3 * DEPTH], ids=lambda k: f"K={k}")
def test_one_step_a_cycle_without_bubbles(gemm, steps):
    """Six tiles more take six times K cycles more, whether buffers hold what is used again or not."""
    driver = GemmDriver(gemm)

    def cycles(m, n):
        a, b = np.zeros((m, steps), np.uint8), np.zeros((steps, n), np.uint8)
        job = plan(SPEC, a, b, rows=ROWS, columns=COLUMNS, depth=DEPTH)
        set_up(driver, job)
        gemm.begin(job.bytes_a, job.bytes_b, job.size)
        gemm.run(50)  # operands are there before the job
        driver.command("start")
        gemm.run()
        assert driver.read("tiles") == -(-m // ROWS) * -(-n // COLUMNS)
        return driver.read("cycles")

    assert cycles(3 * ROWS, 4 * COLUMNS) - cycles(3 * ROWS, 2 * COLUMNS) == 6 * steps
    assert cycles(4 * ROWS, 3 * COLUMNS) - cycles(2 * ROWS, 3 * COLUMNS) == 6 * steps
    few = cycles(ROWS, COLUMNS) - steps
    assert few < 8 + ROWS + COLUMNS  # to fetch the first step, and to drain the only tile


def test_tlast_of_tiles_and_of_jobs(gemm):
    driver = GemmDriver(gemm)
    job = plan(SPEC, *operands(np.random.default_rng(2), SPEC, 2 * ROWS, 5, 3 * COLUMNS), rows=2, columns=3, depth=8)
    for mode, lasts in ((job.settings["mode"], [0] * 11 + [1]), (job.settings["mode"] & ~16, [0, 1] * 6)):
        set_up(driver, job, mode)
        driver.command("start")
        gemm.exchange(job.bytes_a, job.bytes_b, job.size)
        assert list(gemm.results()[1]) == lasts
        assert driver.read("status") == STATUS["done"]


def test_operands_of_the_next_job_may_come_early(gemm):
    """All operands of three jobs in one piece: each leaves those of the next in the rings."""
    rng = np.random.default_rng(11)
    driver = GemmDriver(gemm)
    factors = [operands(rng, SPEC, ROWS, 3, 2 * COLUMNS) for _ in range(3)]
    jobs = [plan(SPEC, a, b, rows=ROWS, columns=COLUMNS, depth=DEPTH) for a, b in factors]
    set_up(driver, jobs[0])
    gemm.begin(b"".join(job.bytes_a for job in jobs), b"".join(job.bytes_b for job in jobs), 3 * jobs[0].size)
    for _ in jobs:
        driver.command("start")
        gemm.run(60)
        assert driver.read("status") == STATUS["done"]
    gemm.run()
    got, size = gemm.results()[0], jobs[0].size
    for number, (job, (a, b)) in enumerate(zip(jobs, factors, strict=True)):
        np.testing.assert_array_equal(job.product(got[number * size :][:size]), pc.matmul(SPEC, a, b))


def test_both_biases_at_once(gemm):
    """A step for each: Σ + bias of the row + bias of the column, as a product with two steps more."""
    rng = np.random.default_rng(5)
    driver = GemmDriver(gemm)
    a, b = operands(rng, SPEC, ROWS, 6, COLUMNS)
    rows, columns = operands(rng, SPEC, ROWS, 1, COLUMNS)
    for name, word in {"mode": 3, "steps": 6, "row_tiles": 1, "column_tiles": 1}.items():
        driver.write(name, word)
    driver.command("start")
    sent = [np.vstack(part).tobytes() for part in ((rows.T, a.T), (columns, b))]
    got = np.frombuffer(gemm.exchange(*sent, ROWS * COLUMNS), np.uint8).reshape(ROWS, COLUMNS)
    one = np.full((1, 1), ONE, np.uint8)
    a = np.hstack([rows, one.repeat(ROWS, 0), a])
    b = np.vstack([one.repeat(COLUMNS, 1), columns, b])
    np.testing.assert_array_equal(got, pc.matmul(SPEC, a, b))


@pytest.mark.parametrize("hard", [False, True], ids=["by register", "by rst"])
def test_reset_at_any_moment(gemm, hard):
    """Whatever was begun is forgotten; the next product is right, and has not a beat too many."""
    rng = np.random.default_rng(7)
    driver = GemmDriver(gemm)
    for moment in range(0, 90, 3):
        a, b = operands(rng, SPEC, 2 * ROWS, int(rng.integers(1, 20)), 2 * COLUMNS)
        job = plan(SPEC, a, b, rows=ROWS, columns=COLUMNS, depth=DEPTH)
        gemm.pace(moment, a=int(rng.choice([90, 256])), results=int(rng.choice([90, 256])))
        set_up(driver, job)
        driver.command("start")
        gemm.begin(job.bytes_a, job.bytes_b, job.size)
        gemm.run(moment)
        gemm.begin(b"", b"", 0)
        gemm.reset() if hard else driver.command("reset")
        assert driver.read("status") == driver.read("tiles") == driver.read("cycles") == 0
        assert driver.read("steps") == (0 if hard else job.settings["steps"])
        np.testing.assert_array_equal(driver.matmul(a, b), pc.matmul(SPEC, a, b), f"reset after {moment} cycles")


def test_jobs_that_are_rejected(gemm):
    driver = GemmDriver(gemm)
    good = {"mode": 0, "steps": 3, "row_tiles": 1, "column_tiles": 1}
    for wrong in ({"steps": 0}, {"row_tiles": 0}, {"column_tiles": 0}, {"steps": 128}, {"steps": 126, "mode": 3}):
        for name, word in (good | wrong).items():
            driver.write(name, word)
        driver.command("start")
        assert driver.read("status") == STATUS["rejected"]
    for name, word in (good | {"steps": 125, "mode": 3}).items():
        driver.write(name, word)
    driver.command("start")
    assert driver.read("status") == STATUS["busy"]
    for name in good:
        with pytest.raises(BusError, match=r"writing 0x.. was answered by 2"):
            driver.write(name, 1)
    driver.command("start")
    assert driver.read("status") == STATUS["busy"] | STATUS["rejected"]
    driver.command("reset")
    assert driver.read("status") == 0
    assert driver.read("steps") == 125


def test_blocks_that_do_not_fit_are_told(gemm):
    driver = GemmDriver(gemm)
    for hold, flag in ((4, "stuck_a"), (8, "stuck_b")):
        for name, word in {"mode": hold, "steps": DEPTH + 1, "row_tiles": 2, "column_tiles": 2}.items():
            driver.write(name, word)
        driver.command("start")
        gemm.begin(bytes(ROWS * 40), bytes(COLUMNS * 40), 0)
        gemm.run(100)
        assert driver.read("status") == STATUS["busy"] | STATUS[flag]
        gemm.begin(b"", b"", 0)
        driver.command("reset")
        assert driver.read("status") == 0


def test_registers_of_an_empty_gemm(gemm):
    model = ModelGemm(SPEC, rows=ROWS, columns=COLUMNS, depth=DEPTH)
    for address in range(0, 0x40, 4):
        if address not in (0x20, 0x38, 0x3C):
            assert gemm.read(address) == model.read(address)
    with pytest.raises(BusError, match="reading 0x40 was answered by 2"):
        gemm.read(0x40)
    with pytest.raises(BusError, match="writing 0x00 was answered by 2"):
        gemm.write(0x00, 1)


def test_streams_that_get_stuck_are_told(gemm):
    gemm.begin(b"", b"", COLUMNS)  # a result that nobody computes
    with pytest.raises(StreamError, match=r"Gemm\[posit<4,0> .*\]: the streams or the bus got stuck"):
        gemm.run()


@pytest.mark.slow
@pytest.mark.parametrize("stages", range(1, len(Gemm.cuts(SPEC)) + 1))
def test_depth_changes_no_bit(stages):
    built = NativeGemm(Gemm(SPEC, rows=3, columns=2, depth=4, stages=stages), optimize="-O1")
    random_products(built, np.random.default_rng(stages), 100)


SPECS = [
    pc.MacSpec(pc.PositFormat(8, 2), pc.PositFormat(16, 2)),
    pc.MacSpec((pc.PositFormat(6, 1), pc.PositFormat(9, 0)), pc.PositFormat(12, 1, underflow=True)),
    pc.MacSpec(pc.PositFormat(2, 0), pc.PositFormat(3, 1)),
]


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 2), (1, 5)])
def test_other_formats_and_shapes(spec, rows, columns):
    built = NativeGemm(Gemm(spec, rows=rows, columns=columns, depth=16), optimize="-O1")
    random_products(built, np.random.default_rng(rows), 100)


def test_parameters_are_checked(unbuilt):
    good = {"rows": 2, "columns": 2, "depth": 16}
    for wrong, message in (
        ({"rows": 0}, r"Gemm: rows must be an integer in 1..64, not 0"),
        ({"columns": 65}, r"Gemm: columns must be an integer in 1..64, not 65"),
        ({"depth": 24}, r"Gemm: depth must be a power of two in 2..65536, the rows of a buffer, not 24"),
        (
            {"stages": 99},
            rf"Gemm: stages must be an integer in 0..{len(Gemm.cuts(SPEC))} \(it can be cut after: .*\), not 99",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            Gemm(SPEC, **(good | wrong))
    with pytest.raises(TypeError, match=r"Gemm: rows must be an integer in 1..64, not '2'"):
        Gemm(SPEC, **(good | {"rows": "2"}))
    with pytest.raises(TypeError, match=r"Gemm: spec must be a MacSpec such as .*, not PositFormat"):
        Gemm(F4, **good)
    with pytest.raises(TypeError, match="Gemm: the accumulator must be Quire, not fused"):
        Gemm(pc.MacSpec(F4, F4, pc.Fused()), **good)


def test_registers_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "gemm.md").read_text(encoding="utf-8")
    table = register_table(gemm_registers(SPEC, rows=1, columns=1, depth=2))
    assert table in text


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(("target", "rams"), [("ecp5", 2), ("ice40", 5), ("xc7", 2)])
def test_operands_are_in_block_ram(target, rams):
    """1024 rows of 8 bits and of 12: no memory of theirs in LUTs or flip-flops."""
    design = Design.of("gemm", SPEC, rows=2, columns=3, depth=1024)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "unit.v").write_text(emit_verilog(design))
        passes = f"{TARGETS[target].fabric} -top {design.name}\ntee -o found.json stat -json"
        run_yosys(f"read_verilog unit.v\n{passes}\n", folder)
        found = TARGETS[target].count(parse_netlist((folder / "found.json").read_text()).cells)
    assert found.block_rams == rams
    assert found.memory_luts < 32  # the ring of results
    assert found.flip_flops < 1000
