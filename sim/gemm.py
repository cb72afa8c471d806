"""`NativeGemm`: a compiled `Gemm` behind models of its three streams and of an AXI4-Lite master, with random stalls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from copy import copy
from typing import Any

from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.hw.gemm import Gemm
from positcore.sim.native import compile_library
from positcore.sim.stream import StreamError

__all__ = ["BusError", "NativeGemm"]

_DRIVER = """
#include "stream.h"
#include <cstring>
using namespace positcore;

template <size_t Bits> void put_bytes(cxxrtl::value<Bits> &port, const uint8_t *bytes) {
  std::memcpy(port.data, bytes, Bits / 8);
}
template <size_t Bits> void get_bytes(const cxxrtl::value<Bits> &port, uint8_t *bytes) {
  std::memcpy(bytes, port.data, Bits / 8);
}
template <size_t Bits> void get_bytes(const cxxrtl::wire<Bits> &port, uint8_t *bytes) { get_bytes(port.curr, bytes); }

constexpr int64_t PATIENCE = 4096;

struct Source {  // what is to be sent, beat by beat
  const uint8_t *bytes = nullptr;
  int64_t beats = 0, sent = 0;
  uint32_t share = 256;
  bool offered = false;
};

struct Bench {
  Unit design;
  Random random{1};
  Source a, b;
  uint8_t *out = nullptr, *lasts = nullptr;
  int64_t wanted = 0, received = 0, cycles = 0, idle = 0;
  uint32_t out_share = 256;
  bool held = false, held_last = false;
  uint8_t held_bytes[SIZE_C];
  int64_t fault = 0;

  // One cycle of the streams up to the clock edge, before which the caller may look at the bus.
  bool cycle() {
    a.offered = a.sent < a.beats && (a.offered || random.chance(a.share));
    b.offered = b.sent < b.beats && (b.offered || random.chance(b.share));
    const bool ready = received < wanted && random.chance(out_share);
    if (a.offered) put_bytes(design.p_s__axis__a__tdata, a.bytes + a.sent * SIZE_A);
    if (b.offered) put_bytes(design.p_s__axis__b__tdata, b.bytes + b.sent * SIZE_B);
    put(design.p_s__axis__a__tvalid, a.offered), put(design.p_s__axis__b__tvalid, b.offered);
    put(design.p_m__axis__c__tready, ready);
    if (!evaluate(design)) return fault = LOOP, false;
    const bool valid = get(design.p_m__axis__c__tvalid), last = get(design.p_m__axis__c__tlast);
    uint8_t bytes[SIZE_C];
    get_bytes(design.p_m__axis__c__tdata, bytes);
    if (held && (!valid || last != held_last || std::memcmp(bytes, held_bytes, SIZE_C))) return fault = UNSTABLE, false;
    held = valid && !ready && wanted, held_last = last;  // a sink that wants nothing is not there, and watches nothing
    std::memcpy(held_bytes, bytes, SIZE_C);
    ++idle;
    if (valid && ready) {
      std::memcpy(out + received * SIZE_C, bytes, SIZE_C);
      lasts[received++] = last, idle = 0;
    }
    if (a.offered && get(design.p_s__axis__a__tready)) ++a.sent, a.offered = false, idle = 0;
    if (b.offered && get(design.p_s__axis__b__tready)) ++b.sent, b.offered = false, idle = 0;
    ++cycles;
    return true;
  }
};

EXPORT Bench *create() {
  Bench *bench = new Bench;
  put(bench->design.p_rst, 0);
  return bench;
}
EXPORT void destroy(Bench *bench) { delete bench; }

EXPORT void pace(Bench *bench, uint64_t seed, uint32_t a, uint32_t b, uint32_t out) {
  bench->random.state = seed * 2 + 1, bench->a.share = a, bench->b.share = b, bench->out_share = out;
}

EXPORT void begin(Bench *bench, const uint8_t *a, int64_t beats_a, const uint8_t *b, int64_t beats_b, uint8_t *out,
                  uint8_t *lasts, int64_t wanted) {
  bench->a = {a, beats_a, 0, bench->a.share, false}, bench->b = {b, beats_b, 0, bench->b.share, false};
  bench->out = out, bench->lasts = lasts, bench->wanted = wanted, bench->received = 0;
  bench->held = false;
}

