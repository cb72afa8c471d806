// What the loops around a compiled design share. A cycle is one evaluation: inputs are set, outputs and the next
// states of registers are computed, outputs are read as they stand before the clock edge, and registers step.
#pragma once
#include <cstddef>
#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace positcore {

template <size_t Bits>
inline void put(cxxrtl::value<Bits> &port, uint64_t bits) {
  constexpr uint64_t mask = Bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << Bits) - 1;
  port.data[0] = static_cast<uint32_t>(bits & mask);
  if constexpr (Bits > 32) port.data[1] = static_cast<uint32_t>((bits & mask) >> 32);
}

template <size_t Bits>
inline uint64_t get(const cxxrtl::value<Bits> &port) {
  if constexpr (Bits > 32) return port.data[0] | static_cast<uint64_t>(port.data[1]) << 32;
  return port.data[0];
}

template <size_t Bits>
inline uint64_t get(const cxxrtl::wire<Bits> &port) {
  return get(port.curr);
}

// Compute one cycle; false if the design has a combinational loop. A clock is armed to rise in this cycle.
template <class Design>
inline bool evaluate(Design &design) {
  if constexpr (requires { design.p_clk; }) {
    design.prev_p_clk.data[0] = 0;
    design.p_clk.data[0] = 1;
  }
  return design.eval();
}

template <class Design>
inline void step(Design &design) {
  if constexpr (requires { design.p_clk; }) design.commit();
}

}  // namespace positcore
