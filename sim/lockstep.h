// Products of matrices by 512 copies of an array in lockstep, a tile to a copy.
#pragma once
#include "sliced.h"

namespace sliced {

enum : int64_t { UNEVEN = -1, SURPLUS = -2, STUCK = -3 };

// Codes (steps, lines, tiles) of one side of a product, `lines` what a step takes of it.
struct Side {
  const uint8_t *codes;
  int64_t lines, tiles;
  bool moves;  // from a tile to the next one, or stays
};

struct Run {  // neighbors in a block, and where each side begins
  int64_t lane, a, b, length;
};

// The bits of one step's codes of a side, for a block of runs.
template <int Bits, int Bytes>
static inline void fill(const Side &side, int64_t Run::*start, int64_t step, const Run *runs, int count, int64_t lanes,
                        V *planes) {
  const int64_t length = side.tiles * Bytes;
  const uint8_t *line = side.codes + step * side.lines * length;
  for (int64_t l = 0; l < side.lines; ++l, line += length, planes += Bits) {
    if (count == 1 && side.moves) {
      slice<Bytes>(line + runs->*start * Bytes, lanes, Bits, planes);
    } else if (count == 1) {
      uint32_t code = 0;
      std::memcpy(&code, line + runs->*start * Bytes, Bytes);
      for (int bit = 0; bit < Bits; ++bit) planes[bit] = splat(code >> bit & 1);
    } else {
      alignas(64) uint8_t gathered[COPIES * Bytes];
      for (const Run *run = runs; run < runs + count; ++run) {
        uint8_t *to = gathered + run->lane * Bytes;
        const uint8_t *from = line + run->*start * Bytes;
        if (side.moves) {
          std::memcpy(to, from, run->length * Bytes);
        } else if (Bytes == 1) {
          std::memset(to, *from, run->length);
        } else {
          for (int64_t i = 0; i < run->length; ++i) std::memcpy(to + i * Bytes, from, Bytes);
        }
      }
      slice<Bytes>(gathered, lanes, Bits, planes);
    }
  }
}

// Tiles lo..hi of a stack of products of `down` · `across` tiles each: within a product the longer side moves fastest.
// a is (steps, A_LINES, stack · down), b (steps, B_LINES, stack · across); first_a and first_b, if any, are the codes
// (1, lines, tiles) of a step before those. Results go to out (rows, columns, tiles). Gives the cycles, or a fault.
template <class Design, class Shape>
int64_t multiply(int64_t steps, const uint8_t *a, const uint8_t *b, int64_t stack, int64_t down, int64_t across,
                 const uint8_t *first_a, const uint8_t *first_b, int64_t lo, int64_t hi, uint8_t *out) {
  Design *const unit = new Design;
  const bool single = down == 1 && across == 1, a_moves = single || down >= across;
  const Side left{a, Shape::A_LINES, stack * down, a_moves}, right{b, Shape::B_LINES, stack * across, single || !a_moves};
  const int64_t each = down * across, tiles = stack * each, moving = single ? tiles : a_moves ? down : across;
  const Side left_first{first_a, Shape::A_LINES, tiles, true}, right_first{first_b, Shape::B_LINES, tiles, true};
  int64_t cycles = 0, row = 0, first = lo, fault = 0, idle = 0;  // the next row to come, and its block's first tile
  auto cycle = [&]() -> bool {
    unit->cycle(), ++cycles;
    const V valid = unit->y[Design::out_o_valid];
    uint64_t all = ~uint64_t{0}, any = 0;
    for (int word = 0; word < 8; ++word) all &= valid[word], any |= valid[word];
    if (any != 0 && all != ~uint64_t{0}) return fault = UNEVEN, false;
    if (!any) return ++idle, true;
    idle = 0;
    if (first >= hi) return fault = SURPLUS, false;
    const int64_t count = hi - first < COPIES ? hi - first : COPIES;
    for (int64_t c = 0; c < Shape::COLUMNS; ++c)
      join<Shape::C_BYTES>(unit->y + Design::out_o_code + c * Shape::C_BITS, Shape::C_BITS, count,
                           out + ((row * Shape::COLUMNS + c) * tiles + first) * Shape::C_BYTES);
    if (++row == Shape::ROWS) row = 0, first += COPIES;
    return true;
  };
  auto send = [&](bool last) {
    unit->x[Design::in_i_valid] = splat(true), unit->x[Design::in_i_last] = splat(last);
    idle = 0;
    do {
      if (!cycle()) break;
      if (idle > 4096) fault = STUCK;
    } while (!fault && !unit->y[Design::out_i_ready][0]);
  };
  V *const a_planes = unit->x + Design::in_i_a, *const b_planes = unit->x + Design::in_i_b;
  Run runs[COPIES];
  for (int64_t at = lo; at < hi && !fault; at += COPIES) {
    const int64_t lanes = hi - at < COPIES ? hi - at : COPIES;
    int count = 0;
    for (int64_t lane = 0; lane < lanes; ++count) {
      const int64_t tile = at + lane, beyond = moving - tile % moving;
      const int64_t length = beyond < lanes - lane ? beyond : lanes - lane;
      const int64_t product = tile / each, fast = tile % each % moving, slow = tile % each / moving;
      runs[count] = {lane, single ? tile : product * down + (a_moves ? fast : slow),
                     single ? tile : product * across + (a_moves ? slow : fast), length};
      lane += length;
    }
    if (first_a) {
      const Run all{0, at, at, lanes};
      fill<Shape::A_BITS, Shape::A_BYTES>(left_first, &Run::a, 0, &all, 1, lanes, a_planes);
      fill<Shape::B_BITS, Shape::B_BYTES>(right_first, &Run::b, 0, &all, 1, lanes, b_planes);
      send(steps == 0);
    }
    for (int64_t k = 0; k < steps && !fault; ++k) {
      fill<Shape::A_BITS, Shape::A_BYTES>(left, &Run::a, k, runs, count, lanes, a_planes);
      fill<Shape::B_BITS, Shape::B_BYTES>(right, &Run::b, k, runs, count, lanes, b_planes);
      send(k == steps - 1);
    }
  }
  unit->x[Design::in_i_valid] = splat(false);
  for (idle = 0; first < hi && !fault;) {
    if (!cycle()) break;
    if (idle > 4096) fault = STUCK;
  }
  delete unit;
  return fault ? fault : cycles;
}

}  // namespace sliced
