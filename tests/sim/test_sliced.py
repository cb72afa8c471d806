"""The C++ that lockstep simulations share, with the instructions of this processor and without those of AVX-512."""

import subprocess
from importlib.resources import files

import pytest

pytestmark = pytest.mark.rtl

PROGRAM = """
#include "sliced.h"
#include <cstdio>
#include <utility>
using namespace sliced;

static uint64_t state = 88172645463325252ULL;
static uint64_t random64() { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }

template <int Table> bool right() {
  V a, b, c;
  for (int word = 0; word < 8; ++word) a[word] = random64(), b[word] = random64(), c[word] = random64();
  const V got = lut<Table>(a, b, c);
  for (int i = 0; i < 512; ++i) {
    const int row = (a[i / 64] >> i % 64 & 1) | (b[i / 64] >> i % 64 & 1) << 1 | (c[i / 64] >> i % 64 & 1) << 2;
    if ((got[i / 64] >> i % 64 & 1) != (Table >> row & 1)) return std::printf("table %d\\n", Table), false;
  }
  return true;
}

template <int... Tables> bool all(std::integer_sequence<int, Tables...>) { return (right<Tables>() && ...); }

template <int Bytes> bool there_and_back(int bits, int64_t count) {
  uint8_t numbers[512 * Bytes], back[512 * Bytes];
  V planes[8 * Bytes];
  for (uint8_t &byte : numbers) byte = random64() >> 32;
  slice<Bytes>(numbers, count, bits, planes);
  join<Bytes>(planes, bits, count, back);
  for (int64_t i = 0; i < 512; ++i) {
    uint64_t number = 0, other = 0;
    std::memcpy(&number, numbers + i * Bytes, Bytes), std::memcpy(&other, back + i * Bytes, Bytes);
    number &= (uint64_t{1} << bits) - 1;
    for (int bit = 0; bit < bits; ++bit)
      if ((planes[bit][i / 64] >> i % 64 & 1) != (i < count ? number >> bit & 1 : 0))
        return std::printf("plane %d of %d\\n", bit, bits), false;
    if (i < count && number != other) return std::printf("number %d\\n", (int)i), false;
  }
  return true;
}

int main() {
  bool good = all(std::make_integer_sequence<int, 256>{});
  for (const int64_t count : {1, 63, 64, 65, 400, 512})
    for (int bits = 1; bits <= 32; ++bits) {
      if (bits <= 8) good &= there_and_back<1>(bits, count);
      if (bits <= 16) good &= there_and_back<2>(bits, count);
      good &= there_and_back<4>(bits, count);
    }
  return good ? 0 : 1;
}
"""


@pytest.mark.parametrize("flags", [["-march=native"], []], ids=["native", "portable"])
def test_tables_and_planes(tmp_path, flags):
    """All 256 functions of three inputs, and codes of 1 to 32 bits to planes and back, for blocks that are not full."""
    (tmp_path / "test.cpp").write_text(PROGRAM)
    (tmp_path / "sliced.h").write_text((files("positcore.sim") / "sliced.h").read_text())
    command = ["g++", "-std=c++20", "-O1", "-w", *flags, "test.cpp", "-o", "test"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=600)
    done = subprocess.run([str(tmp_path / "test")], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
