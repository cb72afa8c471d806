// The loops around a compiled quire MAC: matrix products at full speed, and term lists with random stalls.
#pragma once
#include "driver.h"

namespace positcore {

enum : int64_t { LOOP = -1, UNSTABLE = -2, SURPLUS = -3, STUCK = -4 };

struct Random {  // xorshift64*, Vigna 2016
  uint64_t state;
  bool chance(uint32_t of_256) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1DULL) >> 56 < of_256;
  }
};

// Outputs lo..hi of the (M, N) product, row by row. a is (M, K), b is (N, K); bias, if any, is (M, N) and
// enters as the first term (bias, one). Gives the cycles used, or an error.
template <class Design>
int64_t matmul(int64_t n, int64_t k, int64_t lo, int64_t hi, const uint32_t *a, const uint32_t *b,
               const uint32_t *bias, uint32_t one, uint32_t *out) {
  Design design;
  int64_t cycles = 0, next = lo;
  auto cycle = [&]() -> bool {
    if (!evaluate(design)) return false;
    if (get(design.p_o__valid) && next < hi) out[next++] = static_cast<uint32_t>(get(design.p_o__code));
    step(design);
    ++cycles;
    return true;
  };
  put(design.p_rst, 0);
  put(design.p_o__ready, 1);
  put(design.p_i__valid, 1);
  for (int64_t i = lo; i < hi; ++i) {
    const uint32_t *row = a + i / n * k, *column = b + i % n * k;
    if (bias) {
      put(design.p_i__a, bias[i]), put(design.p_i__b, one), put(design.p_i__last, k == 0);
      if (!cycle()) return LOOP;
    }
    put(design.p_i__last, 0);
    for (int64_t j = 0; j < k; ++j) {
      put(design.p_i__a, row[j]), put(design.p_i__b, column[j]);
      if (j == k - 1) put(design.p_i__last, 1);
      if (!cycle()) return LOOP;
    }
  }
  put(design.p_i__valid, 0);
  for (int idle = 0; next < hi; ++idle) {
    if (idle > 64) return STUCK;
    if (!cycle()) return LOOP;
  }
  return cycles;
}

// Any list of terms, with the producer valid and the consumer ready in the given shares of 256 cycles; checks that
// a result not taken stays as it is, and that there are no more results than asked for.
template <class Design>
int64_t replay(int64_t terms, const uint32_t *a, const uint32_t *b, const uint8_t *last, int64_t results,
               uint32_t *out, uint64_t seed, uint32_t valid_share, uint32_t ready_share) {
  Design design;
  Random random{seed * 2 + 1};
  int64_t cycles = 0, sent = 0, received = 0;
  bool offered = false, held = false;
  uint32_t held_code = 0;
  put(design.p_rst, 0);
  for (int64_t idle = 0; idle < 4096; ++cycles) {
    offered = sent < terms && (offered || random.chance(valid_share));
    const bool ready = random.chance(ready_share);
    const int64_t at = sent < terms ? sent : terms - 1;
    put(design.p_i__valid, offered), put(design.p_o__ready, ready);
    put(design.p_i__a, a[at]), put(design.p_i__b, b[at]), put(design.p_i__last, last[at]);
    if (!evaluate(design)) return LOOP;
    const bool valid = get(design.p_o__valid);
    const uint32_t code = static_cast<uint32_t>(get(design.p_o__code));
    if (held && (!valid || code != held_code)) return UNSTABLE;
    if (valid && ready) {
      if (received == results) return SURPLUS;
      out[received++] = code;
    }
    held = valid && !ready, held_code = code;
    if (offered && get(design.p_i__ready)) ++sent, offered = false, idle = 0;
    idle = sent < terms || received < results ? idle + 1 : idle + 64;  // listen a little after the end
    step(design);
  }
  return sent == terms && received == results ? cycles : STUCK;
}

}  // namespace positcore
