// What the loops around a sliced design share: vectors of a bit of 512 copies, and how codes become such bits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX512BW__)
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace sliced {

constexpr int64_t COPIES = 512;
typedef uint64_t V __attribute__((vector_size(64)));

#if defined(__AVX512F__)
template <int Table>
static inline V lut(V a, V b, V c) {  // bit i of the table is the value where c, b, a are the bits of i
  return (V)_mm512_ternarylogic_epi64((__m512i)c, (__m512i)b, (__m512i)a, Table);
}
#else
template <int Table>
static inline V lut(V a, V b, V c) {
  V out = {};
  if constexpr (Table == 0x96) return a ^ b ^ c;
  if constexpr (Table == 0xE8) return (a & b) | (c & (a ^ b));
  auto half = [&](int bits) -> V {  // a function of a and b
    switch (bits) {
      case 0: return V{};
      case 1: return ~(a | b);
      case 2: return a & ~b;
      case 3: return ~b;
      case 4: return b & ~a;
      case 5: return ~a;
      case 6: return a ^ b;
      case 7: return ~(a & b);
      case 8: return a & b;
      case 9: return ~(a ^ b);
      case 10: return a;
      case 11: return a | ~b;
      case 12: return b;
      case 13: return b | ~a;
      case 14: return a | b;
      default: return ~V{};
    }
  };
  constexpr int low = Table & 15, high = Table >> 4;
  if constexpr (low == high) return half(low);
  if constexpr (low == 0) return c & half(high);
  if constexpr (high == 0) return half(low) & ~c;
  if constexpr (low == 15) return half(high) | ~c;
  if constexpr (high == 15) return half(low) | c;
  if constexpr ((low ^ high) == 15) return c ^ half(low);
  out = (c & half(high)) | (half(low) & ~c);
  return out;
}
#endif

static inline V splat(bool bit) { return bit ? ~V{} : V{}; }

// The bits of 64 bytes: plane i gets bit i of each, a byte a bit, in its word `word`.
static inline void slice_bytes(const uint8_t *bytes, int bits, V *planes, int word) {
#if defined(__AVX512BW__)
  const __m512i x = _mm512_loadu_si512(bytes);
  for (int i = 0; i < bits; ++i) planes[i][word] = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1 << i)));
#else
  uint64_t words[8];
  std::memcpy(words, bytes, 64);
  for (int i = 0; i < bits; ++i) {
    uint64_t plane = 0;
    for (int w = 0; w < 8; ++w)
      plane |= (((words[w] >> i & 0x0101010101010101ULL) * 0x0102040810204080ULL) >> 56) << 8 * w;
    planes[i][word] = plane;
  }
#endif
}

// The way back: 64 bytes from bit planes.
static inline void join_bytes(const V *planes, int bits, int word, uint8_t *bytes) {
#if defined(__AVX512BW__)
  __m512i x = _mm512_setzero_si512();
  for (int i = 0; i < bits; ++i)
    x = _mm512_or_si512(x, _mm512_maskz_set1_epi8((__mmask64)planes[i][word], (char)(1 << i)));
  _mm512_storeu_si512(bytes, x);
#else
  uint64_t words[8] = {};
  for (int i = 0; i < bits; ++i)
    for (int w = 0; w < 8; ++w) {
      // Byte j keeps bit j of a copy of the eight bits, and becomes 1 if that is set.
      const uint64_t kept = (planes[i][word] >> 8 * w & 255) * 0x0101010101010101ULL & 0x8040201008040201ULL;
      words[w] |= ((kept + 0x7F7F7F7F7F7F7F7FULL) >> 7 & 0x0101010101010101ULL) << i;
    }
  std::memcpy(bytes, words, 64);
#endif
}

// Numbers of Bytes bytes each, up to 512 of them, as bit planes; what is beyond `count` is 0.
template <int Bytes>
static inline void slice(const uint8_t *numbers, int64_t count, int bits, V *planes) {
  alignas(64) uint8_t column[64];
  for (int word = 0; word < 8; ++word) {
    const int64_t left = count - 64 * word;
    for (int byte = 0; byte * 8 < bits; ++byte) {
      const int here = bits - 8 * byte < 8 ? bits - 8 * byte : 8;
      if (Bytes == 1 && left >= 64) {
        slice_bytes(numbers + 64 * word, here, planes, word);
        continue;
      }
      const int64_t some = left < 0 ? 0 : left < 64 ? left : 64;
      for (int64_t i = 0; i < some; ++i) column[i] = numbers[(64 * word + i) * Bytes + byte];
      std::memset(column + some, 0, 64 - some);
      slice_bytes(column, here, planes + 8 * byte, word);
    }
  }
}

template <int Bytes>
static inline void join(const V *planes, int bits, int64_t count, uint8_t *numbers) {
  alignas(64) uint8_t column[64];
  for (int word = 0; word * 64 < count; ++word) {
    const int64_t some = count - 64 * word < 64 ? count - 64 * word : 64;
    for (int byte = 0; byte < Bytes; ++byte) {
      const int left = bits - 8 * byte, here = left < 0 ? 0 : left < 8 ? left : 8;
      join_bytes(planes + 8 * byte, here, word, column);
      for (int64_t i = 0; i < some; ++i) numbers[(64 * word + i) * Bytes + byte] = column[i];
    }
  }
}

// A constant memory, read by each copy at its own address.
static inline void read_memory(const uint32_t *words, int width, const V *const *address, int address_bits, V *out) {
  V planes[32];
  uint32_t places[COPIES], values[COPIES];
  for (int i = 0; i < address_bits; ++i) planes[i] = *address[i];
  if (address_bits <= 8) {
    uint8_t bytes[COPIES];
    join<1>(planes, address_bits, COPIES, bytes);
    for (int64_t i = 0; i < COPIES; ++i) places[i] = bytes[i];
  } else {
    join<4>(planes, address_bits, COPIES, reinterpret_cast<uint8_t *>(places));
  }
  for (int64_t i = 0; i < COPIES; ++i) values[i] = words[places[i]];
  slice<4>(reinterpret_cast<const uint8_t *>(values), COPIES, width, out);
}

}  // namespace sliced
