// Where the blocks of a tile lie. Only for the sources of one instruction set, which all keep a copy of their
// own: compiled for one processor it must not be linked into the path of another.
#pragma once

#include <cstdint>

#include "kernels/matmul/tile.h"

namespace qvl {
namespace {

template <typename Block>
const Block& block_at(const TileArgs& args, int64_t panel) {
  const char* at = static_cast<const char*>(args.blocks) + panel * args.block_stride;
  return *static_cast<const Block*>(static_cast<const void*>(at));
}

// Where the block lies that is used in place of this panel's some blocks later.
const char* ahead_of(const TileArgs& args, int64_t panel) {
  return static_cast<const char*>(args.ahead) + panel * args.block_stride;
}

// Asks memory for one of kFetchParts parts of the block at `ahead`. Written out because compilers take a
// function of nothing but hints for one without effect, and drop its calls.
constexpr int64_t kFetchParts = kGroup / kSubgroup;
template <typename Block>
void fetch_part(const char* ahead, int64_t part) {
  constexpr int64_t kLine = 64;
  constexpr int64_t kLines = (sizeof(Block) + kLine - 1) / kLine;
  constexpr int64_t kEach = (kLines + kFetchParts - 1) / kFetchParts;
  for (int64_t i = 0; i < kEach; ++i) {
    asm volatile("prefetcht0 %[line]" : : [line] "m"(ahead[(part * kEach + i) * kLine]));
  }
}

}  // namespace
}  // namespace qvl
