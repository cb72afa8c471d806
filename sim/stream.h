// The loops around a compiled unit with streams i and o: matrix products at full speed, and items with random stalls.
// Ports has FIELDS and WORDS[FIELDS], the 32-bit words of each field of an item, RESULT_WORDS, and
//   put(design, const uint32_t *const *fields), get(design, uint32_t *words).
#pragma once
#include <cstring>

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

template <size_t Bits>
inline void put_words(cxxrtl::value<Bits> &port, const uint32_t *words) {
  for (size_t i = 0; i < port.chunks; ++i) port.data[i] = words[i];
}

template <size_t Bits>
inline void get_words(const cxxrtl::value<Bits> &port, uint32_t *words) {
  for (size_t i = 0; i < port.chunks; ++i) words[i] = port.data[i];
}

template <size_t Bits>
inline void get_words(const cxxrtl::wire<Bits> &port, uint32_t *words) {
  get_words(port.curr, words);
}

// Outputs lo..hi of the (M, N) product, row by row, of a unit whose items are chunks of terms {a, b, last}. a is
// (M, chunks) and b (N, chunks) of packed chunks; bias, if any, is (M, N) of packed chunks, each of which enters as the
// first one, times `one`. Gives the cycles used, or an error.
template <class Design, class Ports>
int64_t matmul(int64_t n, int64_t chunks, int64_t lo, int64_t hi, const uint32_t *a, const uint32_t *b,
               const uint32_t *bias, const uint32_t *one, uint32_t *out) {
  Design design;
  int64_t cycles = 0, next = lo;
  const int64_t a_words = Ports::WORDS[0], b_words = Ports::WORDS[1];
  auto cycle = [&]() -> bool {
    if (!evaluate(design)) return false;
    if (get(design.p_o__valid) && next < hi) Ports::get(design, out + next++);
    step(design);
    ++cycles;
    return true;
  };
  auto send = [&](const uint32_t *x, const uint32_t *y, uint32_t last) -> bool {
    const uint32_t *fields[] = {x, y, &last};
    Ports::put(design, fields);
    return cycle();
  };
  put(design.p_rst, 0);
  put(design.p_o__ready, 1);
  put(design.p_i__valid, 1);
  for (int64_t i = lo; i < hi; ++i) {
    const uint32_t *row = a + i / n * chunks * a_words, *column = b + i % n * chunks * b_words;
    if (bias && !send(bias + i * a_words, one, chunks == 0)) return LOOP;
    for (int64_t j = 0; j < chunks; ++j, row += a_words, column += b_words) {
      if (!send(row, column, j == chunks - 1)) return LOOP;
    }
  }
  put(design.p_i__valid, 0);
  for (int idle = 0; next < hi; ++idle) {
    if (idle > 1024) return STUCK;
    if (!cycle()) return LOOP;
  }
  return cycles;
}

// Any list of items, with the producer valid and the consumer ready in the given shares of 256 cycles; checks that
// a result not taken stays as it is, and that there are no more results than asked for. Gives the cycles up to the last
// result, or an error.
template <class Design, class Ports>
int64_t replay(int64_t items, const uint32_t *const *columns, int64_t results, uint32_t *out, uint64_t seed,
               uint32_t valid_share, uint32_t ready_share) {
  Design design;
  Random random{seed * 2 + 1};
  int64_t cycles = 0, sent = 0, received = 0, finished = 0;
  bool offered = false, held = false;
  uint32_t held_words[Ports::RESULT_WORDS], words[Ports::RESULT_WORDS];
  put(design.p_rst, 0);
  for (int64_t idle = 0; idle < 4096;) {
    offered = sent < items && (offered || random.chance(valid_share));
    const bool ready = random.chance(ready_share);
    const int64_t at = sent < items ? sent : items - 1;
    const uint32_t *fields[Ports::FIELDS];
    for (int field = 0; field < Ports::FIELDS; ++field) fields[field] = columns[field] + at * Ports::WORDS[field];
    put(design.p_i__valid, offered), put(design.p_o__ready, ready);
    Ports::put(design, fields);
    if (!evaluate(design)) return LOOP;
    ++cycles;
    const bool valid = get(design.p_o__valid);
    Ports::get(design, words);
    if (held && (!valid || std::memcmp(words, held_words, sizeof words))) return UNSTABLE;
    if (valid && ready) {
      if (received == results) return SURPLUS;
      std::memcpy(out + received++ * Ports::RESULT_WORDS, words, sizeof words);
      finished = cycles;
    }
    held = valid && !ready, std::memcpy(held_words, words, sizeof words);
    if (offered && get(design.p_i__ready)) ++sent, offered = false, idle = 0;
    idle = sent < items || received < results ? idle + 1 : idle + 64;  // listen a little after the end
    step(design);
  }
  return sent == items && received == results ? finished : STUCK;
}

}  // namespace positcore
