#include "memory/kept_blocks.h"

#include <sanitizer/asan_interface.h>

#include <new>

namespace qvl {

void KeptBlocks::push(List& list, Node* node, Links Node::*links) {
  (node->*links) = {.younger = nullptr, .older = list.youngest};
  (list.youngest != nullptr ? (list.youngest->*links).younger : list.oldest) = node;
  list.youngest = node;
}

void KeptBlocks::unlink(List& list, Node* node, Links Node::*links) {
  const Links at = node->*links;
  (at.younger != nullptr ? (at.younger->*links).older : list.youngest) = at.older;
  (at.older != nullptr ? (at.older->*links).younger : list.oldest) = at.younger;
}

void KeptBlocks::put(std::byte* data, size_t size_class, uint64_t stamp) {
  const uint64_t bytes = bytes_of_class(size_class);
  ASAN_UNPOISON_MEMORY_REGION(data, sizeof(Node));
  ASAN_POISON_MEMORY_REGION(data + sizeof(Node), bytes - sizeof(Node));
  Node* const node = new (data)
      Node{.block = {.data = data, .size_class = size_class}, .stamp = stamp, .all = {}, .same_class = {}};
  push(all_, node, &Node::all);
  push(by_class_[size_class], node, &Node::same_class);
  bytes_ += bytes;
  ++count_;
}

void KeptBlocks::remove(Node* node) {
  const uint64_t bytes = bytes_of_class(node->block.size_class);
  unlink(all_, node, &Node::all);
  unlink(by_class_[node->block.size_class], node, &Node::same_class);
  ASAN_UNPOISON_MEMORY_REGION(node->block.data, bytes);
  bytes_ -= bytes;
  --count_;
}

std::byte* KeptBlocks::take(size_t size_class) {
  Node* const node = by_class_[size_class].youngest;
  if (node == nullptr) return nullptr;
  remove(node);
  return node->block.data;
}

KeptBlocks::Block* KeptBlocks::take_oldest(uint64_t bytes) {
  Block* chain = nullptr;
  for (const uint64_t before = bytes_; all_.oldest != nullptr && before - bytes_ < bytes;) {
    Node* const node = all_.oldest;
    remove(node);
    node->block.next = chain;
    chain = &node->block;
  }
  return chain;
}

KeptBlocks::Block* KeptBlocks::take_before(uint64_t stamp) {
  Block* chain = nullptr;
  while (all_.oldest != nullptr && all_.oldest->stamp < stamp) {
    Node* const node = all_.oldest;
    remove(node);
    node->block.next = chain;
    chain = &node->block;
  }
  return chain;
}

}  // namespace qvl