// Run until all is sent and received, or for so many cycles; gives the beats received, or a fault.
EXPORT int64_t finish(Bench *bench, int64_t limit) {
  bench->idle = 0;
  auto left = [&] {
    return bench->a.sent < bench->a.beats || bench->b.sent < bench->b.beats || bench->received < bench->wanted;
  };
  for (int64_t done = 0; limit < 0 ? left() : done < limit; ++done) {
    if (!bench->cycle()) return bench->fault;
    step(bench->design);
    if (limit < 0 && bench->idle > PATIENCE) return STUCK;
  }
  return bench->received;
}

EXPORT int64_t reset(Bench *bench) {
  bench->a.beats = bench->b.beats = bench->wanted = 0;
  put(bench->design.p_rst, 1);
  const bool good = bench->cycle();
  step(bench->design);
  put(bench->design.p_rst, 0), bench->held = false;
  return good ? 0 : bench->fault;
}

// Address and data begin at moments of their own; gives the response, or a fault.
EXPORT int64_t bus_write(Bench *bench, uint32_t address, uint32_t word, uint32_t strobes, uint32_t share) {
  Unit &design = bench->design;
  bool has_address = false, has_word = false, address_sent = false, word_sent = false, waiting = false;
  uint32_t kept = 0;
  for (int64_t wait = 0; wait < PATIENCE; ++wait) {
    has_address = !address_sent && (has_address || bench->random.chance(share));
    has_word = !word_sent && (has_word || bench->random.chance(share));
    const bool ready = bench->random.chance(share);
    put(design.p_s__axil__awaddr, address), put(design.p_s__axil__awvalid, has_address);
    put(design.p_s__axil__wdata, word), put(design.p_s__axil__wstrb, strobes), put(design.p_s__axil__wvalid, has_word);
    put(design.p_s__axil__bready, ready);
    if (!bench->cycle()) return bench->fault;
    address_sent |= has_address && get(design.p_s__axil__awready);
    word_sent |= has_word && get(design.p_s__axil__wready);
    const bool valid = get(design.p_s__axil__bvalid);
    const uint32_t response = get(design.p_s__axil__bresp);
    if (waiting && (!valid || response != kept)) return UNSTABLE;
    waiting = valid, kept = response;
    step(design);
    if (valid && ready) {
      put(design.p_s__axil__awvalid, 0), put(design.p_s__axil__wvalid, 0), put(design.p_s__axil__bready, 0);
      return address_sent && word_sent ? response : SURPLUS;
    }
  }
  return STUCK;
}

