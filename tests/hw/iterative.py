"""A compiled unit with a stream at either side and one item in work at a time, under random stalls and resets."""

import ctypes

import numpy as np

from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.sim.native import compile_library

_DRIVER = """
#include "stream.h"
using namespace positcore;
EXPORT int64_t replay(int64_t items, const uint32_t *const *in, uint32_t *out, uint8_t *kept, uint64_t seed,
                      uint32_t valid_share, uint32_t ready_share, uint32_t reset_share) {
  Unit design;
  Random random{seed * 2 + 1};
  int64_t cycles = 0, sent = 0, received = 0;
  bool offered = false, held = false;
  uint32_t held_code = 0;
  for (int64_t idle = 0; idle < 1024; ++cycles) {
    const bool reset = reset_share && random.chance(reset_share) && random.chance(128);
    offered = sent < items && (offered || random.chance(valid_share));
    const bool ready = random.chance(ready_share);
    const int64_t at = sent < items ? sent : items - 1;
    put(design.p_rst, reset), put(design.p_i__valid, offered), put(design.p_o__ready, ready);
    %s
    if (!evaluate(design)) return LOOP;
    const bool valid = get(design.p_o__valid);
    const uint32_t code = static_cast<uint32_t>(get(design.p_o__code));
    if (held && (!valid || code != held_code)) return UNSTABLE;
    held = valid && !ready && !reset, held_code = code;
    if (reset) {
      received = sent;  // what was in work is gone
    } else {
      if (valid && ready) {
        if (received == sent) return SURPLUS;
        out[received] = code, kept[received++] = 1;
      }
      if (offered && get(design.p_i__ready)) {
        if (sent > received) return SURPLUS;
        ++sent, offered = false, idle = 0;
      }
    }
    idle = sent < items || received < sent ? idle + 1 : idle + 64;
    step(design);
  }
  return sent == items && received == items ? cycles : STUCK;
}
"""


class NativeStream:
    """An iterative unit; `alter` changes its RTLIL before it is compiled."""

    def __init__(self, component, *, alter=lambda rtlil: rtlil):
        flat = FlatUnit(component)
        rtlil = emit_rtlil(flat, "unit", flat.signals)
        self.names = [p.name for p in flat.ports if p.name.startswith("i_") and p.name not in ("i_valid", "i_ready")]
        puts = " ".join(f"put(design.p_{n.replace('_', '__')}, in[{k}][at]);" for k, n in enumerate(self.names))
        self._replay = compile_library(alter(rtlil), _DRIVER % puts, optimize="-O1").replay
        pointer, share = ctypes.c_void_p, ctypes.c_uint32
        self._replay.argtypes = [ctypes.c_int64, *[pointer] * 3, ctypes.c_uint64, share, share, share]
        self._replay.restype = ctypes.c_int64

    def run(self, inputs, *, seed=0, valid_share=256, ready_share=256, reset_share=0):
        """(codes, whether each was delivered or lost to a reset, cycles); a broken protocol is an AssertionError."""
        columns = [np.ascontiguousarray(inputs[name.removeprefix("i_")], np.uint32) for name in self.names]
        count = columns[0].size
        out, kept = np.zeros(count, np.uint32), np.zeros(count, np.uint8)
        pointers = (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))
        cycles = self._replay(
            count, pointers, out.ctypes.data, kept.ctypes.data, seed, valid_share, ready_share, reset_share
        )
        faults = {-1: "loop", -2: "a result changed before it was taken", -3: "a result too many", -4: "stuck"}
        assert cycles >= 0, faults[cycles]
        return out, kept.astype(bool), cycles
