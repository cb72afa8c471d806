from positcore.sim import cxxrtl
from positcore.sim.cxxrtl import runtime_folder, runtime_header


def test_values_of_one_chunk_have_no_loops():
    header, text = runtime_header(), (runtime_folder() / "cxxrtl" / "cxxrtl.h").read_text()
    begin = header.index(cxxrtl._SHORT)
    short = header[begin : header.index("\n};\n", begin) + 4]
    assert header[: begin - 1] + header[begin + len(short) :] == text
    assert short.count(cxxrtl._OWN) == 1  # in ctlz, which breaks it off
    assert short.count("if (constexpr size_t n = ") > 15


def test_another_header_is_given_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(cxxrtl, "runtime_folder", lambda: tmp_path)
    (tmp_path / "cxxrtl").mkdir()
    for text in ("struct other {};\n", cxxrtl._VALUE + " public expr_base {\n};\n"):
        (tmp_path / "cxxrtl" / "cxxrtl.h").write_text(text)
        assert runtime_header() == text