// Gives the word and, above it, the response, or a fault.
EXPORT int64_t bus_read(Bench *bench, uint32_t address, uint32_t share) {
  Unit &design = bench->design;
  bool has_address = false, sent = false, waiting = false;
  uint64_t kept = 0;
  for (int64_t wait = 0; wait < PATIENCE; ++wait) {
    has_address = !sent && (has_address || bench->random.chance(share));
    const bool ready = bench->random.chance(share);
    put(design.p_s__axil__araddr, address), put(design.p_s__axil__arvalid, has_address);
    put(design.p_s__axil__rready, ready);
    if (!bench->cycle()) return bench->fault;
    sent |= has_address && get(design.p_s__axil__arready);
    const bool valid = get(design.p_s__axil__rvalid);
    const uint64_t answer = get(design.p_s__axil__rdata) | get(design.p_s__axil__rresp) << 32;
    if (waiting && (!valid || answer != kept)) return UNSTABLE;
    waiting = valid, kept = answer;
    step(design);
    if (valid && ready) {
      put(design.p_s__axil__arvalid, 0), put(design.p_s__axil__rready, 0);
      return sent ? answer : SURPLUS;
    }
  }
  return STUCK;
}
"""

_FAULTS = {
    -1: "the design has a combinational loop",
    -2: "an answer or a result changed before it was taken",
    -3: "an answer came before what it answers",
    -4: "the streams or the bus got stuck",
}


class BusError(RuntimeError):
    """An access to a register was answered by SLVERR."""


class NativeGemm:
    """A `Gemm` compiled to native code: a `GemmDevice`. One instance is one circuit, with its own state.

    Parameters
    ----------
    gemm : Gemm
        Not elaborated yet.
    optimize : str
        The compiler's optimization flag.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.
    """

    def __init__(self, gemm: Gemm, *, optimize: str = "-O3", alter: Callable[[str], str] | None = None):
        self.gemm = gemm
        flat = FlatUnit(gemm)
        rtlil = emit_rtlil(flat, "unit", flat.signals)
        self._size = {name: len(getattr(gemm, name).tdata) // 8 for name in ("s_axis_a", "s_axis_b", "m_axis_c")}
        sizes = "".join(f"#define SIZE_{name[-1].upper()} {size}\n" for name, size in self._size.items())
        self._library = compile_library(alter(rtlil) if alter else rtlil, sizes + _DRIVER, optimize=optimize)
        whole, word, pointer = ctypes.c_int64, ctypes.c_uint32, ctypes.c_void_p
        for name, result, *arguments in (
            ("create", pointer),
            ("destroy", None, pointer),
            ("pace", None, pointer, ctypes.c_uint64, word, word, word),
            ("begin", None, pointer, pointer, whole, pointer, whole, pointer, pointer, whole),
            ("finish", whole, pointer, whole),
            ("reset", whole, pointer),
            ("bus_write", whole, pointer, word, word, word, word),
            ("bus_read", whole, pointer, word, word),
        ):
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._bench = self._library.create()
        self._bus_share = 256
        self._streams: Any = None

    def __del__(self) -> None:
        if hasattr(self, "_bench"):
            self._library.destroy(self._bench)

    def another(self) -> NativeGemm:
        """Another circuit of the same design, as it is before its first cycle."""
        twin = copy(self)
        twin._bench, twin._bus_share, twin._streams = self._library.create(), 256, None
        return twin

    def pace(self, seed: int, *, a: int = 256, b: int = 256, results: int = 256, bus: int = 256) -> None:
        """From now on act in so many of 256 cycles: the sources of a and b, the sink, the master of the bus."""
        self._bus_share = bus
        self._library.pace(self._bench, seed, a, b, results)

    def read(self, address: int) -> int:
        """The word of a register; a BusError if the bus says that there is none."""
        answer = self._check(self._library.bus_read(self._bench, address, self._bus_share))
        if answer >> 32:
            raise BusError(f"reading 0x{address:02x} was answered by {answer >> 32}")
        return answer

    def write(self, address: int, word: int, *, strobes: int = 15) -> None:
        """Set the bytes of a register that `strobes` names; a BusError if the bus says that it cannot be."""
        answer = self._check(self._library.bus_write(self._bench, address, word, strobes, self._bus_share))
        if answer:
            raise BusError(f"writing 0x{address:02x} was answered by {answer}")

    def begin(self, a: bytes, b: bytes, size: int) -> None:
        """What to send and how much to take, from the next cycle on, also during accesses to registers."""
        beats = size // self._size["m_axis_c"]
        out, lasts = ctypes.create_string_buffer(size), ctypes.create_string_buffer(beats)
        self._streams = a, b, out, lasts
        self._library.begin(
            self._bench, a, len(a) // self._size["s_axis_a"], b, len(b) // self._size["s_axis_b"], out, lasts, beats
        )

    def run(self, cycles: int = -1) -> int:
        """Let time pass: so many cycles, or until all is sent and taken; gives the beats that were taken."""
        return self._check(self._library.finish(self._bench, cycles))

    def results(self) -> tuple[bytes, bytes]:
        """What was taken since `begin`, and tlast of each beat."""
        return self._streams[2].raw, self._streams[3].raw

    def exchange(self, a: bytes, b: bytes, size: int) -> bytes:
        """Send a and b while taking so many bytes of results."""
        self.begin(a, b, size)
        self.run()
        return self.results()[0]

    def reset(self) -> None:
        """A cycle of rst."""
        self._check(self._library.reset(self._bench))

    def _check(self, answer: int) -> int:
        if answer < 0:
            raise StreamError(f"Gemm[{self.gemm.spec}]: {_FAULTS[answer]}")
        return answer
