// Blocks that wait for reuse, by size class and by age. Its bookkeeping lies in the blocks themselves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "memory/size_class.h"

namespace qvl {

/// What is kept. It allocates nothing, so putting a block in cannot fail. Under the address sanitizer all of
/// a kept block but the bookkeeping is poisoned. Thread-compatible. Owns no memory.
class KeptBlocks {
 public:
  /// A block that was taken out; the first of a chain of them.
  struct Block {
    std::byte* data = nullptr;
    size_t size_class = 0;
    Block* next = nullptr;  ///< lies in that block
  };

  /// Keeps a block of `size_class`. `stamp` never falls from call to call.
  void put(std::byte* data, size_t size_class, uint64_t stamp);
  /// The youngest block of a class, whose memory is the warmest; nullptr where there is none.
  std::byte* take(size_t size_class);
  /// The oldest blocks, until they have at least `bytes` together or nothing is left.
  Block* take_oldest(uint64_t bytes);
  /// All blocks with a stamp below `stamp`.
  Block* take_before(uint64_t stamp);

  uint64_t bytes() const { return bytes_; }
  uint64_t count() const { return count_; }

 private:
  struct Node;
  struct Links {
    Node* younger = nullptr;
    Node* older = nullptr;
  };
  struct Node {
    Block block;
    uint64_t stamp;
    Links all, same_class;
  };
  static_assert(sizeof(Node) <= bytes_of_class(0));
  struct List {
    Node* youngest = nullptr;
    Node* oldest = nullptr;
  };
  static void push(List& list, Node* node, Links Node::*links);
  static void unlink(List& list, Node* node, Links Node::*links);
  void remove(Node* node);

  List all_;
  std::array<List, kSizeClasses> by_class_;
  uint64_t bytes_ = 0, count_ = 0;
};

}  // namespace qvl
